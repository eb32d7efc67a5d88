"""Rows that say the same: exactly, or when case, spaces and punctuation are put aside.

Memory is bounded: 16 bytes and two numbers a row, and what is told of a group.
"""

import re
import unicodedata
from array import array
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import orjson

from mlx_hub.core.data_prep import Row, is_blank, lines, read_rows, row_or_problem

Match = Literal["exact", "normalised"]

MAX_GROUPS = 1000
MAX_LINES_OF_GROUP = 100
_START_CHARS = 200
_SEPARATORS = re.compile(r"[\W_]+")


class DuplicateGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that say the same. `lines` are the first of them, ascending; `start` is how the first row begins."""

    lines: list[int]
    num_rows: int
    start: str


class DuplicateReport(msgspec.Struct, frozen=True, kw_only=True):
    """`groups` are the first `MAX_GROUPS`, by their first line; `num_duplicates` rows repeat an earlier one."""

    num_groups: int
    num_duplicates: int
    groups: list[DuplicateGroup]


class DistinctRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which file, by which measure, and where the rows go that repeat none."""

    rows_path: str
    destination: str
    match: Match


def find_duplicates(rows_path: str, match: Match) -> DuplicateReport:
    """Rows that cannot be used are passed over."""
    path = Path(rows_path)
    line_numbers, first = _compare(path, match)
    is_repeat = first != np.arange(len(first))
    sizes = np.bincount(first, minlength=len(first))
    starts = np.flatnonzero((sizes > 1) & ~is_repeat)
    members: dict[int, list[int]] = {int(start): [] for start in starts[:MAX_GROUPS]}
    for number in np.flatnonzero(np.isin(first, starts[:MAX_GROUPS])).tolist():
        if len(found := members[int(first[number])]) < MAX_LINES_OF_GROUP:
            found.append(int(line_numbers[number]))
    texts = _starts_of(path, {found[0] for found in members.values()})
    return DuplicateReport(
        num_groups=len(starts),
        num_duplicates=int(is_repeat.sum()),
        groups=[
            DuplicateGroup(lines=found, num_rows=int(sizes[start]), start=texts[found[0]]) for start, found in members.items()
        ],
    )


def write_distinct(request: DistinctRequest) -> int:
    """Writes the lines as they are, but for those that repeat an earlier one; how many do.

    Blank lines, and lines that are too long for a row, are left out as well.
    """
    path = Path(request.rows_path)
    line_numbers, first = _compare(path, request.match)
    repeats = line_numbers[first != np.arange(len(first))]
    upcoming = iter(repeats)
    repeat = next(upcoming, None)
    with path.open("rb") as source, Path(request.destination).open("wb") as out:
        for line, content in lines(source):
            if line == repeat:
                repeat = next(upcoming, None)
            elif content is not None and not is_blank(content):
                out.write(content if content.endswith(b"\n") else content + b"\n")
    return len(repeats)


def row_digest(row: Row, match: Match) -> bytes:
    """Equal for rows that say the same."""
    if match == "exact":
        return row.digest()
    messages: list[dict[str, Any]] = [{**message, "content": _bare(message["content"])} for message in row.messages]
    text = None if row.text is None else _bare(row.text)
    if not text and not any(message["content"] for message in messages):
        return row.digest()  # Nothing but punctuation: it says what it says.
    content = orjson.dumps([messages, row.tools, text], option=orjson.OPT_SORT_KEYS)
    return blake2b(content, digest_size=16).digest()


def _bare(text: str) -> str:
    return _SEPARATORS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def _compare(path: Path, match: Match) -> tuple[np.ndarray, np.ndarray]:
    """Of each usable row its line, and the number of the first row that says the same."""
    line_numbers, digests = array("Q"), bytearray()
    for row in read_rows([path]):
        if isinstance(row, Row):
            line_numbers.append(row.line)
            digests += row_digest(row, match)
    return np.array(line_numbers, np.int64), first_equal(digests)


def first_equal(digests: bytearray) -> np.ndarray:
    """For each digest of 16 bytes the number of the first equal one. They are sorted, so no table of them is needed."""
    keys = np.frombuffer(digests, "<u8").reshape(-1, 2)
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    ordered = keys[order]
    is_repeated = np.zeros(len(order), bool)
    is_repeated[1:] = (ordered[1:] == ordered[:-1]).all(axis=1)
    # lexsort is stable: the first of each run is the first in the file.
    first = np.empty(len(order), np.int64)
    first[order] = order[np.maximum.accumulate(np.where(is_repeated, 0, np.arange(len(order))))]
    return first


def _starts_of(path: Path, wanted: set[int]) -> dict[int, str]:
    """How the rows in these lines begin; nothing else is parsed."""
    if not wanted:
        return {}
    with path.open("rb") as file:
        found = (row_or_problem(content, line) for line, content in lines(file) if line in wanted)
        return {row.line: _start(row) for row in found if isinstance(row, Row)}


def _start(row: Row) -> str:
    text = row.text if row.text is not None else next((each["content"] for each in row.messages if each["content"]), "")
    return text[:_START_CHARS]
