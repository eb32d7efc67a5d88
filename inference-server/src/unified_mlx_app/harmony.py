"""OpenAI's harmony format, which gpt-oss writes: an answer is messages, and each goes to a channel. Both processes use it, so it
knows nothing of the package.

In texts each control token is one character that Unicode keeps for such use. So no words of the model are taken for a token,
and no piece of text ends within one.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

START, CHANNEL, CONSTRAIN, MESSAGE, END, CALL, RETURN = "\ufdd0\ufdd1\ufdd2\ufdd3\ufdd4\ufdd5\ufdd6"
TOKENS = {
    "<|start|>": START,
    "<|channel|>": CHANNEL,
    "<|constrain|>": CONSTRAIN,
    "<|message|>": MESSAGE,
    "<|end|>": END,
    "<|call|>": CALL,
    "<|return|>": RETURN,
}
"""The control tokens and what stands for them in texts."""

_ANY_MARK = "".join(TOKENS.values())
_WITHOUT_MARKS = dict.fromkeys(map(ord, _ANY_MARK))
_BODY_END = re.compile(f"[{START}{CHANNEL}{END}{CALL}{RETURN}]")
_HEAD_END = re.compile(f"[{START}{MESSAGE}{END}{CALL}{RETURN}]")
_ROLE = re.compile(rf"{START}\s*([^\s{_ANY_MARK}]+)")
_NAME_OF_CHANNEL = re.compile(rf"{CHANNEL}\s*([^\s{_ANY_MARK}]+)")
_RECIPIENT = re.compile(rf"(?:^|[\s{_ANY_MARK}])to=([^\s{_ANY_MARK}]+)")
_OPENED = re.compile(r"<\|start\|>assistant([^<]*(?:<\|channel\|>[^<]*(?:<\|message\|>)?)?)\Z")


def is_harmony_template(template: str) -> bool:
    """Whether a chat template writes harmony's messages."""
    return all(token in template for token in ("<|start|>", "<|channel|>", "<|message|>"))


def opened_by(prompt: str) -> str:
    """What a rendered prompt has begun of the answer's first message after naming its role."""
    opened = _OPENED.search(prompt, max(0, len(prompt) - 500))
    text = opened[1] if opened else ""
    for token, mark in TOKENS.items():
        text = text.replace(token, mark)
    return text


def end_token_ids(listed: Iterable[int], token_to_id: Callable[[str], int | None]) -> frozenset[int]:
    """The ids that end an answer, of those that a model's files list: where the vocabulary is harmony's a call always ends one,
    whatever the files say, and the end of a message never does."""
    ids = {mark: token_to_id(token) for token, mark in TOKENS.items()}
    if any(token_id is None for token_id in ids.values()):
        return frozenset(listed)
    ending = {ids[CALL], ids[RETURN]}
    return frozenset(token_id for token_id in {*listed, *ending} if token_id is not None and token_id != ids[END])


def without_marks(text: str) -> str:
    """A control token in the midst of a body is no text."""
    return text.translate(_WITHOUT_MARKS)


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before a message's body."""

    role: str = "assistant"
    channel: str = "final"
    recipient: str = ""

    @property
    def kind(self) -> Literal["thought", "content", "foreign"]:
        """What the body is for the reader of the answer; foreign ones are messages in another's name."""
        if self.role != "assistant":
            return "foreign"
        return "thought" if self.channel == "analysis" else "content"


@dataclass(frozen=True, slots=True)
class Run:
    """The next stretch of an answer: a message's header, more of its body, or its end. One without a header belongs to none."""

    kind: Literal["head", "body", "end"]
    text: str
    header: Header | None

    @property
    def is_visible(self) -> bool:
        """Whether the answer's reader sees it as content."""
        return self.kind == "body" and self.header is not None and self.header.kind == "content" and not self.header.recipient


class MessageReader:
    """Cuts an answer into runs, wherever the pieces of it end. The texts of all runs joined are the answer's.

    Words where a header is expected are the answer itself, as if the final channel had been named.
    """

    def __init__(self, opening: str = "") -> None:
        self._header: Header | None = None
        """Of the message whose body is being read."""
        self._head = ""
        self.push(opening)

    @property
    def header(self) -> Header | None:
        return self._header

    def push(self, text: str) -> list[Run]:
        """The runs that are certain now."""
        runs: list[Run] = []
        while text:
            text = self._read_head(text, runs) if self._header is None else self._read_body(text, self._header, runs)
        return runs

    def finish(self) -> list[Run]:
        """What is left when nothing more comes; a header that was cut is of no message."""
        head, self._head = self._head, ""
        if not head:
            return []
        if any(mark in head for mark in _ANY_MARK):
            return [Run("end", head, None)]
        self._header = Header()
        return [Run("body", head, self._header)]

    def _read_body(self, text: str, header: Header, runs: list[Run]) -> str:
        """Returns what is still to be read."""
        end = _BODY_END.search(text)
        index = end.start() if end else len(text)
        if index:
            runs.append(Run("body", text[:index], header))
        if end is None:
            return ""
        mark = "" if end[0] in (START, CHANNEL) else end[0]  # Those two begin the next header.
        runs.append(Run("end", mark, header))
        self._header = None
        return text[index + len(mark) :]

    def _read_head(self, text: str, runs: list[Run]) -> str:
        end = _HEAD_END.search(text)
        self._head += text[: end.start() if end else len(text)]
        rest = text[end.start() :] if end else ""
        if _begins_with_words(self._head):
            text, self._head, self._header = self._head + rest, "", Header()
            return text
        if end is None:
            return ""
        if end[0] == START:
            if self._head:
                runs.append(Run("end", self._head, None))
            self._head = START
        elif end[0] == MESSAGE:
            self._header, head, self._head = _header_of(self._head), self._head, ""
            runs.append(Run("head", head + MESSAGE, self._header))
        else:
            runs.append(Run("end", self._head + end[0], None))
            self._head = ""
        return rest[1:]


def _begins_with_words(head: str) -> bool:
    """Whether what stands where a header is expected is none: it begins with a mark, or with the recipient."""
    words = head.lstrip()
    return bool(words) and words[0] not in _ANY_MARK and not "to=".startswith(words[:3])


def _header_of(head: str) -> Header:
    role, channel, recipient = (pattern.search(head) for pattern in (_ROLE, _NAME_OF_CHANNEL, _RECIPIENT))
    return Header(role[1] if role else "assistant", channel[1] if channel else "final", recipient[1] if recipient else "")
