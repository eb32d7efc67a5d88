"""A response's request as the one internal request, and its input as items that can be stored."""

import secrets
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import TypeAdapter

from unified_mlx_app.api.conversations import TEXT_SEPARATOR, Conversation
from unified_mlx_app.api.responses_items import (
    Content,
    FunctionCallItem,
    FunctionCallOutputItem,
    InputItem,
    InputText,
    MessageItem,
    OutputText,
    ReasoningItem,
    Refusal,
)
from unified_mlx_app.api.responses_schemas import PromptFields, ResponseRequest
from unified_mlx_app.config import Settings
from unified_mlx_app.errors import InvalidRequestError
from unified_mlx_app.services.generation import ChatPrompt, GenerationRequest
from unified_mlx_app.types import JSON

_ITEMS: TypeAdapter[list[InputItem]] = TypeAdapter(list[InputItem])
_ID_PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}


@contextmanager
def named_as_input() -> Generator[None]:
    """What is wrong with the conversation is told of the field that holds it here."""
    try:
        yield
    except InvalidRequestError as error:
        error.param = "input" if error.param == "messages" else error.param
        raise


def internal_request(body: ResponseRequest, history: Sequence[JSON], settings: Settings) -> GenerationRequest:
    """`history` are the stored items that go before the input. Raises InvalidRequestError if they do not hold together."""
    return GenerationRequest(
        model=body.model,
        prompts=[chat_prompt(body, history)],
        sampling=body.sampling(settings, max_tokens=body.max_output_tokens, top_logprobs=body.num_top_logprobs),
        max_tokens_param=None if body.max_output_tokens is None else "max_output_tokens",
        wanted_format=body.wanted_format(),
        tools=body.tool_use(),
        reasoning_effort=body.reasoning.effort if body.reasoning else None,
        effort_param="reasoning.effort",
        timeout_seconds=body.timeout,
    )


def chat_prompt(body: PromptFields, history: Sequence[JSON]) -> ChatPrompt:
    conversation = Conversation()
    if body.instructions:
        conversation.add_text("system", body.instructions, place="instructions")
    for item in _ITEMS.validate_python(history):
        _add(conversation, item, "previous_response_id")
    if isinstance(body.input, str):
        conversation.add_text("user", body.input, place="input")
    else:
        for index, item in enumerate(body.input):
            _add(conversation, item, f"input[{index}]")
    return ChatPrompt(conversation.finish())


def stored_input(body: PromptFields) -> list[JSON]:
    """The input as items, each with an id."""
    if isinstance(body.input, str):
        content = [InputText(type="input_text", text=body.input)]
        return [_stored(MessageItem(role="user", content=[*content]))]
    return [_stored(item) for item in body.input]


def _stored(item: InputItem) -> JSON:
    plain: dict[str, Any] = item.model_dump(exclude_none=True)
    if isinstance(item, MessageItem) and isinstance(item.content, str):
        kind = "output_text" if item.role == "assistant" else "input_text"
        plain["content"] = [{"type": kind, "text": item.content}]
    new = {"id": f"{_ID_PREFIXES[item.type]}_{secrets.token_hex(16)}", "status": "completed"}
    return new | plain


def _add(conversation: Conversation, item: InputItem, place: str) -> None:
    match item:
        case MessageItem():
            text = _text(item.content, is_answer=item.role == "assistant")
            conversation.add_text(item.role, text, place=place)
        case FunctionCallItem():
            conversation.add_call(item.call_id, item.name, item.arguments, place=f"{place}.call_id")
        case FunctionCallOutputItem():
            conversation.add_result(item.call_id, _text(item.output), place=f"{place}.call_id")
        case ReasoningItem():
            if thought := "".join(part.text for part in item.content or ()):
                conversation.add_thought(thought, place=place)
        case _:
            raise InvalidRequestError(f"Invalid value for {place}.", param=place)


def _text(content: Content, *, is_answer: bool = False) -> str:
    """The parts of an answer follow each other as they were generated; other parts are texts of their own."""
    if isinstance(content, str):
        return content
    parts = [part.text for part in content if isinstance(part, InputText | OutputText | Refusal)]
    return ("" if is_answer else TEXT_SEPARATOR).join(parts)
