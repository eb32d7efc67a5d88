"""What commands print: data on standard output, everything about the way there on standard error."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlx_hub.cli.errors import CliError, RefusedError
from mlx_hub.cli.formats import NONE, printable

_PIPE_COLUMNS = 10_000
"""Width where no terminal sets one: lines are cut and wrapped nowhere."""
_SHORT_CHARACTERS = 9
"""A column of nothing longer stays in one line where the terminal is narrow; the others are folded."""

STYLES = {
    "completed": "green",
    "ready": "green",
    "running": "cyan",
    "queued": "yellow",
    "paused": "yellow",
    "failed": "red",
    "cancelled": "dim",
    "evicted": "dim",
    "yes": "green",
    "tight": "yellow",
    "no": "red",
}
"""Colours of the words that stand for a state."""


class Output:
    """Where one command prints. With `is_json` standard output carries one JSON document and nothing else."""

    def __init__(self, *, is_json: bool) -> None:
        self.is_json = is_json
        self._data = _console(sys.stdout)
        self.notes = _console(sys.stderr)

    @property
    def is_interactive(self) -> bool:
        """Whether somebody looks at the notes, so that they may move."""
        return self.notes.is_terminal and not self.is_json

    def data(self, value: object) -> None:
        """The JSON document of the command."""
        self.text(json.dumps(value, ensure_ascii=False, indent=2) + "\n")

    def line(self, text: str, style: str = "") -> None:
        """A line of the command's result."""
        self._data.print(Text(printable(text), style), soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = ()) -> None:
        """`right` names the columns of numbers."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        numbers, cells = set(right), [[cell(value) for value in row] for row in rows]
        for index, column in enumerate(columns):
            is_short = all(len(row[index]) <= _SHORT_CHARACTERS for row in cells)
            side = "right" if column in numbers else "left"
            table.add_column(column.upper(), justify=side, overflow="fold", no_wrap=is_short)
        for row in cells:
            table.add_row(*row)
        self._print(table)

    def facts(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Names and values, one a line."""
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for name, value in pairs:
            table.add_row(name, cell(value))
        self._print(table)

    def _print(self, table: Table) -> None:
        if self._data.is_terminal:
            return self._data.print(table)
        # Rich fills the last column up with spaces, which are of no use in a pipe.
        with self._data.capture() as captured:
            self._data.print(table)
        return self.text("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))

    def text(self, text: str) -> None:
        """As it is, at once."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def note(self, text: str, style: str = "dim") -> None:
        """Something about the way, not the result; silent for `--json`."""
        if not self.is_json:
            self.notes.print(Text(printable(text), style), soft_wrap=True)

    def warn(self, text: str) -> None:
        self.note(f"! {text}", "yellow")


def cell(value: str) -> Text:
    """A cell that shows `value` and nothing that it may contain for a terminal."""
    return Text(printable(value) or NONE, STYLES.get(value, ""))


def tell_error(error: CliError, *, is_json: bool) -> None:
    """On standard error, as JSON where that was asked for."""
    if is_json:
        sys.stderr.write(json.dumps({"error": error.details()}, ensure_ascii=False) + "\n")
        return
    console = _console(sys.stderr)
    console.print(Text.assemble(("✗ ", "red"), printable(error.message)), soft_wrap=True)
    if isinstance(error, RefusedError):
        for problem in _unsaid(error):
            console.print(Text(f"  {printable(problem['field'])}: {printable(problem['message'])}"), soft_wrap=True)
        if error.status >= 500 and error.request_id:
            console.print(Text(f"  request {error.request_id} in the service's log", "dim"), soft_wrap=True)


def _unsaid(error: RefusedError) -> list[dict[str, Any]]:
    """The wrong fields that the message itself does not name with their reason."""
    return [problem for problem in error.fields if problem["message"] not in error.message]


def _console(file: Any) -> Console:
    width = None if file.isatty() else _PIPE_COLUMNS
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)
