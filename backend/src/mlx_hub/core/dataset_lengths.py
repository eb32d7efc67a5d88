"""How long the rows of a dataset are, in characters and in messages, without any model."""

from array import array
from pathlib import Path

import msgspec
import numpy as np

from mlx_hub.core.data_prep import Row, read_rows
from mlx_hub.core.dataset_inspection import Bin, histogram


class LengthStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles are nearest-rank."""

    p50: int
    p95: int
    p99: int
    max: int
    total: int
    histogram: list[Bin]


class DatasetLengths(msgspec.Struct, frozen=True, kw_only=True):
    """Of the usable rows. A text has no messages and counts as one; both are None when no row is usable."""

    num_usable_rows: int
    characters: LengthStatistics | None
    messages: LengthStatistics | None


def measure_lengths(rows_path: str) -> DatasetLengths:
    """Reads the whole file; memory is 8 bytes a row."""
    characters, messages = array("i"), array("i")
    for row in read_rows([Path(rows_path)]):
        if isinstance(row, Row):
            text = len(row.text) if row.text is not None else 0
            characters.append(text + sum(len(message["content"]) for message in row.messages))
            messages.append(max(1, len(row.messages)))
    return DatasetLengths(num_usable_rows=len(characters), characters=_statistics(characters), messages=_statistics(messages))


def _statistics(values: "array[int]") -> LengthStatistics | None:
    if not values:
        return None
    lengths = np.array(values, np.int64)
    p50, p95, p99 = (int(value) for value in np.percentile(lengths, [50, 95, 99], method="inverted_cdf"))
    return LengthStatistics(
        p50=p50, p95=p95, p99=p99, max=int(lengths.max()), total=int(lengths.sum()), histogram=histogram(lengths, p99)
    )
