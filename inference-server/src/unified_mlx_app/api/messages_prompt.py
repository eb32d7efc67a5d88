"""Anthropic's request as the one internal request: system text and blocks as messages, tools, thinking, formats."""

import json
from collections.abc import Sequence

from unified_mlx_app.api.conversations import TEXT_SEPARATOR, Conversation
from unified_mlx_app.api.messages_schemas import (
    Block,
    CountTokensRequest,
    MessageParam,
    MessagesRequest,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from unified_mlx_app.config import Settings
from unified_mlx_app.errors import InvalidRequestError
from unified_mlx_app.services.generation import ChatPrompt, GenerationRequest
from unified_mlx_app.services.structured_output import WantedFormat
from unified_mlx_app.services.tool_calls import Tool, ToolUse
from unified_mlx_app.types import JSON

_ALLOWED = {
    "user": (TextBlock, ToolResultBlock),
    "system": (TextBlock,),
    "assistant": (TextBlock, ThinkingBlock, RedactedThinkingBlock, ToolUseBlock),
}


def internal_request(body: MessagesRequest, settings: Settings) -> GenerationRequest:
    """Raises InvalidRequestError for a conversation that does not hold together."""
    return GenerationRequest(
        model=body.model,
        prompts=[chat_prompt(body)],
        sampling=body.sampling(settings, max_tokens=body.max_tokens, top_logprobs=None),
        max_tokens_param="max_tokens",
        wanted_format=_wanted_format(body),
        tools=tool_use(body),
        timeout_seconds=body.timeout,
    )


def chat_prompt(body: CountTokensRequest) -> ChatPrompt:
    """Raises InvalidRequestError for a conversation that does not hold together."""
    conversation = Conversation()
    if body.system:
        conversation.add_text("system", _text(body.system), place="system")
    for index, message in enumerate(body.messages):
        _add_message(conversation, message, f"messages[{index}]")
    messages = conversation.finish()
    if not messages or messages[-1]["role"] == "assistant":
        place = f"messages[{len(body.messages) - 1}]"
        raise InvalidRequestError(f"{place} is an answer to be continued; the last message must be the user's.", param=place)
    return ChatPrompt(messages, _template_kwargs(body))


def tool_use(body: CountTokensRequest) -> ToolUse | None:
    """The tools for the model; None when it has none to call."""
    choice = body.tool_choice
    if not body.custom_tools or (choice is not None and choice.type == "none"):
        return None
    return ToolUse(
        tools=tuple(Tool(tool.name, tool.description, tool.input_schema, bool(tool.strict)) for tool in body.custom_tools),
        must_call=choice is not None and choice.type in ("any", "tool"),
        allowed=frozenset({choice.name}) if choice is not None and choice.name is not None else None,
        is_parallel=choice is None or not choice.disable_parallel_tool_use,
        schema_path=".input_schema",
    )


def _add_message(conversation: Conversation, message: MessageParam, place: str) -> None:
    if not message.content:
        raise InvalidRequestError(f"Invalid value for {place}.content: it is empty.", param=f"{place}.content")
    if isinstance(message.content, str):
        conversation.add_text(message.role, message.content, place=f"{place}.content", is_joined=True)
        return
    for index, block in enumerate(message.content):
        if not isinstance(block, _ALLOWED[message.role]):
            param = f"{place}.content[{index}].type"
            problem = f"a {message.role} message has no blocks of type {block.type}"
            raise InvalidRequestError(f"Invalid value for {param}: {problem}.", param=param)
    if message.role == "assistant":
        _add_answer(conversation, message.content, f"{place}.content")
        return
    for index, block in enumerate(message.content):
        if isinstance(block, ToolResultBlock):
            result = _text(block.content or "")
            text = f"Error: {result}" if block.is_error else result
            conversation.add_result(block.tool_use_id, text, place=f"{place}.content[{index}].tool_use_id")
    if text := _text(message.content):
        conversation.add_text(message.role, text, place=f"{place}.content", is_joined=True)


def _add_answer(conversation: Conversation, blocks: list[Block], place: str) -> None:
    """Redacted thoughts are left out: they are for the model that had them."""
    for index, block in enumerate(blocks):
        block_place = f"{place}[{index}]"
        match block:
            case TextBlock(text=text):
                conversation.add_text("assistant", text, place=block_place, is_joined=True)
            case ThinkingBlock(thinking=thought):
                conversation.add_thought(thought, place=block_place)
            case ToolUseBlock():
                arguments = json.dumps(block.input, ensure_ascii=False)
                conversation.add_call(block.id, block.name, arguments, place=f"{block_place}.id")
            case _:
                pass


def _text(content: str | Sequence[Block]) -> str:
    if isinstance(content, str):
        return content
    return TEXT_SEPARATOR.join(block.text for block in content if isinstance(block, TextBlock))


def _template_kwargs(body: CountTokensRequest) -> JSON:
    """Variables that templates may know; one that does not know them takes no notice."""
    thinks = body.thinking is not None and body.thinking.type != "disabled"
    kwargs: JSON = {"enable_thinking": thinks, "thinking": thinks}
    if thinks and body.thinking is not None and body.thinking.budget_tokens is not None:
        kwargs["thinking_budget"] = body.thinking.budget_tokens
    if body.output_config is not None and body.output_config.effort is not None:
        kwargs["reasoning_effort"] = {"xhigh": "high", "max": "high"}.get(body.output_config.effort, body.output_config.effort)
    return kwargs


def _wanted_format(body: MessagesRequest) -> WantedFormat | None:
    if body.output_config is None or body.output_config.format is None:
        return None
    return WantedFormat("json_schema", body.output_config.format.schema_, "output_config.format.schema")
