"""A table with a header line, CSV or TSV, made into rows.

Other columns stay with their row as they are, but for those whose name would be taken for its content.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from mlx_hub.core.dataset_source import write_rows
from mlx_hub.core.run_config import TrainingError

MAX_FIELD_CHARS = 2 * 2**20
_DELIMITERS = (",", ";", "\t")
_USUAL_NAMES = {
    "prompt": ("prompt", "question", "instruction", "input"),
    "completion": ("completion", "answer", "response", "output"),
    "system": ("system", "system_prompt"),
    "text": ("text", "content"),
}
_ROW_KEYS = frozenset({"messages", "tools", "prompt", "completion", "text"})


class CSVColumns(msgspec.Struct, frozen=True, kw_only=True):
    """Which column is what; None takes one with a usual name, if there is one."""

    prompt: str | None = None
    completion: str | None = None
    system: str | None = None
    text: str | None = None


class _Places(msgspec.Struct, frozen=True, kw_only=True):
    """Which column of the header is what: a prompt with its completion, perhaps a system text; or the text alone."""

    prompt: int | None = None
    completion: int | None = None
    system: int | None = None
    text: int | None = None


def convert_csv(source: str, destination: str, columns: CSVColumns, max_rows: int) -> int:
    """One row for each record; the number of rows. With a system column rows are conversations.

    Raises TrainingError: `csv` naming the line, `csv_columns`, `invalid_encoding` or `too_many_rows`.
    """
    csv.field_size_limit(MAX_FIELD_CHARS)
    try:
        with Path(source).open(encoding="utf-8-sig", newline="") as file, Path(destination).open("wb") as out:
            delimiter = _delimiter(file.readline())
            file.seek(0)
            return write_rows(out, _rows(csv.reader(file, delimiter=delimiter, strict=True), columns), max_rows)
    except UnicodeDecodeError as error:
        raise TrainingError("invalid_encoding", "The file is not UTF-8. Save it as UTF-8.") from error


def _delimiter(first_line: str) -> str:
    return max(_DELIMITERS, key=first_line.count)


def _rows(reader: Any, columns: CSVColumns) -> Iterator[dict[str, Any]]:
    count = 0
    try:
        header = [name.strip() for name in next(reader, [])]
        places = _places(header, columns)
        for record in reader:
            if not any(field.strip() for field in record):
                continue
            if len(record) != len(header):
                told = f"The record that ends in line {reader.line_num} has {len(record)} fields and the header {len(header)}."
                raise TrainingError("csv", told)
            yield _row(record, header, places)
            count += 1
    except csv.Error as error:
        raise TrainingError("csv", f"After {count} rows the file is not a table any more: {error}.") from error


def _places(header: list[str], columns: CSVColumns) -> _Places:
    """Columns that were chosen are used, or the table is refused; those with usual names stand in where none was."""
    wanted: dict[str, str | None] = msgspec.structs.asdict(columns)
    chosen = {part: _index(header, name) for part, name in wanted.items() if name is not None}
    if "text" in chosen and len(chosen) > 1:
        raise TrainingError("csv_columns", "A row is one text, or a prompt with its completion: choose text_column alone or not.")
    # Of columns with one name the first counts.
    free = {header[index].lower(): index for index in reversed(range(len(header))) if index not in chosen.values()}
    usual = {part: next((free[name] for name in names if name in free), None) for part, names in _USUAL_NAMES.items()}
    found = usual | chosen
    if "text" not in chosen and found["prompt"] is not None and found["completion"] is not None:
        return _Places(prompt=found["prompt"], completion=found["completion"], system=found["system"])
    if found["text"] is not None and chosen.keys() <= {"text"}:
        return _Places(text=found["text"])
    shown = ", ".join(name[:50] for name in header[:20]) or "none"
    message = f"Its columns are {shown}: say which are prompt_column and completion_column, or which is text_column."
    raise TrainingError("csv_columns", message)


def _index(header: list[str], name: str) -> int:
    if name not in header:
        raise TrainingError("csv_columns", f"There is no column {name[:100]!r}.")
    return header.index(name)


def _row(record: list[str], header: list[str], places: _Places) -> dict[str, Any]:
    used = set(msgspec.structs.astuple(places))
    others = {name: record[index] for index, name in enumerate(header) if index not in used and name not in _ROW_KEYS}
    if places.prompt is None or places.completion is None:
        assert places.text is not None
        return others | {"text": record[places.text]}
    prompt, completion = record[places.prompt], record[places.completion]
    if places.system is None:
        return others | {"prompt": prompt, "completion": completion}
    system = [{"role": "system", "content": record[places.system]}] if record[places.system].strip() else []
    asked = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
    return others | {"messages": [*system, *asked]}
