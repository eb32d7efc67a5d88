"""Looking for marks in a text that comes in pieces. Both processes use it, so it knows nothing of the package."""

from collections.abc import Sequence


def first_mark(text: str, marks: Sequence[str]) -> tuple[int, str | None]:
    """Where the first of `marks` begins in `text`, and which; of two at one place the one listed first. `(-1, None)` without."""
    first, found = -1, None
    for mark in marks:
        index = text.find(mark) if first < 0 else text.find(mark, 0, first + len(mark) - 1)
        if index >= 0 and (first < 0 or index < first):
            first, found = index, mark
    return first, found


def overlap(text: str, mark: str) -> int:
    """Length of the longest end of `text` that is a proper start of `mark`."""
    return next((size for size in range(min(len(text), len(mark) - 1), 0, -1) if text.endswith(mark[:size])), 0)
