"""A chat completion as a stream of `chat.completion.chunk` objects, and what whole answers share with it."""

from collections.abc import AsyncGenerator, Iterator
from typing import Any, Literal

from msgspec import Raw, Struct

from unified_mlx_app.api.answers import token_text
from unified_mlx_app.api.chat_schemas import ChatFinishReason, ChatLogprobs, ChatTokenLogprob, TopLogprob
from unified_mlx_app.api.openai_chunks import ChunkFrames
from unified_mlx_app.api.sse import DONE
from unified_mlx_app.services.answer_parts import CallPart, Part, TextPart, ThoughtPart
from unified_mlx_app.services.answers import ChoiceEnd, answer_parts
from unified_mlx_app.services.generation import Generation
from unified_mlx_app.services.tokenizers import LoadedTokenizer
from unified_mlx_app.types import FinishReason, TokenLogprob


class _Function(Struct, omit_defaults=True):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(Struct, omit_defaults=True):
    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: _Function | None = None


class _Delta(Struct, omit_defaults=True):
    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None


class _ChunkChoice(Struct):
    index: int
    delta: _Delta
    logprobs: Raw | None = None
    finish_reason: ChatFinishReason | None = None


async def chat_frames(generation: Generation, *, includes_usage: bool, is_legacy: bool) -> AsyncGenerator[bytes, None]:
    """The whole stream as server-sent events; with `is_legacy` a call is told as `function_call`."""
    chunks = ChunkFrames[_ChunkChoice](generation, "chat.completion.chunk", prefix="chatcmpl", includes_usage=includes_usage)
    completion_tokens = reasoning_tokens = 0
    for index in range(generation.num_choices):
        yield chunks.of(_ChunkChoice(index, _Delta(role="assistant", content="")))
    async for event in answer_parts(generation):
        if isinstance(event, ChoiceEnd):
            completion_tokens += event.completion_tokens
            reasoning_tokens += event.reasoning_tokens
            reason = chat_finish_reason(event.reason, event.num_calls, is_legacy=is_legacy)
            yield chunks.of(_ChunkChoice(event.choice, _Delta(), finish_reason=reason))
            continue
        for delta in _deltas(event.part, is_legacy=is_legacy):
            yield chunks.of(_ChunkChoice(event.choice, delta, _raw_logprobs(event.part, generation.tokenizer)))
    if includes_usage:
        yield chunks.usage(completion_tokens, reasoning_tokens)
    yield DONE


def _deltas(part: Part, *, is_legacy: bool) -> Iterator[_Delta]:
    """A call takes two: its name, then its arguments, as clients expect them."""
    match part:
        case TextPart(text=text):
            yield _Delta(content=text)
        case ThoughtPart(text=text):
            yield _Delta(reasoning_content=text, reasoning=text)
        case CallPart(call=call) if is_legacy:
            yield _Delta(function_call=_Function(call.name, ""))
            yield _Delta(function_call=_Function(arguments=call.arguments))
        case CallPart(index=index, call=call):
            yield _Delta(tool_calls=[_ToolCall(index, call.id, "function", _Function(call.name, ""))])
            yield _Delta(tool_calls=[_ToolCall(index, function=_Function(arguments=call.arguments))])


def chat_finish_reason(reason: FinishReason, num_calls: int, *, is_legacy: bool) -> ChatFinishReason:
    """Calls are the reason unless the limit of tokens cut the answer."""
    if not num_calls or reason == "length":
        return reason
    return "function_call" if is_legacy else "tool_calls"


def _raw_logprobs(part: Part, tokenizer: LoadedTokenizer) -> Raw | None:
    logprobs = chat_logprobs(part.logprobs, tokenizer) if isinstance(part, TextPart) else None
    return None if logprobs is None else Raw(logprobs.model_dump_json().encode())


def chat_logprobs(entries: list[TokenLogprob] | None, tokenizer: LoadedTokenizer) -> ChatLogprobs | None:
    """Log-probabilities of the content's tokens; those of thoughts and calls are not told."""
    if entries is None:
        return None
    content = [
        ChatTokenLogprob(
            **_logprob(entry.token_id, entry.logprob, tokenizer),
            top_logprobs=[TopLogprob(**_logprob(token_id, logprob, tokenizer)) for token_id, logprob in entry.top],
        )
        for entry in entries
    ]
    return ChatLogprobs(content=content, refusal=None)


def _logprob(token_id: int, logprob: float, tokenizer: LoadedTokenizer) -> dict[str, Any]:
    return {
        "token": token_text(tokenizer, token_id),
        "logprob": logprob,
        "bytes": list(tokenizer.token_bytes(token_id)),
    }
