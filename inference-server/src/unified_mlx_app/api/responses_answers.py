"""An answer as OpenAI's response: its items and the events that tell them, made of the same parts."""

import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import msgspec

from unified_mlx_app.api.chat_chunks import chat_logprobs
from unified_mlx_app.api.responses_items import (
    AnswerCallItem,
    AnswerMessageItem,
    AnswerReasoningItem,
    AnswerText,
    AnswerThought,
    OutputItem,
)
from unified_mlx_app.api.responses_schemas import (
    IncompleteDetails,
    InputTokensDetails,
    OutputTokensDetails,
    ResponseBody,
    ResponseErrorBody,
    ResponseRequest,
    ResponseUsage,
)
from unified_mlx_app.api.sse import named_frame
from unified_mlx_app.errors import AppError
from unified_mlx_app.services.answer_parts import CallPart, TextPart, ThoughtPart
from unified_mlx_app.services.answers import ChoiceEnd, ChoicePart, answer_parts
from unified_mlx_app.services.generation import Generation
from unified_mlx_app.services.tool_calls import ToolCall
from unified_mlx_app.types import JSON, SamplingParams

Keep = Callable[[ResponseBody], Awaitable[None]]


class ResponseWriter:
    """Takes the parts of an answer once, in order; `response` is complete when they ended."""

    def __init__(self, generation: Generation, body: ResponseRequest, sampling: SamplingParams) -> None:
        self._generation = generation
        self._encode = msgspec.json.Encoder().encode
        self._num_events = 0
        self._open: AnswerMessageItem | AnswerReasoningItem | None = None
        self.response = _begun(generation, body, sampling)

    async def frames(self, keep: Keep) -> AsyncGenerator[bytes, None]:
        """The whole stream; `keep` gets the complete response before it is told. Whoever reads closes the generation."""
        for name in ("response.created", "response.in_progress"):
            yield self._lifecycle(name)
        async for event in answer_parts(self._generation):
            for each in self._end(event) if isinstance(event, ChoiceEnd) else self._take(event):
                yield each
        await keep(self.response)
        yield self._lifecycle(f"response.{self.response.status}")

    def error_frame(self, error: AppError) -> bytes:
        self.response.status = "failed"
        self.response.error = ResponseErrorBody(code="server_error", message=error.message)
        return self._lifecycle("response.failed")

    def _take(self, event: ChoicePart) -> list[bytes]:
        match event.part:
            case TextPart():
                return self._take_text(event.part)
            case ThoughtPart(text=text):
                return self._take_thought(text)
            case CallPart(call=call):
                return self._take_call(call)

    def _take_text(self, part: TextPart) -> list[bytes]:
        frames: list[bytes] = []
        if not isinstance(self._open, AnswerMessageItem):
            item = AnswerMessageItem(type="message", id=_id("msg"), status="in_progress", role="assistant", content=[])
            text = AnswerText(type="output_text", text="", annotations=[], logprobs=[])
            frames = [*self._close(), self._added(item), self._part("added", item.id, text)]
            item.content.append(text)
            self._open = item
        assert isinstance(self._open, AnswerMessageItem)
        logprobs = chat_logprobs(part.logprobs, self._generation.tokenizer)
        entries = logprobs.content or [] if logprobs else []
        self._open.content[0].text += part.text
        self._open.content[0].logprobs += entries
        fields = {"delta": part.text, "logprobs": [entry.model_dump() for entry in entries]}
        return [*frames, self._of_part("response.output_text.delta", self._open.id, fields)]

    def _take_thought(self, text: str) -> list[bytes]:
        frames: list[bytes] = []
        if not isinstance(self._open, AnswerReasoningItem):
            item = AnswerReasoningItem(
                type="reasoning", id=_id("rs"), status="in_progress", summary=[], content=[], encrypted_content=None
            )
            thought = AnswerThought(type="reasoning_text", text="")
            frames = [*self._close(), self._added(item), self._part("added", item.id, thought)]
            item.content.append(thought)
            self._open = item
        assert isinstance(self._open, AnswerReasoningItem)
        self._open.content[0].text += text
        return [*frames, self._of_part("response.reasoning_text.delta", self._open.id, {"delta": text})]

    def _take_call(self, call: ToolCall) -> list[bytes]:
        item = AnswerCallItem(
            type="function_call", id=_id("fc"), status="in_progress", call_id=call.id, name=call.name, arguments=""
        )
        frames = [*self._close(), self._added(item)]
        item.arguments, item.status = call.arguments, "completed"
        fields: JSON = {"item_id": item.id, "output_index": self._index}
        return [
            *frames,
            self._frame("response.function_call_arguments.delta", fields | {"delta": call.arguments}),
            self._frame("response.function_call_arguments.done", fields | {"arguments": call.arguments, "name": call.name}),
            self._done(item),
        ]

    def _close(self, *, is_cut: bool = False) -> list[bytes]:
        """Ends the open item; one that the limit of tokens cut is incomplete."""
        item, self._open = self._open, None
        if item is None:
            return []
        item.status = "incomplete" if is_cut else "completed"
        if isinstance(item, AnswerMessageItem):
            part = item.content[0]
            fields = {"text": part.text, "logprobs": [entry.model_dump() for entry in part.logprobs]}
            done = self._of_part("response.output_text.done", item.id, fields)
        else:
            part = item.content[0]
            done = self._of_part("response.reasoning_text.done", item.id, {"text": part.text})
        return [done, self._part("done", item.id, part), self._done(item)]

    def _end(self, end: ChoiceEnd) -> list[bytes]:
        is_cut = end.reason == "length"
        frames = self._close(is_cut=is_cut)
        self.response.status = "incomplete" if is_cut else "completed"
        self.response.incomplete_details = IncompleteDetails(reason="max_output_tokens") if is_cut else None
        self.response.completed_at = None if is_cut else int(time.time())
        self.response.usage = _usage(self._generation, end)
        return frames

    # ----------------------------------------------------------------- frames

    @property
    def _index(self) -> int:
        return len(self.response.output) - 1

    def _added(self, item: OutputItem) -> bytes:
        self.response.output.append(item)
        return self._frame("response.output_item.added", {"output_index": self._index, "item": item.model_dump()})

    def _done(self, item: OutputItem) -> bytes:
        return self._frame("response.output_item.done", {"output_index": self._index, "item": item.model_dump()})

    def _part(self, verb: str, item_id: str, part: AnswerText | AnswerThought) -> bytes:
        return self._of_part(f"response.content_part.{verb}", item_id, {"part": part.model_dump()})

    def _of_part(self, name: str, item_id: str, fields: JSON) -> bytes:
        return self._frame(name, {"item_id": item_id, "output_index": self._index, "content_index": 0, **fields})

    def _lifecycle(self, name: str) -> bytes:
        return self._frame(name, {"response": self.response.model_dump()})

    def _frame(self, name: str, fields: JSON) -> bytes:
        payload = self._encode({"type": name, "sequence_number": self._num_events, **fields})
        self._num_events += 1
        return named_frame(name, payload)


def _id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(16)}"


def _begun(generation: Generation, body: ResponseRequest, sampling: SamplingParams) -> ResponseBody:
    form = body.text.format.model_dump(exclude_none=True, by_alias=True) if body.text and body.text.format else {"type": "text"}
    choice: Any = body.tool_choice or "auto"
    return ResponseBody(
        id=f"resp_{generation.id}",
        object="response",
        created_at=generation.created,
        completed_at=None,
        status="in_progress",
        background=False,
        error=None,
        incomplete_details=None,
        instructions=body.instructions,
        max_output_tokens=body.max_output_tokens,
        max_tool_calls=body.max_tool_calls,
        metadata=body.metadata or {},
        model=generation.model.name,
        output=[],
        parallel_tool_calls=body.parallel_tool_calls is not False,
        previous_response_id=body.previous_response_id,
        prompt_cache_key=body.prompt_cache_key,
        reasoning={"effort": body.reasoning.effort if body.reasoning else None, "summary": None},
        safety_identifier=body.safety_identifier,
        service_tier="default",
        store=body.store is not False,
        temperature=sampling.temperature,
        text={"format": form, "verbosity": "medium"},
        tool_choice=choice if isinstance(choice, str) else choice.model_dump(),
        tools=[tool.model_dump(exclude={"defer_loading", "allowed_callers", "output_schema"}) for tool in body.functions],
        top_logprobs=body.top_logprobs or 0,
        top_p=sampling.top_p,
        truncation="disabled",
        usage=None,
        user=body.user,
    )


def _usage(generation: Generation, end: ChoiceEnd) -> ResponseUsage:
    usage = generation.usage(end.completion_tokens, end.reasoning_tokens)
    return ResponseUsage(
        input_tokens=usage.prompt_tokens,
        input_tokens_details=InputTokensDetails(
            cached_tokens=usage.cached_tokens, cache_write_tokens=generation.cache_written_tokens()
        ),
        output_tokens=usage.completion_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=usage.reasoning_tokens),
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
    )
