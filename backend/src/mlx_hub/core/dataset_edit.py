"""A dataset's file written anew with some rows replaced, left out or added; all others as they stand, byte for byte.

Memory is bounded by the edits and by one line.
"""

from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from mlx_hub.core.data_prep import MAX_LINE_BYTES
from mlx_hub.core.run_config import TrainingError

Operation = Literal["replace", "delete", "insert"]


class RowEdit(msgspec.Struct, frozen=True, kw_only=True):
    """`row` counts from 1 in the file before the edits, blank lines not counted; what is inserted stands before it.

    `line` is the JSON of the new row, without a line break.
    """

    operation: Operation
    row: int
    line: bytes = b""


class EditRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which file, where the new one goes, and what is different in it."""

    rows_path: str
    destination: str
    edits: list[RowEdit]


def edit_dataset(request: EditRequest) -> int:
    """Writes the new file; the number of its rows. Raises TrainingError `bad_edit` for rows that the file has not."""
    inserted: dict[int, list[bytes]] = {}
    for edit in request.edits:
        if edit.operation == "insert":
            inserted.setdefault(edit.row, []).append(edit.line)
    changed = {edit.row: edit for edit in request.edits if edit.operation != "insert"}
    with Path(request.rows_path).open("rb") as source, Path(request.destination).open("wb") as out:
        row, num_written = 0, 0
        while start := source.readline(MAX_LINE_BYTES):
            if not start.strip() and (start.endswith(b"\n") or len(start) < MAX_LINE_BYTES):
                out.write(start)
                continue
            row += 1
            new_lines = inserted.pop(row, [])
            edit = changed.pop(row, None)
            if edit is not None and edit.operation == "replace":
                new_lines.append(edit.line)
            for line in new_lines:
                out.write(line + b"\n")
            num_written += len(new_lines) + (edit is None)
            _pass_on(source, None if edit is not None else out, start)
        at_end = inserted.pop(row + 1, [])
        for line in at_end:
            out.write(line + b"\n")
    if wrong := [*inserted, *changed]:
        raise TrainingError("bad_edit", f"The dataset has {row} rows, and an edit names row {max(wrong)}.")
    return num_written + len(at_end)


def _pass_on(source: BinaryIO, out: BinaryIO | None, part: bytes) -> None:
    """The rest of a line, however long it is, to `out` or nowhere; the last line of a file gets a line break."""
    while True:
        if out is not None:
            out.write(part)
        if part.endswith(b"\n"):
            return
        if not (following := source.readline(MAX_LINE_BYTES)):
            if out is not None:
                out.write(b"\n")
            return
        part = following
