"""What `POST /v1/chat/completions` accepts and answers."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from unified_mlx_app.api.fields import SamplingFields, Unsupported, UsageBody, WireModel

_Name = Annotated[str, StringConstraints(max_length=256)]


def _refuse_other_parts(kind: Any) -> Any:
    if kind in ("image_url", "input_audio", "file", "video_url", "refusal"):
        raise PydanticCustomError("unsupported_field", "can only be text on this server yet; leave other parts out")
    return kind


class TextPart(WireModel):
    type: Annotated[Literal["text"], BeforeValidator(_refuse_other_parts)]
    text: str


Content = str | list[TextPart]


class SystemMessage(WireModel):
    role: Literal["system", "developer"]
    content: Content
    name: _Name | None = None


class UserMessage(WireModel):
    role: Literal["user"]
    content: Content
    name: _Name | None = None


class CalledFunction(WireModel):
    name: _Name
    arguments: str


class ToolCall(WireModel):
    id: _Name
    type: Literal["function"]
    function: CalledFunction


class AssistantMessage(WireModel):
    role: Literal["assistant"]
    content: Content | None = None
    name: _Name | None = None
    refusal: None = None
    audio: Annotated[Any, Unsupported()] = None
    function_call: Annotated[Any, Unsupported()] = None
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=128)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "AssistantMessage":
        if self.content is None and not self.tool_calls:
            raise PydanticCustomError("missing_content", "an assistant message needs content or tool_calls")
        return self


class ToolMessage(WireModel):
    role: Literal["tool"]
    content: Content
    tool_call_id: _Name
    name: _Name | None = None


Message = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class ChatRequest(SamplingFields):
    """A chat completion. A field that is not listed here is a 400 that names it."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=4096)]
    max_completion_tokens: int | None = Field(None, ge=1, le=1_000_000, description="Goes before `max_tokens`.")
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20, description="Needs `logprobs`.")
    chat_template_kwargs: Annotated[dict[str, str | int | float | bool | None], Field(max_length=16)] | None = Field(
        None, description="Extension. Switches of the chat template, such as `enable_thinking`."
    )
    parallel_tool_calls: bool | None = Field(None, description="Accepted; there are no tools to call.")
    prompt_cache_options: Annotated[Any, Unsupported()] = None
    tools: Annotated[Any, Unsupported([])] = None
    tool_choice: Annotated[Any, Unsupported("none", "auto")] = None
    functions: Annotated[Any, Unsupported([])] = None
    function_call: Annotated[Any, Unsupported("none", "auto")] = None
    response_format: Annotated[Any, Unsupported({"type": "text"})] = None
    audio: Annotated[Any, Unsupported()] = None
    modalities: Annotated[Any, Unsupported(["text"])] = None
    prediction: Annotated[Any, Unsupported()] = None
    reasoning_effort: Annotated[Any, Unsupported()] = None
    verbosity: Annotated[Any, Unsupported("medium")] = None
    web_search_options: Annotated[Any, Unsupported()] = None
    moderation: Annotated[Any, Unsupported()] = None

    @model_validator(mode="after")
    def _asks_for_logprobs(self) -> "ChatRequest":
        if self.top_logprobs is not None and not self.logprobs:
            raise PydanticCustomError("needs_logprobs", "top_logprobs needs logprobs to be true", {"param": "top_logprobs"})
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


class AnswerMessage(BaseModel):
    role: Literal["assistant"]
    content: str | None
    refusal: None


class ChatChoice(BaseModel):
    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: Literal["stop", "length"]


class ChatCompletion(BaseModel):
    """A whole answer; with `stream` the same comes as `chat.completion.chunk` events."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: UsageBody
