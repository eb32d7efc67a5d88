"""Datasets as the trainer reads them: JSONL rows with their line numbers, the held-out split, and the order of batches.

Everything here is a pure function of the files and the seed, and nothing here needs MLX.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson

MAX_LINE_BYTES = 16 * 2**20
MAX_PROBLEMS = 1000
"""Listed with their lines; all are counted."""
MAX_DEPTH = 200
"""Levels of JSON in a row, as in bodies of the API."""
ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_WINDOW_BATCHES = 64
"""Batches that are sorted by length together: rows stay mixed while padding stays small."""

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a row cannot be used, or deserves a look. `line` counts from 1 in its file; `file_index` tells the file."""

    line: int
    code: str
    message: str
    file_index: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One usable row: a conversation (`messages`, perhaps `tools`) or a plain `text`.

    A prompt with its completion is a conversation of two messages.
    """

    line: int
    messages: tuple[Message, ...] = ()
    tools: tuple[dict[str, Any], ...] | None = None
    text: str | None = None
    file_index: int = 0
    is_pair: bool = field(default=False, compare=False)
    """Whether it was written as `prompt` and `completion`."""

    def digest(self) -> bytes:
        """Of the content, wherever the row stands and however its JSON was written."""
        content = orjson.dumps([self.messages, self.tools, self.text], option=orjson.OPT_SORT_KEYS)
        return blake2b(content, digest_size=16).digest()


class _BadRowError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def read_rows(paths: Sequence[Path]) -> Iterator[Row | Problem]:
    """Rows of JSONL files in order, a problem for each line that is none; blank lines are skipped.

    Memory is bounded by `MAX_LINE_BYTES`, whatever the files hold.
    """
    for file_index, path in enumerate(paths):
        with path.open("rb") as file:
            for line, content in lines(file):
                if not is_blank(content):
                    yield row_or_problem(content, line, file_index)


def is_blank(content: bytes | None) -> bool:
    return content is not None and not content.strip()


def lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Numbered lines; None for one that is too long."""
    line = 0
    while part := file.readline(MAX_LINE_BYTES):
        line += 1
        content: bytes | None = part
        while len(part) == MAX_LINE_BYTES and not part.endswith(b"\n"):
            part = file.readline(MAX_LINE_BYTES)
            content = None
        yield line, content


def row_or_problem(content: bytes | None, line: int, file_index: int = 0) -> Row | Problem:
    """What one line holds; None stands for a line that is too long."""
    try:
        if content is None:
            raise _BadRowError("line_too_long", f"The line has more than {MAX_LINE_BYTES} bytes.")
        return parse_row(_decode(content), line=line, file_index=file_index)
    except _BadRowError as error:
        return Problem(line, error.code, error.message, file_index)


def _decode(content: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(content.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        is_text = not content.decode("utf-8", errors="replace").count("\ufffd")
        code = "invalid_json" if is_text else "invalid_encoding"
        raise _BadRowError(code, f"The line is not JSON in UTF-8: {error}") from error
    if not isinstance(value, dict):
        raise _BadRowError("not_an_object", "The line is not a JSON object.")
    if content.count(b"{") + content.count(b"[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise _BadRowError("too_deep", f"The JSON has more than {MAX_DEPTH} levels.")
    return value


def _depth(value: Any) -> int:
    """Levels of lists and objects, without recursion."""
    depth = 0
    level = [value]
    while level:
        depth += 1
        inner = [item.values() if isinstance(item, dict) else item for item in level]
        level = [child for children in inner for child in children if isinstance(child, dict | list)]
    return depth


def parse_row(value: dict[str, Any], *, line: int, file_index: int = 0) -> Row:
    """A row from `messages` (and `tools`), from `prompt` and `completion`, or from `text`; each row decides for itself."""
    if "messages" in value:
        messages, tools = _messages(value["messages"]), _tools(value.get("tools"))
        return Row(line, messages=messages, tools=tools, file_index=file_index)
    if "prompt" in value and "completion" in value:
        prompt, completion = _non_empty(value, "prompt"), _non_empty(value, "completion")
        pair = ({"role": "user", "content": prompt}, {"role": "assistant", "content": completion})
        return Row(line, messages=pair, tools=_tools(value.get("tools")), file_index=file_index, is_pair=True)
    if "text" in value:
        return Row(line, text=_non_empty(value, "text"), file_index=file_index)
    raise _BadRowError("unknown_format", "The row has neither `messages`, nor `prompt` and `completion`, nor `text`.")


def _non_empty(value: dict[str, Any], key: str) -> str:
    text = value[key]
    if not isinstance(text, str):
        raise _BadRowError("wrong_type", f"`{key}` is not a text.")
    if not text.strip():
        raise _BadRowError("empty_content", f"`{key}` is empty.")
    return text


def _messages(value: Any) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise _BadRowError("wrong_type", "`messages` is not a list of messages.")
    messages = tuple(_message(message, index) for index, message in enumerate(value))
    if not any(message["role"] == "assistant" for message in messages):
        raise _BadRowError("no_answer", "No message is the assistant's, so there is nothing to learn.")
    return messages


def _message(value: Any, index: int) -> Message:
    if not isinstance(value, dict) or value.get("role") not in ROLES:
        raise _BadRowError("bad_role", f"Message {index} has no role out of {', '.join(sorted(ROLES))}.")
    message = {key: field for key, field in value.items() if field is not None}
    message["content"] = _content(value.get("content"), index)
    if calls := message.get("tool_calls"):
        if not isinstance(calls, list):
            raise _BadRowError("wrong_type", f"`tool_calls` of message {index} is not a list.")
        message["tool_calls"] = [_with_arguments(call) for call in calls]
    elif message["role"] == "assistant" and not message["content"].strip():
        raise _BadRowError("empty_content", f"Message {index}, the assistant's, has neither content nor tool calls.")
    return message


def _content(content: Any, index: int) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
        return "".join(part["text"] for part in content)
    raise _BadRowError("wrong_type", f"The content of message {index} is neither a text nor a list of text parts.")


def _with_arguments(call: Any) -> Any:
    """Templates iterate over arguments, so those written as JSON text become objects, as they do when the model is served."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = orjson.loads(function["arguments"])
    except orjson.JSONDecodeError:
        return call
    return {**call, "function": {**function, "arguments": arguments}} if isinstance(arguments, dict) else call


def _tools(value: Any) -> tuple[dict[str, Any], ...] | None:
    if value is None or value == []:
        return None
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise _BadRowError("bad_tools", "`tools` is not a list of objects.")
    return tuple(value)


def split_rows(digests: Sequence[bytes], *, share: float, max_held_out: int, seed: int) -> tuple[list[int], list[int]]:
    """Indices of the rows to train on and to hold out, each ascending, chosen by the rows' content and the seed.

    Equal rows fall on the same side, so nothing held out is also trained on, and the order of the rows does not matter.
    """
    keys = [blake2b(digest, key=seed.to_bytes(8), digest_size=16).digest() for digest in digests]
    first_kept = sorted(keys)[min(int(len(keys) * share), max_held_out)] if keys else b""
    held_out = [index for index, key in enumerate(keys) if key < first_kept]
    return [index for index, key in enumerate(keys) if key >= first_kept], held_out


def _generator(seed: int, purpose: str, number: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, number, *purpose.encode()])))


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Which rows make up which batch of which step, for rows of `lengths` tokens; a pure function of seed and step.

    An epoch visits each row once. Rows of like length share a batch; the last batch may be smaller, and the last step
    of an epoch may have fewer batches, so that steps never span epochs.
    """

    lengths: np.ndarray
    batch_size: int
    gradient_accumulation: int
    seed: int

    @property
    def batches_per_epoch(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.batches_per_epoch // self.gradient_accumulation)

    def epoch_batches(self, epoch: int) -> list[np.ndarray]:
        """The epoch's batches, arrays of row indices, in the order in which they are trained."""
        generator = _generator(self.seed, "order", epoch)
        order = generator.permutation(len(self.lengths))
        window = self.batch_size * _WINDOW_BATCHES
        batches: list[np.ndarray] = []
        for start in range(0, len(order), window):
            rows = order[start : start + window]
            rows = rows[np.argsort(self.lengths[rows], kind="stable")]
            batches += [rows[first : first + self.batch_size] for first in range(0, len(rows), self.batch_size)]
        return [batches[index] for index in generator.permutation(len(batches))]

    def steps(self, first_step: int, num_steps: int) -> Iterator[list[np.ndarray]]:
        """Batches of the steps `first_step` (0 is the first of all) up to but not including `num_steps`."""
        batches: list[np.ndarray] = []
        current_epoch = -1
        for step in range(first_step, num_steps):
            epoch, place = divmod(step, self.steps_per_epoch)
            if epoch != current_epoch:
                batches, current_epoch = self.epoch_batches(epoch), epoch
            first = place * self.gradient_accumulation
            yield batches[first : first + self.gradient_accumulation]

    def padding_waste(self, width: int) -> float:
        """Share of the first epoch's token positions that hold padding when widths are multiples of `width`."""
        if not len(self.lengths):
            return 0.0
        positions = sum(len(rows) * padded_width(int(self.lengths[rows].max()), width) for rows in self.epoch_batches(0))
        return 1 - int(self.lengths.sum()) / positions


def padded_width(num_tokens: int, multiple: int) -> int:
    return -(-num_tokens // multiple) * multiple
