"""An answer as Anthropic's message: its blocks and the events that tell them, made of the same parts."""

import hashlib
import json
from collections.abc import AsyncGenerator
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, Field

from unified_mlx_app.api.error_schemas import anthropic_error_body
from unified_mlx_app.api.sse import named_frame
from unified_mlx_app.errors import AppError
from unified_mlx_app.services.answer_parts import CallPart, Part, TextPart, ThoughtPart
from unified_mlx_app.services.answers import ChoiceEnd, answer_parts
from unified_mlx_app.services.generation import Generation
from unified_mlx_app.services.tool_calls import ToolCall
from unified_mlx_app.types import JSON

PING = named_frame("ping", b'{"type":"ping"}')
StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]


class TextContent(BaseModel):
    type: Literal["text"]
    text: str
    citations: None


class ThinkingContent(BaseModel):
    type: Literal["thinking"]
    thinking: str
    signature: str = Field(description="A digest of the thought; it is not checked when it comes back.")


class ToolUseContent(BaseModel):
    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class OutputTokensDetails(BaseModel):
    thinking_tokens: int


class MessageUsage(BaseModel):
    """The prompt has as many tokens as the first three fields together."""

    input_tokens: int = Field(description="Prompt tokens that were neither read from the prompt cache nor written to it.")
    cache_read_input_tokens: int = Field(description="Prompt tokens whose KV state was reused.")
    cache_creation_input_tokens: int = Field(description="Prompt tokens whose KV state was computed and is cached now.")
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    service_tier: Literal["standard"]


class MessageBody(BaseModel):
    """A whole answer; with `stream` the same comes as events from `message_start` to `message_stop`."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[TextContent | ThinkingContent | ToolUseContent]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: MessageUsage


class TokenCount(BaseModel):
    input_tokens: int


class MessageWriter:
    """Takes the parts of an answer once, in order; `message` is complete when they ended."""

    def __init__(self, generation: Generation, *, request_id: str, shows_thoughts: bool) -> None:
        self._generation = generation
        self._request_id = request_id
        self._shows_thoughts = shows_thoughts
        self._encode = msgspec.json.Encoder().encode
        self._open: TextContent | ThinkingContent | None = None
        self._thought = ""
        self.message = MessageBody(
            id=f"msg_{generation.id}",
            type="message",
            role="assistant",
            model=generation.model.name,
            content=[],
            stop_reason=None,
            stop_sequence=None,
            usage=_usage(generation, is_complete=False),
        )

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """The whole stream; whoever reads closes the generation."""
        yield self._frame("message_start", {"message": self.message.model_dump()})
        yield PING
        async for event in answer_parts(self._generation):
            frames = self._end(event) if isinstance(event, ChoiceEnd) else self._take(event.part)
            for each in frames:
                yield each

    def error_frame(self, error: AppError) -> bytes:
        return named_frame("error", anthropic_error_body(error, self._request_id).model_dump_json().encode())

    def _take(self, part: Part) -> list[bytes]:
        match part:
            case TextPart(text=text):
                return self._take_text(text) if text else []
            case ThoughtPart(text=text):
                return self._take_thought(text)
            case CallPart(call=call):
                return self._take_call(call)

    def _take_text(self, text: str) -> list[bytes]:
        frames: list[bytes] = []
        if not isinstance(self._open, TextContent):
            frames = [*self._close(), self._begin(TextContent(type="text", text="", citations=None))]
        assert isinstance(self._open, TextContent)
        self._open.text += text
        return [*frames, self._delta({"type": "text_delta", "text": text})]

    def _take_thought(self, text: str) -> list[bytes]:
        frames: list[bytes] = []
        if not isinstance(self._open, ThinkingContent):
            frames = [*self._close(), self._begin(ThinkingContent(type="thinking", thinking="", signature=""))]
            self._thought = ""
        assert isinstance(self._open, ThinkingContent)
        self._thought += text
        if self._shows_thoughts:
            self._open.thinking += text
            frames.append(self._delta({"type": "thinking_delta", "thinking": text}))
        return frames

    def _take_call(self, call: ToolCall) -> list[bytes]:
        frames = self._close()
        block = ToolUseContent(type="tool_use", id=call.id, name=call.name, input={})
        frames.append(self._begin(block))
        block.input = json.loads(call.arguments)
        return [*frames, self._delta({"type": "input_json_delta", "partial_json": call.arguments}), self._stop()]

    def _begin(self, block: TextContent | ThinkingContent | ToolUseContent) -> bytes:
        self._open = None if isinstance(block, ToolUseContent) else block
        self.message.content.append(block)
        return self._frame("content_block_start", {"index": self._index, "content_block": block.model_dump()})

    def _close(self) -> list[bytes]:
        """Ends the open block, a thought with its signature."""
        block, self._open = self._open, None
        if block is None:
            return []
        frames: list[bytes] = []
        if isinstance(block, ThinkingContent):
            block.signature = hashlib.sha256(self._thought.encode()).hexdigest()
            frames.append(self._delta({"type": "signature_delta", "signature": block.signature}))
        return [*frames, self._stop()]

    def _end(self, end: ChoiceEnd) -> list[bytes]:
        frames = self._close()
        self.message.stop_reason = _stop_reason(end)
        self.message.stop_sequence = end.stop
        self.message.usage = _usage(
            self._generation,
            is_complete=True,
            completion_tokens=end.completion_tokens,
            reasoning_tokens=end.reasoning_tokens,
        )
        delta = {"stop_reason": self.message.stop_reason, "stop_sequence": end.stop}
        usage = self.message.usage.model_dump(exclude={"service_tier"})
        return [*frames, self._frame("message_delta", {"delta": delta, "usage": usage}), self._frame("message_stop", {})]

    @property
    def _index(self) -> int:
        return len(self.message.content) - 1

    def _delta(self, delta: JSON) -> bytes:
        return self._frame("content_block_delta", {"index": self._index, "delta": delta})

    def _stop(self) -> bytes:
        return self._frame("content_block_stop", {"index": self._index})

    def _frame(self, name: str, fields: JSON) -> bytes:
        return named_frame(name, self._encode({"type": name, **fields}))


def _stop_reason(end: ChoiceEnd) -> StopReason:
    if end.stop is not None:
        return "stop_sequence"
    if end.reason == "length":
        return "max_tokens"
    return "tool_use" if end.num_calls else "end_turn"


def _usage(generation: Generation, *, is_complete: bool, completion_tokens: int = 0, reasoning_tokens: int = 0) -> MessageUsage:
    """The cache is written when the answer is complete; until then what will be is not cached yet."""
    usage = generation.usage(completion_tokens, reasoning_tokens)
    written_tokens = generation.cache_written_tokens() if is_complete else 0
    return MessageUsage(
        input_tokens=usage.prompt_tokens - usage.cached_tokens - written_tokens,
        cache_read_input_tokens=usage.cached_tokens,
        cache_creation_input_tokens=written_tokens,
        output_tokens=completion_tokens,
        output_tokens_details=OutputTokensDetails(thinking_tokens=reasoning_tokens),
        service_tier="standard",
    )
