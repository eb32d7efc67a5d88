"""Values that every layer of the inference server shares; nothing here imports the rest of the package."""

from typing import Any, Literal

from msgspec import Struct

FinishReason = Literal["stop", "length"]
CacheOutcome = Literal["hit", "partial", "miss", "off"]
CacheTier = Literal["memory", "disk"]
EntryKind = Literal["system", "turn", "prompt", "conversation"]
MissReason = Literal[
    "cold",
    "evicted",
    "weights_changed",
    "adapter_changed",
    "template_changed",
    "diverged",
    "corrupt",
    "too_short",
    "unsupported",
    "disabled",
    "not_asked",
]
"""`not_asked`: the request reads something of every prompt token, which stored state does not hold."""

Pooling = Literal["last", "mean"]
"""How the states of a prompt's tokens become one vector."""


class SamplingParams(Struct, frozen=True, kw_only=True):
    """How one request draws its tokens; every number was bounded by the API schema."""

    max_tokens: int
    temperature: float = 0.7
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: dict[int, float] = {}
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    top_logprobs: int | None = None
    """None: no log-probabilities; 0: the chosen token's only; k: and those of the k likeliest tokens."""
    is_end_scored: bool = False
    """Whether the end token has a log-probability among the others, as text completions tell it."""


class Markup(Struct, frozen=True, kw_only=True):
    """How an answer marks up its thoughts and tool calls: what the engine has to know of it to make text of tokens."""

    shown_tokens: dict[int, str] = {}
    """Control tokens that belong to the answer's text; decoding leaves all others out."""
    spans: tuple[tuple[str, str], ...] = ()
    """Start and end marks of parts in which stop strings do not count. An empty end: up to the end of the answer."""
    open_end: str = ""
    """End mark of a span that the prompt has opened already."""
    harmony: str | None = None
    """For answers in harmony, gpt-oss's format: what the prompt has begun of the first message. Stop strings count in its
    messages to the reader alone."""


class Constraint(Struct, frozen=True, kw_only=True):
    """What an answer must be, token by token: `grammar` is text in llguidance's dialect of Lark, `kind` what it was made of."""

    kind: Literal["json_schema", "regex", "choice", "lark", "tool_calls"]
    grammar: str


class Speculation(Struct, frozen=True, kw_only=True):
    """How answers are guessed ahead, for one pass to check several tokens: by a smaller model in the folder `draft_path`, and
    by looking up how the text went on before."""

    draft_name: str | None = None
    draft_path: str | None = None
    num_draft_tokens: int = 4
    """Guesses in the first pass; later ones have more or fewer, as the guesses turn out."""
    prompt_lookup: bool = False
    is_asked: bool = False
    """The request itself asks: where it cannot be, the request fails instead of doing without."""


class ModelSpec(Struct, frozen=True, kw_only=True):
    """A servable model: `name` is what clients say, `path` a local folder with config and weights.

    With `adapter_path` it is a LoRA adapter over the model at `path`, whose own name is `base_model`.
    """

    name: str
    path: str
    adapter_path: str | None = None
    base_model: str | None = None
    max_context_tokens: int | None = None
    speculation: Speculation | None = None
    """What it was registered with; a request may say otherwise."""


class Boundary(Struct, frozen=True, kw_only=True):
    """`prompt[:end_tokens]` ends a part of the prompt that later requests are likely to share."""

    kind: Literal["system", "turn"]
    end_tokens: int


class ChangedSpan(Struct, frozen=True, kw_only=True):
    """Tokens `start_token` to `end_token` of a prompt stand where a stored prompt has others, and both go on alike.

    `stored_tokens` are the stored ones, with `num_before` and `num_after` tokens around them that are alike in both.
    """

    start_token: int
    end_token: int
    num_before: int
    num_after: int
    num_shared_after: int
    """Tokens alike after the span, up to the next one."""
    stored_tokens: tuple[int, ...]


class ChangedPrompt(Struct, frozen=True, kw_only=True):
    """How a prompt differs from the nearest stored one, where that is in short spans only."""

    spans: tuple[ChangedSpan, ...]

    @property
    def lost_tokens(self) -> int:
        """Tokens that are computed again although they are stored behind the first span."""
        return sum(span.num_shared_after for span in self.spans)


class CacheReport(Struct, frozen=True, kw_only=True):
    """What the prompt cache did for one request, told to the client as usage and headers."""

    outcome: CacheOutcome
    cached_tokens: int = 0
    tier: CacheTier | None = None
    entry_key: str | None = None
    is_exact: bool = False
    """The reused state is bit for bit what a cold run of this prompt alone would compute."""
    miss_reason: MissReason | None = None
    diverged_at_token: int | None = None
    changed: ChangedPrompt | None = None
    """Set when a longer start would have been reused but for spans that changed."""


class TokenLogprob(Struct, frozen=True, kw_only=True):
    """Log-probability of one sampled token and of its likeliest rivals, best first."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class Usage(Struct, frozen=True, kw_only=True):
    """Token counts of one request over all its choices."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int = 0
    accepted_guesses: int = 0
    """Tokens of the answer that were guessed ahead."""
    rejected_guesses: int = 0


class ModelPlace(Struct, frozen=True):
    """The folders of a model and of its adapter: what it is, under whatever name."""

    path: str
    adapter_path: str | None


class ResidentModel(Struct, frozen=True, kw_only=True):
    """A model held in memory by the engine; `weight_bytes` of an adapter are its own, without its base's."""

    name: str
    path: str
    adapter_path: str | None
    base: str | None
    """Name of the resident base model that an adapter lies on."""
    shares_batch: bool
    """Its rows decode in one batch with those of its base."""
    is_replaced: bool
    """Its name stands for something else by now; it stays for the requests that run on it."""
    weight_bytes: int
    pinned: bool
    last_used_at: float
    num_active: int
    max_context_tokens: int | None
    vocab_size: int
    quantization: str | None


class CacheEntryInfo(Struct, frozen=True, kw_only=True):
    """One stored prefix as operators see it. Times are seconds since the epoch (UTC)."""

    cache_key: str
    model_id: str
    kind: EntryKind
    prompt_preview: str
    token_count: int
    num_bytes: int
    tiers: tuple[CacheTier, ...]
    hits: int
    created_at: float
    last_used: float


class CacheStats(Struct, frozen=True, kw_only=True):
    """Counters since start and present sizes of the prompt cache."""

    enabled: bool
    persist: bool
    memory_entries: int
    memory_bytes: int
    disk_entries: int
    disk_bytes: int
    max_entries: int
    max_memory_bytes: int
    max_disk_bytes: int
    total_hits: int
    total_misses: int
    partial_hits: int
    hit_rate: float
    tokens_saved: int
    misses_by_reason: dict[str, int]
    memory_evictions: int
    disk_evictions: int
    quarantined: int
    disk_write_errors: int
    pending_writes: int


class EngineStats(Struct, frozen=True, kw_only=True):
    """The engine's gauges and counters, sent with every heartbeat."""

    num_running: int
    num_waiting: int
    steps: int
    prompt_tokens: int
    cached_prompt_tokens: int
    generated_tokens: int
    active_memory_bytes: int
    cache_memory_bytes: int
    peak_memory_bytes: int
    kv_bytes: int
    device: str
    pid: int
    resident: tuple[ResidentModel, ...]
    cache: CacheStats
    prefilled_tokens: int
    """Prompt tokens that were computed, not taken from the cache."""
    memory_limit_bytes: int
    """What weights and KV state may take together."""
    loading: tuple[ModelPlace, ...]
    """Models whose weights are on their way into memory."""


JSON = dict[str, Any]
