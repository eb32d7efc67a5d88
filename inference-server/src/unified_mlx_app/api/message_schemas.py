"""The messages of a conversation as OpenAI's clients send them, and the rules that calls and their results keep in it."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from unified_mlx_app.api.fields import Unsupported, WireModel
from unified_mlx_app.types import JSON

_Name = Annotated[str, StringConstraints(max_length=256)]
_CallID = Annotated[str, StringConstraints(min_length=1, max_length=256)]


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
    name: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    arguments: str = Field(description="A JSON object as text.")


class SentToolCall(WireModel):
    id: _CallID
    type: Literal["function"]
    function: CalledFunction
    index: int | None = Field(None, description="Accepted; clients that put streams together leave it in.")


class AssistantMessage(WireModel):
    role: Literal["assistant"]
    content: Content | None = None
    name: _Name | None = None
    refusal: None = None
    audio: Annotated[Any, Unsupported()] = None
    function_call: CalledFunction | None = Field(None, deprecated=True)
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    tool_calls: Annotated[list[SentToolCall], Field(max_length=128)] | None = None
    reasoning_content: str | None = Field(
        None, description="Extension. What the model thought; its template decides what it sees."
    )
    reasoning: str | None = Field(None, description="Extension. The same by another name.")

    @model_validator(mode="after")
    def _says_something(self) -> "AssistantMessage":
        if self.content is None and not self.tool_calls and self.function_call is None:
            raise PydanticCustomError("missing_content", "an assistant message needs content or tool_calls")
        return self


class ToolMessage(WireModel):
    role: Literal["tool"]
    content: Content
    tool_call_id: _CallID
    name: _Name | None = None


class FunctionMessage(WireModel):
    """Deprecated by OpenAI; what a tool message was before there were ids."""

    role: Literal["function"]
    name: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    content: Content | None


Message = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage, Field(discriminator="role")]


def check_history(messages: Sequence[Message]) -> None:
    """Every tool message answers a call of the assistant message before it, and every call has its answer, as OpenAI demands.

    Raises PydanticCustomError with the place as `param`.
    """
    open_ids: dict[str, str] = {}
    """Calls without an answer so far, and the fields they are in."""
    known_ids: set[str] = set()
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        if isinstance(message, ToolMessage):
            if not known_ids:
                problem = "a message with role 'tool' must be a response to a preceding message with 'tool_calls'"
                raise PydanticCustomError("broken_history", problem, {"param": f"{place}.role"})
            if message.tool_call_id not in known_ids:
                problem = "there is no such id in the 'tool_calls' of the assistant message before it"
                raise PydanticCustomError("broken_history", problem, {"param": f"{place}.tool_call_id"})
            open_ids.pop(message.tool_call_id, None)
            continue
        _check_answered(open_ids)
        known_ids = set()
        for number, call in enumerate(_calls(message)):
            field = f"{place}.tool_calls[{number}].id"
            if call.id in known_ids:
                raise PydanticCustomError("broken_history", "another call of the message has this id", {"param": field})
            known_ids.add(call.id)
            open_ids[call.id] = field
    _check_answered(open_ids)


def _calls(message: Message) -> list[SentToolCall]:
    return message.tool_calls or [] if isinstance(message, AssistantMessage) else []


def _check_answered(open_ids: dict[str, str]) -> None:
    if open_ids:
        problem = "an assistant message with 'tool_calls' must be followed by a tool message for each of its ids"
        raise PydanticCustomError("broken_history", problem, {"param": next(iter(open_ids.values()))})


def to_internal_messages(messages: Sequence[Message]) -> list[JSON]:
    """Messages as every wire API hands them on: calls as `tool_calls`, results with role "tool", thoughts by both names."""
    internal: list[JSON] = []
    function_id = ""
    for index, message in enumerate(messages):
        plain = message.model_dump(exclude_none=True)
        if isinstance(message, AssistantMessage):
            if message.function_call is not None:
                function_id = f"call_{index:05d}"
                call = {"id": function_id, "type": "function", "function": plain.pop("function_call")}
                plain["tool_calls"] = [*plain.get("tool_calls", ()), call]
            thought = message.reasoning_content or message.reasoning
            plain |= {"reasoning_content": thought, "reasoning": thought} if thought else {}
        elif isinstance(message, FunctionMessage):
            plain = {"content": "", **plain, "role": "tool", "tool_call_id": function_id or f"call_{index:05d}"}
        internal.append(plain)
    return internal
