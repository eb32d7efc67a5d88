"""What `POST /v1/completions` accepts and answers."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from unified_mlx_app.api.fields import MAX_PROMPTS, SamplingFields, Unsupported, UsageBody
from unified_mlx_app.api.format_fields import FormatFields

MAX_CANDIDATES = 20
TokenID = Annotated[int, Field(ge=0, le=2**31 - 1)]
TokenPrompt = Annotated[list[TokenID], Field(min_length=1, max_length=2_000_000)]
TextPrompts = Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS)]
TokenPrompts = Annotated[list[TokenPrompt], Field(min_length=1, max_length=MAX_PROMPTS)]


class CompletionRequest(SamplingFields, FormatFields):
    """A text completion of one or several prompts, as text or as token ids."""

    prompt: str | TextPrompts | TokenPrompt | TokenPrompts
    max_tokens: int | None = Field(
        None, ge=0, le=1_000_000, description="Most tokens to generate; 0 with `echo` scores the prompt only."
    )
    logprobs: int | None = Field(None, ge=0, le=20, description="Log-probabilities of the tokens and of so many likeliest ones.")
    best_of: int | None = Field(
        None, ge=1, le=MAX_CANDIDATES, description="Generate so many, answer with the `n` of the best log-probability a token."
    )
    echo: bool | None = Field(None, description="Put the prompt before the answer; with `logprobs` those of its tokens too.")
    suffix: Annotated[Any, Unsupported("")] = None

    @model_validator(mode="after")
    def _generates_enough(self) -> "CompletionRequest":
        if self.best_of is not None and self.best_of < (self.n or 1):
            raise PydanticCustomError("best_of_below_n", "best_of must not be less than n", {"param": "best_of"})
        if self.is_ranked and self.stream:
            raise PydanticCustomError("ranked_stream", "best_of beyond n cannot be streamed", {"param": "best_of"})
        return self

    @property
    def is_ranked(self) -> bool:
        """Whether more is generated than answered."""
        return self.best_of is not None and self.best_of > (self.n or 1)

    def prompts(self) -> list[str | list[int]]:
        """Every prompt of the request, in order."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [[token for token in self.prompt if isinstance(token, int)]]
        return [prompt for prompt in self.prompt if not isinstance(prompt, int)]


class CompletionLogprobs(BaseModel):
    """One item a token. The first token of an echoed prompt follows nothing, so its log-probability is null."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class CompletionChoice(BaseModel):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: Literal["stop", "length"]


class Completion(BaseModel):
    """A whole answer; with `stream` the same comes in pieces. Choice `i` of prompt `p` has index `p * n + i`."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: UsageBody
