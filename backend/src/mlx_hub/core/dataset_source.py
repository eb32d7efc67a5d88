"""What people upload made into JSONL: plain text becomes rows of `text`, a JSON array one row for each element."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from mlx_hub.core.data_prep import is_blank, lines
from mlx_hub.core.run_config import TrainingError

MAX_ARRAY_BYTES = 64 * 2**20
"""An array is parsed whole, which takes about ten times its size."""
MAX_PARAGRAPH_BYTES = 2 * 2**20
"""Written as JSON it may grow sixfold, which a line still holds."""
_BOM = b"\xef\xbb\xbf"


def convert_text(source: str, destination: str, max_rows: int) -> int:
    """One row for each paragraph, that is for the lines between blank lines; the number of rows.

    Raises TrainingError: `invalid_encoding`, `too_many_rows`, or `line_too_long` for a paragraph without end.
    """
    with Path(source).open("rb") as file, Path(destination).open("wb") as out:
        return write_rows(out, ({"text": paragraph} for paragraph in _paragraphs(file)), max_rows)


def convert_array(source: str, destination: str, max_rows: int) -> int:
    """Raises TrainingError: `json_array`, saying how to convert the file, or `too_many_rows`."""
    path = Path(source)
    if path.stat().st_size > MAX_ARRAY_BYTES:
        message = f"The file is a JSON array of more than {MAX_ARRAY_BYTES} bytes. Make it JSONL: jq -c '.[]' FILE > rows.jsonl"
        raise TrainingError("json_array", message)
    try:
        values = orjson.loads(path.read_bytes().removeprefix(_BOM))
    except orjson.JSONDecodeError as error:
        message = f"The file begins as a JSON array but is none: {error}. A dataset is JSONL: one JSON object in each line."
        raise TrainingError("json_array", message) from error
    with Path(destination).open("wb") as out:
        return write_rows(out, iter(values), max_rows)


def write_rows(out: BinaryIO, values: Iterator[Any], max_rows: int) -> int:
    """A line for each value; how many there are. Raises TrainingError `too_many_rows`."""
    count = 0
    for value in islice(values, max_rows + 1):
        count += 1
        out.write(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))
    if count > max_rows:
        raise TrainingError("too_many_rows", f"The file has more than {max_rows} rows (MLX_HUB_MAX_ROWS).")
    return count


def _paragraphs(file: BinaryIO) -> Iterator[str]:
    parts: list[bytes] = []
    size, first_line = 0, 1
    for line, content in lines(file):
        if is_blank(content):
            if parts:
                yield _text(parts, first_line)
            parts, size = [], 0
            continue
        if not parts:
            first_line = line
        size += MAX_PARAGRAPH_BYTES + 1 if content is None else len(content)
        if size > MAX_PARAGRAPH_BYTES:
            message = (
                f"The paragraph that begins in line {first_line} has more than {MAX_PARAGRAPH_BYTES} bytes. "
                "Rows of a text file are divided by blank lines: put some between them."
            )
            raise TrainingError("line_too_long", message)
        parts.append(content or b"")
    if parts:
        yield _text(parts, first_line)


def _text(parts: list[bytes], first_line: int) -> str:
    try:
        text = b"".join(parts).removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        line = first_line + b"".join(parts)[: error.start].count(b"\n")
        raise TrainingError("invalid_encoding", f"Line {line} is not UTF-8. Save the file as UTF-8.") from error
    return text.replace("\r\n", "\n").strip("\n")
