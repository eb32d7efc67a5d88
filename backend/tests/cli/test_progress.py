"""Following work of a service that goes away for a while."""

from collections.abc import Callable, Iterator

import pytest
from mlx_hub.cli import progress
from mlx_hub.cli.client import Json
from mlx_hub.cli.errors import ServiceDownError
from mlx_hub.cli.formats import told_bytes, told_count, told_seconds
from mlx_hub.cli.progress import poll


def _answers(*answers: Json | None) -> Callable[[], Json]:
    """Gives each in turn; None is a service that does not answer."""
    left: Iterator[Json | None] = iter(answers)

    def fetch() -> Json:
        if (answer := next(left)) is None:
            raise ServiceDownError("It does not answer.")
        return answer

    return fetch


def test_a_service_that_restarts_is_waited_for() -> None:
    rows = poll(_answers({"step": 1}, None, None, {"step": 2}), seconds=0.001)

    assert [next(rows)["step"], next(rows)["step"]] == [1, 2]


def test_a_service_that_stays_down_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 0.0)
    rows = poll(_answers({"step": 1}, None, None, None), seconds=0.001)
    next(rows)

    with pytest.raises(ServiceDownError):
        next(rows)


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (told_bytes(None), "-"),
        (told_bytes(999), "999 B"),
        (told_bytes(1_400_000_000), "1.4 GB"),
        (told_bytes(2.5e15), "2.5 PB"),
        (told_count(9_999), "9,999"),
        (told_count(12_345), "12.3k"),
        (told_count(600_000_000), "600.0M"),
        (told_seconds(0.0854), "85 ms"),
        (told_seconds(4.25), "4.2 s"),
        (told_seconds(59.99), "60.0 s"),
        (told_seconds(185), "3m 05s"),
        (told_seconds(7_800), "2h 10m"),
        (told_seconds(100_000), "1d 3h"),
    ],
)
def test_numbers_are_told_as_people_read_them(told: str, text: str) -> None:
    assert told == text
