"""A stored dataset divided into rows to train on and rows to validate with, the same whenever it is done again."""

from pathlib import Path

import msgspec

from mlx_hub.core.data_prep import Row, is_blank, lines, read_rows, split_rows
from mlx_hub.core.run_config import TrainingError


class SplitRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which file, how much of it is for validation, and where the parts go."""

    rows_path: str
    validation_share: float
    seed: int
    train_path: str
    validation_path: str


class SplitCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that cannot be used are in neither part."""

    num_train_rows: int
    num_validation_rows: int
    num_dropped_rows: int


def split_dataset(request: SplitRequest) -> SplitCounts:
    """Writes both parts, their lines as they were. Raises TrainingError `no_rows` when one would be empty."""
    digests = [row.digest() if isinstance(row, Row) else None for row in read_rows([Path(request.rows_path)])]
    usable = [digest for digest in digests if digest is not None]
    train, validation = split_rows(usable, share=request.validation_share, max_held_out=len(usable), seed=request.seed)
    if not train or not validation:
        message = f"{len(usable)} usable rows cannot be split so that no part is empty: choose another validation_share."
        raise TrainingError("no_rows", message)
    _write_parts(request, digests, frozenset(validation))
    return SplitCounts(
        num_train_rows=len(train), num_validation_rows=len(validation), num_dropped_rows=len(digests) - len(usable)
    )


def _write_parts(request: SplitRequest, digests: list[bytes | None], validation: frozenset[int]) -> None:
    with (
        Path(request.rows_path).open("rb") as rows,
        Path(request.train_path).open("wb") as train,
        Path(request.validation_path).open("wb") as validate,
    ):
        number = 0
        contents = (content for _, content in lines(rows) if not is_blank(content))
        for content, digest in zip(contents, digests, strict=True):
            if content is None or digest is None:
                continue
            part = validate if number in validation else train
            part.write(content if content.endswith(b"\n") else content + b"\n")
            number += 1
