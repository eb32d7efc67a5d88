"""What `POST /v1/chat/completions` accepts and answers."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from unified_mlx_app.api.fields import SamplingFields, Unsupported, UsageBody, WireModel
from unified_mlx_app.api.format_fields import FormatFields
from unified_mlx_app.api.message_schemas import Content, Message, check_history
from unified_mlx_app.api.tool_fields import ToolFields

_Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Prediction(WireModel):
    """What the client expects of the answer; it changes its speed alone."""

    type: Literal["content"]
    content: Content

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatRequest(SamplingFields, FormatFields, ToolFields):
    """A chat completion. A field that is not listed here is a 400 that names it."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=4096)]
    max_completion_tokens: int | None = Field(None, ge=1, le=1_000_000, description="Goes before `max_tokens`.")
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20, description="Needs `logprobs`.")
    chat_template_kwargs: Annotated[dict[str, str | int | float | bool | None], Field(max_length=16)] | None = Field(
        None, description="Extension. Switches of the chat template, such as `enable_thinking`."
    )
    reasoning_effort: _Effort | None = Field(
        None, description="How much a thinking model thinks; `none` switches thoughts off. `chat_template_kwargs` goes before it."
    )
    prediction: Prediction | None = Field(None, description="Text that the answer may largely repeat, which then comes faster.")
    prompt_cache_options: Annotated[Any, Unsupported()] = None
    audio: Annotated[Any, Unsupported()] = None
    modalities: Annotated[Any, Unsupported(["text"])] = None
    verbosity: Annotated[Any, Unsupported("medium")] = None
    web_search_options: Annotated[Any, Unsupported()] = None
    moderation: Annotated[Any, Unsupported()] = None

    @model_validator(mode="after")
    def _asks_for_logprobs(self) -> "ChatRequest":
        if self.top_logprobs is not None and not self.logprobs:
            raise PydanticCustomError("needs_logprobs", "top_logprobs needs logprobs to be true", {"param": "top_logprobs"})
        return self

    @model_validator(mode="after")
    def _can_use_its_prediction(self) -> "ChatRequest":
        if self.prediction is not None and ((self.n or 1) > 1 or self.speculation == "off"):
            problem = "needs n to be 1 and speculation not to be off"
            raise PydanticCustomError("prediction_not_used", problem, {"param": "prediction"})
        return self

    @model_validator(mode="after")
    def _has_a_whole_history(self) -> "ChatRequest":
        check_history(self.messages)
        return self


class TopLogprob(BaseModel):
    token: str
    logprob: float
    bytes: list[int] | None


class ChatTokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(BaseModel):
    content: list[ChatTokenLogprob] | None
    refusal: None


class AnswerFunction(BaseModel):
    name: str
    arguments: str = Field(description="A JSON object as text.")


class AnswerToolCall(BaseModel):
    id: str
    type: Literal["function"]
    function: AnswerFunction


def _is_absent(value: object) -> bool:
    return value is None


class AnswerMessage(BaseModel):
    """Fields without a default are always there, as in OpenAI's answers."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: str | None = Field(exclude_if=_is_absent, description="Extension. What a thinking model thought first.")
    reasoning: str | None = Field(exclude_if=_is_absent, description="Extension. The same by another name.")
    tool_calls: list[AnswerToolCall] | None = Field(exclude_if=_is_absent)
    function_call: AnswerFunction | None = Field(exclude_if=_is_absent, deprecated=True)


ChatFinishReason = Literal["stop", "length", "tool_calls", "function_call"]


class ChatChoice(BaseModel):
    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinishReason


class ChatCompletion(BaseModel):
    """A whole answer; with `stream` the same comes as `chat.completion.chunk` events."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: UsageBody
