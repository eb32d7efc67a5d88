"""What the API process and the engine process say to each other, as msgpack over one socket.

The API side sends a `Command`, the engine answers with lists of `Event`s: one list a loop
iteration, so that a step of a large batch costs one message.
"""

import msgspec
from msgspec import Struct

from unified_mlx_app.types import (
    Boundary,
    CacheEntryInfo,
    CacheReport,
    CacheStats,
    Constraint,
    EngineStats,
    FinishReason,
    Markup,
    ModelSpec,
    Pooling,
    ResidentModel,
    SamplingParams,
    Speculation,
    TokenLogprob,
)


class Generate(Struct, frozen=True, kw_only=True, tag="generate"):
    """Run one request; `num_choices` choices share one prefill. With `max_tokens` 0 it ends after the prefill."""

    request_id: str
    client_id: str | None = None
    """What its client knows it by, for the log."""
    owner: str = ""
    """Id of the key that sent it, "" if there is none."""
    model: ModelSpec
    prompt: list[int]
    sampling: SamplingParams
    boundaries: list[Boundary] = []
    num_choices: int = 1
    constraint: Constraint | None = None
    markup: Markup = Markup()
    preview: str = ""
    cache_owner: str = ""
    """Whose KV state the request may find and leave behind; "" for those that share theirs."""
    deadline_seconds: float | None = None
    is_warmup: bool = False
    prompt_logprobs: int | None = None
    """Tell the log-probability of every prompt token, and of so many likelier ones; the prompt cache is left alone."""
    pooling: Pooling | None = None
    """Give one vector for the prompt and no answer; the prompt cache is left alone."""
    speculation: Speculation | None = None
    prediction: list[int] = []
    """Tokens that the answer may largely repeat: where guesses are looked up first."""


class Cancel(Struct, frozen=True, kw_only=True, tag="cancel"):
    """Stop a request in whatever state it is; unknown ids are ignored."""

    request_id: str


class LoadModel(Struct, frozen=True, kw_only=True, tag="load"):
    command_id: str
    model: ModelSpec
    pin: bool | None = None
    """True pins, False unpins, None leaves as it is."""


class UnloadModel(Struct, frozen=True, kw_only=True, tag="unload"):
    """Free a resident model; refused while it has active requests. Its cache entries stay."""

    command_id: str
    name: str


class ReplaceModel(Struct, frozen=True, kw_only=True, tag="replace"):
    """`model.name` stands for `model` from now on: the adapter that it stood for is freed when its requests end. No reply."""

    model: ModelSpec


class ListCacheEntries(Struct, frozen=True, kw_only=True, tag="cache_list"):
    command_id: str


class GetCacheStats(Struct, frozen=True, kw_only=True, tag="cache_stats"):
    command_id: str


class ClearCache(Struct, frozen=True, kw_only=True, tag="cache_clear"):
    command_id: str


class DeleteCacheEntry(Struct, frozen=True, kw_only=True, tag="cache_delete"):
    command_id: str
    cache_key: str


class Shutdown(Struct, frozen=True, kw_only=True, tag="shutdown"):
    """Let running requests finish for at most `drain_seconds`, land queued writes, exit 0 by `end_at` (monotonic seconds)."""

    drain_seconds: float
    end_at: float


Command = (
    Generate
    | Cancel
    | LoadModel
    | UnloadModel
    | ReplaceModel
    | ListCacheEntries
    | GetCacheStats
    | ClearCache
    | DeleteCacheEntry
    | Shutdown
)


class Ready(Struct, frozen=True, kw_only=True, tag="ready"):
    """First message of a new engine process."""

    pid: int
    device: str


class Heartbeat(Struct, frozen=True, kw_only=True, tag="heartbeat"):
    """Sent each second by the engine's loop between two turns, so a stuck loop shows as missing heartbeats."""

    stats: EngineStats


class Started(Struct, frozen=True, kw_only=True, tag="started"):
    """The request left the queue and the prompt cache was asked."""

    request_id: str
    cache: CacheReport
    queue_seconds: float
    lookup_seconds: float = 0.0
    restore_seconds: float = 0.0
    """Of the seconds before: what the look-ups took, and waiting for state from the disk."""


class Progress(Struct, frozen=True, kw_only=True, tag="progress"):
    """Prefill went on: `done_tokens` of `total_tokens` of the prompt are in the KV cache."""

    request_id: str
    done_tokens: int
    total_tokens: int


class PromptLogprobs(Struct, frozen=True, kw_only=True, tag="prompt_logprobs"):
    """Of the next prompt tokens, each given those before it; the first token of a prompt has none. They precede any Chunk."""

    request_id: str
    logprobs: list[TokenLogprob]


class Embedded(Struct, frozen=True, kw_only=True, tag="embedded"):
    """The pooled prompt as little-endian float32 numbers of length 1; Finished follows."""

    request_id: str
    vector: bytes


class Chunk(Struct, frozen=True, kw_only=True, tag="chunk", omit_defaults=True):
    """New tokens of one choice. `text` may be empty while a character or a stop string is undecided."""

    request_id: str
    choice: int
    text: str
    token_ids: list[int]
    logprobs: list[TokenLogprob] | None = None
    text_ends: list[int] = []
    """With several tokens: how much of `text` was known after each of them."""


class Finished(Struct, frozen=True, kw_only=True, tag="finished"):
    """One choice ended; the request ends with its last choice."""

    request_id: str
    choice: int
    reason: FinishReason
    completion_tokens: int
    stop: str | None = None
    """The stop string that ended it."""
    num_guessed: int = 0
    """Tokens that were guessed ahead, and how many of them the answer has."""
    num_guessed_right: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    """Of an answer with tokens: from Started to where decoding began, and from there to its end."""


class Failed(Struct, frozen=True, kw_only=True, tag="failed"):
    """The whole request ended without an answer. `code` is a leaf of `errors.py`."""

    request_id: str
    code: str
    message: str


class Reply(Struct, frozen=True, kw_only=True, tag="reply"):
    """Answer to a command with a `command_id`; exactly one of the fields is set, or `error_code`."""

    command_id: str
    model: ResidentModel | None = None
    entries: list[CacheEntryInfo] | None = None
    stats: CacheStats | None = None
    num_removed: int | None = None
    error_code: str | None = None
    error_message: str = ""


Event = Ready | Heartbeat | Started | Progress | PromptLogprobs | Embedded | Chunk | Finished | Failed | Reply

_encoder = msgspec.msgpack.Encoder()
_command_decoder = msgspec.msgpack.Decoder(Command)
_events_decoder = msgspec.msgpack.Decoder(list[Event])


def encode_command(command: Command) -> bytes:
    return _encoder.encode(command)


def decode_command(data: bytes) -> Command:
    """Raises msgspec.ValidationError on anything that is not a command."""
    return _command_decoder.decode(data)


def encode_events(events: list[Event]) -> bytes:
    return _encoder.encode(events)


def decode_events(data: bytes) -> list[Event]:
    """Raises msgspec.ValidationError on anything that is not a list of events."""
    return _events_decoder.decode(data)
