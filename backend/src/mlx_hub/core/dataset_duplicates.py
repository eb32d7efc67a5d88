"""Rows that say the same: exactly, or when case, spaces and punctuation are put aside.

Memory is bounded: 16 bytes and two numbers a row, and what is told of a group.
"""

import re
import unicodedata
from array import array
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import orjson

from mlx_hub.core.data_prep import Row, is_blank, lines, row_or_problem

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
    path, line_numbers, digests = Path(rows_path), array("Q"), bytearray()
    for _, line, row in _rows(path):
        if row is not None:
            line_numbers.append(line)
            digests += row_digest(row, match)
    first, sizes = _first_of_group(digests)
    is_repeat = first != np.arange(len(first))
    starts = np.flatnonzero((sizes > 1) & ~is_repeat)
    members: dict[int, list[int]] = {int(start): [] for start in starts[:MAX_GROUPS]}
    for number in np.flatnonzero(np.isin(first, starts[:MAX_GROUPS])).tolist():
        if len(found := members[int(first[number])]) < MAX_LINES_OF_GROUP:
            found.append(line_numbers[number])
    texts = _starts_of(path, {found[0] for found in members.values()})
    return DuplicateReport(
        num_groups=len(starts),
        num_duplicates=int(is_repeat.sum()),
        groups=[
            DuplicateGroup(lines=found, num_rows=int(sizes[start]), start=texts[found[0]]) for start, found in members.items()
        ],
    )


def write_distinct(request: DistinctRequest) -> int:
    """Writes every line but those that repeat an earlier one, as they are; how many were left out."""
    path, digests = Path(request.rows_path), bytearray()
    for _, _, row in _rows(path):
        if row is not None:
            digests += row_digest(row, request.match)
    first, _ = _first_of_group(digests)
    is_repeat = first != np.arange(len(first))
    number = 0
    with Path(request.destination).open("wb") as out:
        for content, _, row in _rows(path):
            is_left_out = row is not None and bool(is_repeat[number])
            number += row is not None
            if content is not None and not is_left_out:
                out.write(content if content.endswith(b"\n") else content + b"\n")
    return int(is_repeat.sum())


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


def _rows(path: Path) -> Iterator[tuple[bytes | None, int, Row | None]]:
    """Content, line and row of each line that is not blank; no row for one that cannot be used."""
    with path.open("rb") as file:
        for line, content in lines(file):
            if not is_blank(content):
                found = row_or_problem(content, line)
                yield content, line, found if isinstance(found, Row) else None


def _first_of_group(digests: bytearray) -> tuple[np.ndarray, np.ndarray]:
    """For each row the number of the first equal one, and at that number how many are equal. Rows are sorted, not tabled."""
    if not digests:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    keys = np.frombuffer(digests, "<u8").reshape(-1, 2)
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    ordered = keys[order]
    is_new = np.ones(len(order), bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    # lexsort is stable: the first of each run is the first in the file.
    first = np.empty(len(order), np.int64)
    first[order] = order[np.maximum.accumulate(np.where(is_new, np.arange(len(order)), 0))]
    return first, np.bincount(first, minlength=len(first))


def _starts_of(path: Path, wanted: set[int]) -> dict[int, str]:
    return {line: _start(row) for _, line, row in _rows(path) if row is not None and line in wanted} if wanted else {}


def _start(row: Row) -> str:
    text = row.text if row.text is not None else next((each["content"] for each in row.messages if each["content"]), "")
    return text[:_START_CHARS]
