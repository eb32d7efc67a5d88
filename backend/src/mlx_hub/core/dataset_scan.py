"""One pass over an uploaded JSONL file: what each line is, what is wrong, duplicates, and where the rows begin.

Memory is bounded: by `MAX_LINE_BYTES` for a line, and by 40 bytes a row. Call it in a process of its own.
"""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from mlx_hub.core.data_prep import MAX_PROBLEMS, Problem, Row, is_blank, lines, row_or_problem
from mlx_hub.core.dataset_duplicates import first_equal
from mlx_hub.core.row_index import INDEX_TYPE
from mlx_hub.core.run_config import TrainingError

_FORMAT_ORDER = ("tools", "chat", "completions", "text")
_NAMED_PROBLEMS = 5


class ScanReport(msgspec.Struct, frozen=True, kw_only=True):
    """Rows are the lines that are not blank; `format_counts` and duplicates are of the usable ones.

    A duplicate is a row whose content stood in an earlier line: it is counted among the problems, but usable.
    """

    format: str
    num_rows: int
    num_usable_rows: int
    num_duplicates: int
    format_counts: dict[str, int]
    problem_counts: dict[str, int]


@dataclass(slots=True)
class _Scan:
    lines: "array[int]" = field(default_factory=lambda: array("Q"))
    offsets: "array[int]" = field(default_factory=lambda: array("Q"))
    digests: bytearray = field(default_factory=bytearray)
    """16 bytes of each usable row."""
    usable: "array[int]" = field(default_factory=lambda: array("I"))
    """Numbers of the usable rows, from 0."""
    formats: Counter[str] = field(default_factory=Counter)
    problem_counts: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)


def scan_dataset(path: str, index_path: str, problems_path: str, max_rows: int) -> ScanReport:
    """Writes the index of the rows and the first `MAX_PROBLEMS` problems, both in the order of lines.

    Raises TrainingError: `too_many_rows`, or `no_rows` with the first reasons when no row is usable.
    """
    scan = _read(Path(path), max_rows)
    if not scan.usable:
        raise TrainingError("no_rows", _nothing_usable(scan))
    num_duplicates = _note_duplicates(scan)
    index = np.empty(len(scan.offsets), INDEX_TYPE)
    index["offset"], index["line"] = scan.offsets, scan.lines
    Path(index_path).write_bytes(index.tobytes())
    Path(problems_path).write_bytes(msgspec.json.encode(sorted(scan.problems, key=lambda found: found.line)[:MAX_PROBLEMS]))
    return ScanReport(
        format=max(_FORMAT_ORDER, key=lambda name: scan.formats[name]),
        num_rows=len(scan.offsets),
        num_usable_rows=len(scan.usable),
        num_duplicates=num_duplicates,
        format_counts=dict(scan.formats),
        problem_counts=dict(scan.problem_counts),
    )


def _read(path: Path, max_rows: int) -> _Scan:
    scan = _Scan()
    with path.open("rb") as file:
        offset = 0
        for line, content in lines(file):
            start, offset = offset, file.tell()
            if is_blank(content):
                continue
            if len(scan.offsets) == max_rows:
                raise TrainingError("too_many_rows", f"The file has more than {max_rows} rows (MLX_HUB_MAX_ROWS).")
            scan.lines.append(line)
            scan.offsets.append(start)
            _note(scan, row_or_problem(content, line))
    return scan


def _note(scan: _Scan, found: Row | Problem) -> None:
    if isinstance(found, Problem):
        scan.problem_counts[found.code] += 1
        if len(scan.problems) < MAX_PROBLEMS:
            scan.problems.append(found)
        return
    scan.formats[row_format(found)] += 1
    scan.digests += found.digest()
    scan.usable.append(len(scan.offsets) - 1)


def row_format(row: Row) -> str:
    """tools, chat, completions or text."""
    if row.text is not None:
        return "text"
    if row.tools or any(message.get("tool_calls") for message in row.messages):
        return "tools"
    return "completions" if row.is_pair else "chat"


def _note_duplicates(scan: _Scan) -> int:
    """Notes the first of them and returns how many there are."""
    first = first_equal(scan.digests)
    repeats = np.flatnonzero(first != np.arange(len(first)))
    for number in repeats[:MAX_PROBLEMS].tolist():
        line, earlier = (scan.lines[scan.usable[each]] for each in (number, int(first[number])))
        scan.problems.append(Problem(line, "duplicate", f"The same row stands in line {earlier}."))
    if len(repeats):
        scan.problem_counts["duplicate"] = len(repeats)
    return len(repeats)


def _nothing_usable(scan: _Scan) -> str:
    if not scan.offsets:
        return "The file is empty. A dataset is JSONL: one JSON object in each line."
    named = " ".join(f"Line {found.line}: {found.message}" for found in scan.problems[:_NAMED_PROBLEMS])
    counts = ", ".join(f"{count} {code}" for code, count in scan.problem_counts.most_common())
    return (
        f"No row of the file can be used ({counts}). {named} A dataset is JSONL: one JSON object in each line, with "
        "`messages`, with `prompt` and `completion`, or with `text`."
    )
