"""What rides with the rows of a batch. Engine thread only."""

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class RowValues(Generic[T]):
    """One value for each row of a batch, in the guise of one more of mlx-lm's caches (0.32).

    So it joins, leaves and moves with its row. It is added and taken off by the runner: no stored state ever holds one.
    """

    nbytes = 0

    def __init__(self, values: Iterable[T]) -> None:
        self.values = list(values)

    def __deepcopy__(self, memo: object) -> "RowValues[T]":
        return RowValues(self.values)

    @property
    def state(self) -> list[object]:
        return []

    @classmethod
    def merge(cls, parts: Sequence["RowValues[T]"]) -> "RowValues[T]":
        return cls(value for part in parts for value in part.values)

    def extend(self, other: "RowValues[T]") -> None:
        self.values += other.values

    def filter(self, keep: Sequence[int]) -> None:
        self.values = [self.values[index] for index in keep]

    def extract(self, index: int) -> "RowValues[T]":
        return RowValues([self.values[index]])

    def prepare(self, **_: object) -> None:
        pass

    def finalize(self) -> None:
        pass
