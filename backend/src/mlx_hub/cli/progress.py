"""Bars for long work: they move on a terminal, and elsewhere are a line now and then on standard error."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

from mlx_hub.cli.client import Json
from mlx_hub.cli.errors import ServiceDownError
from mlx_hub.cli.formats import printable
from mlx_hub.cli.output import Output

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 60.0
"""A service that restarts while its work is followed is waited for so long."""
QUEUE_HINT_SECONDS = 10.0
_NOTE_SHARE = 0.1
"""Without a terminal, a line is printed whenever so much more of the work is done."""


class Bar:
    """One piece of work; `update` says how far it is. A context manager."""

    def __init__(self, out: Output, label: str) -> None:
        self._out = out
        self._label = label
        self._noted = ("", -1.0)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            TaskProgressColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            console=out.notes,
            transient=True,
            disable=not out.is_interactive,
        )
        self._task = self._progress.add_task(label, total=None, text="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def update(self, done: float, total: float | None, text: str, *, state: str = "") -> None:
        """`total` None is unknown. A new `state` is always told."""
        label = printable(f"{self._label} {state}".strip())
        self._progress.update(self._task, completed=done, total=total or None, description=label, text=printable(text))
        if not self._out.is_interactive:
            self._note(label, done / total if total else 0.0, text)

    def _note(self, label: str, share: float, text: str) -> None:
        noted_label, noted_share = self._noted
        if label != noted_label or share >= noted_share + _NOTE_SHARE or share >= 1 > noted_share:
            self._noted = (label, share)
            percent = f" {share:.0%}" if share else ""
            self._out.note(f"{label}{percent}{f' · {text}' if text else ''}", style="")


@contextmanager
def waiting(out: Output, text: str) -> Generator[None]:
    """Something that takes a while and does not say how far it is."""
    with Bar(out, text) as bar:
        bar.update(0, None, "")
        yield


@contextmanager
def detaching(out: Output, text: str) -> Generator[None]:
    """Ctrl-C leaves the work to the service, and `text` says how to come back."""
    try:
        yield
    except KeyboardInterrupt:
        out.note(f"\nIt goes on without you. {text}", style="")
        raise


def poll(fetch: Callable[[], Json], *, seconds: float = POLL_SECONDS) -> Iterator[Json]:
    """What `fetch` gives, again and again until the caller has seen enough. Raises ServiceDownError when it stays down."""
    failing_since: float | None = None
    while True:
        try:
            row = fetch()
        except ServiceDownError:
            failing_since = failing_since or time.monotonic()
            if time.monotonic() - failing_since > PATIENCE_SECONDS:
                raise
        else:
            failing_since = None
            yield row
        time.sleep(seconds)


class QueueHint:
    """Says once that nothing takes a queued piece of work."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._queued_at = time.monotonic()

    def watch(self, status: str) -> None:
        if status != "queued":
            self._queued_at = float("inf")
        elif time.monotonic() - self._queued_at > QUEUE_HINT_SECONDS:
            self._queued_at = float("inf")
            self._out.warn("It waits in the queue. `mlx-hub status` shows the workers; `mlx-hub worker` runs one.")
