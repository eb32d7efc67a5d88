"""An answer in harmony, gpt-oss's format, taken apart: its channels are thoughts and content, its messages to functions calls."""

from collections.abc import Sequence

from unified_mlx_app.harmony import MESSAGE, Header, MessageReader, Run, without_marks
from unified_mlx_app.services.answer_parts import AnswerShape, CallPart, Part, PendingText, TextPart, ThoughtPart
from unified_mlx_app.services.tool_calls import CallReader
from unified_mlx_app.services.tool_dialects.calls import MalformedCallError
from unified_mlx_app.types import FinishReason, TokenLogprob

_BETWEEN_MESSAGES = "\n\n"
"""Between texts that the model wrote as messages of their own and the reader sees as one."""


class HarmonyParser:
    """As AnswerParser: `push`, then `finish` once. What only looked like a call goes where its channel goes."""

    def __init__(self, shape: AnswerShape) -> None:
        self._reader = MessageReader(shape.harmony or "")
        use, dialect = shape.tools, shape.dialect
        self._calls = CallReader(dialect, use) if dialect is not None and use is not None else None
        self._text = PendingText()
        self._parts: list[Part] = []
        self._num_calls = 0
        self._num_held = 0
        """Characters of the body of a call so far."""
        self._has_told = {"thought": False, "content": False}
        self._is_after_another = False
        """The message follows one of its kind."""
        self.reasoning_tokens = 0
        """Tokens in thoughts so far, their marks and headers included."""

    def push(self, text: str, num_tokens: int = 1, logprobs: Sequence[TokenLogprob] | None = None) -> list[Part]:
        """Take more of the answer: the tokens that came with it begin where the text so far ends."""
        self._text.add(text, num_tokens, logprobs)
        for run in self._reader.push(text):
            self._take(run)
        return self._told()

    def finish(self, reason: FinishReason) -> list[Part]:
        """The rest of an answer that ended for `reason`. A call that the limit of tokens cut is none."""
        for run in self._reader.finish():
            self._take(run)
        header = self._reader.header
        if header is not None and self._is_call(header):
            self._end_call(header, is_cut=reason == "length")
        elif header is not None:
            self._tell(header, 0, is_last=True)
        return self._told()

    def _told(self) -> list[Part]:
        parts, self._parts = self._parts, []
        return parts

    def _take(self, run: Run) -> None:
        header, size = run.header, len(run.text)
        if header is None:
            self._text.take(size)
        elif run.kind == "head":
            self._drop(header, size)
            self._is_after_another = self._has_told.get(header.kind, False)
        elif run.kind == "end":
            if self._is_call(header):
                self._end_call(header)
            self._drop(header, size)
        elif self._is_call(header):
            self._num_held += size
        else:
            self._tell(header, size)

    def _is_call(self, header: Header) -> bool:
        return self._calls is not None and bool(header.recipient) and header.kind != "foreign"

    def _end_call(self, header: Header, *, is_cut: bool = False) -> None:
        assert self._calls is not None
        size, self._num_held = self._num_held, 0
        body = without_marks(self._text.pending[:size])
        try:
            if is_cut:
                raise MalformedCallError("cut")
            calls = self._calls.read(header.recipient + MESSAGE + body)
        except MalformedCallError:
            self._tell(header, size)
            return
        self._text.take(size)
        for call in calls:
            self._parts.append(CallPart(self._num_calls, call))
            self._num_calls += 1

    def _drop(self, header: Header, size: int) -> None:
        _, tokens = self._text.take(size)
        if header.kind == "thought":
            self.reasoning_tokens += len(tokens)

    def _tell(self, header: Header, size: int, *, is_last: bool = False) -> None:
        text, tokens = self._text.take(size, is_last=is_last)
        text = without_marks(text)
        if text and self._is_after_another:
            text, self._is_after_another = _BETWEEN_MESSAGES + text, False
        match header.kind:
            case "thought":
                self.reasoning_tokens += len(tokens)
                if text:
                    self._has_told["thought"] = True
                    self._parts.append(ThoughtPart(text))
            case "content":
                scores = [token.logprob for token in tokens if token.logprob is not None]
                if text or scores:
                    self._has_told["content"] = True
                    self._parts.append(TextPart(text, scores if self._text.has_logprobs else None))
            case "foreign":
                pass
