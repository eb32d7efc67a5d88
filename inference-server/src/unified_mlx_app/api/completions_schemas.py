"""What `POST /v1/completions` accepts and answers."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from unified_mlx_app.api.fields import MAX_PROMPTS, SamplingFields, Unsupported, UsageBody

TokenID = Annotated[int, Field(ge=0, le=2**31 - 1)]
TokenPrompt = Annotated[list[TokenID], Field(min_length=1, max_length=2_000_000)]
TextPrompts = Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS)]
TokenPrompts = Annotated[list[TokenPrompt], Field(min_length=1, max_length=MAX_PROMPTS)]


class CompletionRequest(SamplingFields):
    """A text completion of one or several prompts, as text or as token ids."""

    prompt: str | TextPrompts | TokenPrompt | TokenPrompts
    logprobs: int | None = Field(None, ge=0, le=20)
    best_of: int | None = Field(None, ge=1, le=20, description="Only when equal to `n`.")
    echo: Annotated[Any, Unsupported(False)] = None
    suffix: Annotated[Any, Unsupported("")] = None

    @model_validator(mode="after")
    def _generates_what_it_returns(self) -> "CompletionRequest":
        if self.best_of is not None and self.best_of != (self.n or 1):
            raise PydanticCustomError(
                "unsupported_field", "is not supported unless it equals n; leave it out", {"param": "best_of"}
            )
        return self

    def prompts(self) -> list[str | list[int]]:
        """Every prompt of the request, in order."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [[token for token in self.prompt if isinstance(token, int)]]
        return [prompt for prompt in self.prompt if not isinstance(prompt, int)]


class CompletionLogprobs(BaseModel):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
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
