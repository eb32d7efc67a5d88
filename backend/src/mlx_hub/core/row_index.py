"""Where the rows of a stored dataset begin, so that any of them is read without those before it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlx_hub.core.data_prep import MAX_LINE_BYTES
from mlx_hub.core.run_config import TrainingError

INDEX_TYPE = np.dtype([("offset", "<u8"), ("line", "<u4")])
"""For each row, that is each line that is not blank: its first byte, and its line from 1."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as it stands in the file; `content` is None beyond `max_bytes`, and `start` then holds its beginning."""

    line: int
    num_bytes: int
    content: bytes | None
    start: bytes


def read_raw_rows(path: Path, index_path: Path, first: int, count: int, *, max_bytes: int = MAX_LINE_BYTES) -> Iterator[RawRow]:
    """Rows number `first` (from 0) up to `first + count`, fewer at the end of the file; one at a time is in memory.

    Raises TrainingError `bad_dataset` when a file is gone or the index does not fit.
    """
    try:
        index = read_index(index_path, first, count + 1)
        with path.open("rb") as file:
            ends = [*index["offset"][1:].tolist(), path.stat().st_size]
            for (offset, line), end in zip(index[:count].tolist(), ends, strict=False):
                file.seek(offset)
                content = file.readline(min(end - offset, max_bytes + 1))
                is_whole = len(content) <= max_bytes
                num_bytes = len(content) if is_whole else end - offset
                yield RawRow(line, num_bytes, content if is_whole else None, content[:2000])
    except (OSError, ValueError) as error:
        raise TrainingError("bad_dataset", f"The dataset's files cannot be read: {error}") from error


def read_index(index_path: Path, first: int, count: int) -> np.ndarray:
    return np.fromfile(index_path, INDEX_TYPE, count, offset=first * INDEX_TYPE.itemsize)


def num_indexed_rows(index_path: Path) -> int:
    """Raises TrainingError `bad_dataset` when the index is gone."""
    try:
        return index_path.stat().st_size // INDEX_TYPE.itemsize
    except OSError as error:
        raise TrainingError("bad_dataset", f"The dataset's files cannot be read: {error}") from error
