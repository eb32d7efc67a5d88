"""Percentiles of what was measured in the last minute."""

import time
from collections import deque

_WINDOW_SECONDS = 60.0
_MAX_VALUES = 10_000


class RecentValues:
    """Bounded: of more values than fit, the newest count. Used on the event loop only."""

    def __init__(self) -> None:
        self._values: deque[tuple[float, float]] = deque(maxlen=_MAX_VALUES)

    def add(self, value: float) -> None:
        self._values.append((time.monotonic(), value))

    def percentiles(self, *ranks: float) -> list[float | None]:
        """Nearest-rank percentiles for ranks from 0 to 100; None when nothing was measured."""
        horizon = time.monotonic() - _WINDOW_SECONDS
        while self._values and self._values[0][0] < horizon:
            self._values.popleft()
        ordered = sorted(value for _, value in self._values)
        return [ordered[max(0, -int(-len(ordered) * rank // 100) - 1)] if ordered else None for rank in ranks]
