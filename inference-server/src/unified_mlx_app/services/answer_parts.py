"""An answer's text taken apart as it comes: thoughts, content and tool calls.

Pure and synchronous: one AnswerParser reads one choice. Where the text is cut into pieces makes no difference to what comes out.
A call is told once it is complete and valid, never half; what only looked like one stays text.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from unified_mlx_app.marks import first_mark, overlap
from unified_mlx_app.services.reasoning import ThinkMarks
from unified_mlx_app.services.tool_calls import CallReader, ToolCall, ToolUse
from unified_mlx_app.services.tool_dialects.calls import MalformedCallError, UnfinishedCallError
from unified_mlx_app.services.tool_dialects.table import Dialect
from unified_mlx_app.types import FinishReason, TokenLogprob


@dataclass(frozen=True, slots=True)
class TextPart:
    """More of the content, and the log-probabilities of its tokens where they were asked for."""

    text: str
    logprobs: list[TokenLogprob] | None = None


@dataclass(frozen=True, slots=True)
class ThoughtPart:
    """More of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class CallPart:
    """A complete tool call, the `index`-th of its choice."""

    index: int
    call: ToolCall


Part = TextPart | ThoughtPart | CallPart


@dataclass(frozen=True, slots=True)
class AnswerShape:
    """What an answer may consist of besides plain text."""

    think: ThinkMarks | None = None
    is_thinking: bool = False
    """The prompt has opened a thought."""
    dialect: Dialect | None = None
    tools: ToolUse | None = None
    harmony: str | None = None
    """For an answer in harmony, gpt-oss's format: what the prompt has begun of its first message."""


@dataclass(slots=True)
class _Token:
    """`start` is where in the answer's text it begins, counted in characters."""

    start: int
    logprob: TokenLogprob | None


@dataclass(slots=True)
class PendingText:
    """The part of the answer that is not taken apart yet; `offset` characters were before it."""

    offset: int = 0
    pending: str = ""
    tokens: deque[_Token] = field(default_factory=deque)
    has_logprobs: bool = False

    def add(self, text: str, num_tokens: int, logprobs: Sequence[TokenLogprob] | None) -> None:
        """The tokens that come with `text` begin where the text so far ends."""
        self.has_logprobs = self.has_logprobs or logprobs is not None
        scores = [*(logprobs or ())]
        start = self.offset + len(self.pending)
        for index in range(num_tokens):
            self.tokens.append(_Token(start, scores[index] if index < len(scores) else None))
        self.pending += text

    def take(self, size: int, *, is_last: bool = False) -> tuple[str, list[_Token]]:
        """The next `size` characters and the tokens that begin in them; the last take has all tokens that are left."""
        text, self.pending = self.pending[:size], self.pending[size:]
        self.offset += size
        taken: list[_Token] = []
        while self.tokens and (self.tokens[0].start < self.offset or is_last):
            taken.append(self.tokens.popleft())
        return text, taken


class AnswerParser:
    """Feed it with `push`, then `finish` once; both give the parts that are certain now."""

    def __init__(self, shape: AnswerShape) -> None:
        self._think = shape.think
        use, dialect = shape.tools, shape.dialect
        self._calls = CallReader(dialect, use) if dialect is not None and use is not None else None
        self._is_plain = self._think is None and self._calls is None
        self._state: Literal["content", "thought", "call"] = "thought" if shape.is_thinking and self._think else "content"
        self._opened_in: Literal["content", "thought"] = "content"
        self._search_from = 0
        self._is_at_start = True
        """No content was told yet, so a thought may begin."""
        self._strips = self._state == "thought"
        self._text = PendingText()
        self._parts: list[Part] = []
        self._num_calls = 0
        self.reasoning_tokens = 0
        """Tokens in thoughts so far, their marks included."""

    def push(self, text: str, num_tokens: int = 1, logprobs: Sequence[TokenLogprob] | None = None) -> list[Part]:
        """Take more of the answer: the tokens that came with it begin where the text so far ends."""
        if self._is_plain:
            return [TextPart(text, list(logprobs) if logprobs is not None else None)] if text or logprobs else []
        self._text.add(text, num_tokens, logprobs)
        while self._step():
            pass
        return self._told()

    def finish(self, reason: FinishReason) -> list[Part]:
        """The rest of an answer that ended for `reason`."""
        if not self._is_plain:
            while self._finish_step(reason):
                pass
        return self._told()

    def _told(self) -> list[Part]:
        parts, self._parts = self._parts, []
        return parts

    # ------------------------------------------------------------------ steps

    def _step(self) -> bool:
        """One step through the pending text; False when more of it is needed."""
        match self._state:
            case "call":
                return self._read_call()
            case "thought":
                return self._read_thought()
            case "content":
                return self._read_content()

    def _read_content(self) -> bool:
        pending = self._text.pending
        if self._begins_bare_call():
            self._open_call(0, "")
            return True
        marks = self._marks_in_content()
        index, mark = first_mark(pending, marks)
        if mark is None:
            num_held = max((overlap(pending, each) for each in marks), default=0)
            self._tell_content(self._certain(len(pending) - num_held))
            return False
        if self._calls is not None and mark == self._calls.dialect.start:
            self._open_call(index, mark)
        elif self._think is not None and mark in self._think.noise:
            self._tell_content(index)
            self._drop(len(mark))
        elif self._is_at_start and not pending[:index].strip():
            self._drop(index)
            self._drop(len(mark), is_thought=True)
            self._state, self._strips = "thought", True
        else:
            self._tell_content(index + len(mark))
        return True

    def _marks_in_content(self) -> list[str]:
        marks = list(self._think.noise) if self._think is not None else []
        if self._think is not None and self._is_at_start:
            marks.append(self._think.start)
        if self._calls is not None and self._calls.dialect.start:
            marks.append(self._calls.dialect.start)
        return marks

    def _begins_bare_call(self) -> bool:
        """Where calls have no marks, an answer that begins like JSON may be one."""
        if self._calls is None or self._calls.dialect.start or not self._is_at_start:
            return False
        return self._text.pending.lstrip().startswith(("{", "["))

    def _certain(self, size: int) -> int:
        """Blanks at the end wait: they are dropped if a call or a thought follows."""
        text = self._text.pending[:size]
        if self._is_at_start and not text.strip() and (self._calls is not None or self._think is not None):
            return 0
        return len(text.rstrip()) if self._calls is not None else size

    def _read_thought(self) -> bool:
        assert self._think is not None
        pending = self._text.pending
        if self._strips and self._think.start.startswith(pending.lstrip()[: len(self._think.start)]):
            # Some models open a thought that the prompt has opened.
            if len(pending.lstrip()) < len(self._think.start):
                return False
            self._drop(pending.index(self._think.start) + len(self._think.start), is_thought=True)
            return True
        marks = [self._think.end]
        if self._calls is not None and self._calls.dialect.start:
            marks.append(self._calls.dialect.start)
        index, mark = first_mark(pending, marks)
        if mark is None:
            num_held = max(overlap(pending, each) for each in marks)
            self._tell_thought(len(pending[: len(pending) - num_held].rstrip()))
            return False
        if mark == self._think.end:
            self._tell_thought(len(pending[:index].rstrip()))
            self._drop(self._text.pending.index(mark) + len(mark), is_thought=True)
            self._state, self._strips = "content", True
            return True
        self._open_call(index, mark)
        return True

    # ------------------------------------------------------------------ calls

    def _open_call(self, index: int, mark: str) -> None:
        """What goes before the call is certain, but for the blanks at its end, which wait for how the call turns out."""
        assert self._state != "call"
        before = len(self._text.pending[:index].rstrip())
        (self._tell_thought if self._state == "thought" else self._tell_content)(before)
        self._opened_in, self._state = self._state, "call"
        self._search_from = self._text.pending.index(mark) + len(mark)

    def _read_call(self) -> bool:
        assert self._calls is not None
        start, end = self._body_start(), self._calls.dialect.end
        index = self._text.pending.find(end, self._search_from) if end else -1
        if index < 0:
            self._search_from = max(start, len(self._text.pending) - len(end) + 1)
            return False
        try:
            self._tell_calls(self._calls.read(self._text.pending[start:index]), index + len(end))
        except UnfinishedCallError:
            self._search_from = index + len(end)  # The end mark may stand in a value.
        except MalformedCallError:
            self._reject_call()
        return True

    def _body_start(self) -> int:
        assert self._calls is not None
        mark = self._calls.dialect.start
        return self._text.pending.index(mark) + len(mark)

    def _tell_calls(self, calls: list[ToolCall], size: int) -> None:
        self._drop(size)
        for call in calls:
            self._parts.append(CallPart(self._num_calls, call))
            self._num_calls += 1
        self._state, self._strips, self._is_at_start = "content", True, False

    def _reject_call(self) -> None:
        """The mark is text, and what follows it is read anew."""
        self._state = self._opened_in
        size = self._body_start() or len(self._text.pending)
        (self._tell_thought if self._state == "thought" else self._tell_content)(size)

    # ---------------------------------------------------------------- the end

    def _finish_step(self, reason: FinishReason) -> bool:
        """One step through what is pending when nothing more comes; False when all is told."""
        match self._state:
            case "call":
                self._finish_call(reason)
                return True
            case "thought":
                self._tell_thought(len(self._text.pending.rstrip()))
                self._drop(len(self._text.pending), is_thought=True, is_last=True)
            case "content" if self._strips and not self._text.pending.strip():
                self._drop(len(self._text.pending), is_last=True)
            case "content":
                self._tell_content(len(self._text.pending), is_last=True)
        return False

    def _finish_call(self, reason: FinishReason) -> None:
        """A call that the model did not close counts if it is complete, unless the limit of tokens cut it."""
        assert self._calls is not None
        end, size = self._calls.dialect.end, len(self._text.pending)
        try:
            if end and reason == "length":
                raise UnfinishedCallError("cut")
            self._tell_calls(self._calls.read(self._text.pending[self._body_start() :]), size)
        except MalformedCallError:
            self._reject_call()
            while self._step():
                pass

    # ------------------------------------------------------------------ telling

    def _drop(self, size: int, *, is_thought: bool = False, is_last: bool = False) -> None:
        _, tokens = self._text.take(size, is_last=is_last)
        if is_thought:
            self.reasoning_tokens += len(tokens)

    def _tell_thought(self, size: int) -> None:
        assert self._think is not None
        if self._strips:
            num_blanks = _num_blanks(self._text.pending[:size])
            self._drop(num_blanks, is_thought=True)
            size -= num_blanks
        text, tokens = self._text.take(size)
        self.reasoning_tokens += len(tokens)
        if text:
            self._strips = False
            self._parts.append(ThoughtPart(text))

    def _tell_content(self, size: int, *, is_last: bool = False) -> None:
        if self._strips:
            num_blanks = _num_blanks(self._text.pending[:size])
            self._drop(num_blanks)
            size -= num_blanks
        text, tokens = self._text.take(size, is_last=is_last)
        scores = [token.logprob for token in tokens if token.logprob is not None]
        if text or scores:
            self._strips = self._is_at_start = False
            self._parts.append(TextPart(text, scores if self._text.has_logprobs else None))


def _num_blanks(text: str) -> int:
    return len(text) - len(text.lstrip())
