"""A table with a header line, CSV or TSV, made into rows. Columns without a part in them stay with their row as they are."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson

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
    prompt: int | None
    completion: int | None
    system: int | None
    text: int | None


def convert_csv(source: str, destination: str, columns: CSVColumns, max_rows: int) -> int:
    """One row for each record; the number of rows. With a system column rows are conversations.

    Raises TrainingError: `csv` naming the line, `csv_columns`, `invalid_encoding` or `too_many_rows`.
    """
    csv.field_size_limit(MAX_FIELD_CHARS)
    path = Path(source)
    count = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file, Path(destination).open("wb") as out:
            delimiter = _delimiter(file.readline())
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = [name.strip() for name in next(reader, [])]
            places = _places(header, columns)
            for record in _records(reader, header):
                count += 1
                if count > max_rows:
                    raise TrainingError("too_many_rows", f"The file has more than {max_rows} rows (MLX_HUB_MAX_ROWS).")
                out.write(orjson.dumps(_row(record, header, places), option=orjson.OPT_APPEND_NEWLINE))
    except UnicodeDecodeError as error:
        raise TrainingError("invalid_encoding", "The file is not UTF-8. Save it as UTF-8.") from error
    except csv.Error as error:
        raise TrainingError("csv", f"After {count} rows the file is not a table any more: {error}.") from error
    return count


def _delimiter(first_line: str) -> str:
    return max(_DELIMITERS, key=first_line.count)


def _places(header: list[str], columns: CSVColumns) -> _Places:
    found = _Places(**{part: _place(header, getattr(columns, part), usual) for part, usual in _USUAL_NAMES.items()})
    if found.text is None and (found.prompt is None or found.completion is None):
        shown = ", ".join(name[:50] for name in header[:20]) or "none"
        message = f"Its columns are {shown}: say which are prompt_column and completion_column, or which is text_column."
        raise TrainingError("csv_columns", message)
    return found


def _place(header: list[str], wanted: str | None, usual: tuple[str, ...]) -> int | None:
    if wanted is not None:
        if wanted not in header:
            raise TrainingError("csv_columns", f"There is no column {wanted[:100]!r}.")
        return header.index(wanted)
    lowered = [name.lower() for name in header]
    return next((lowered.index(name) for name in usual if name in lowered), None)


def _records(reader: Any, header: list[str]) -> Iterator[list[str]]:
    for record in reader:
        if not any(field.strip() for field in record):
            continue
        if len(record) != len(header):
            message = f"The record that ends in line {reader.line_num} has {len(record)} fields and the header {len(header)}."
            raise TrainingError("csv", message)
        yield record


def _row(record: list[str], header: list[str], places: _Places) -> dict[str, Any]:
    if places.prompt is not None and places.completion is not None:
        prompt, completion = record[places.prompt], record[places.completion]
        used = {places.prompt, places.completion, places.system}
        if places.system is None:
            row: dict[str, Any] = {"prompt": prompt, "completion": completion}
        else:
            system = [{"role": "system", "content": record[places.system]}] if record[places.system].strip() else []
            asked = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
            row = {"messages": [*system, *asked]}
    else:
        assert places.text is not None
        row, used = {"text": record[places.text]}, {places.text}
    others = {name: record[index] for index, name in enumerate(header) if index not in used and name not in _ROW_KEYS}
    return others | row
