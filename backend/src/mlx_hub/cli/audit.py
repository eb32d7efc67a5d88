"""`mlx-hub audit`: who changed what, on both services. Reads their files, so it works while they do not run."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from mlx_hub.cli.checkout import platform_environment
from mlx_hub.cli.client import Json
from mlx_hub.cli.command import Cli, command, group
from mlx_hub.cli.errors import FailedError
from mlx_hub.cli.formats import NONE, parse_time

app = group("Audit.")

FILE_NAME, NUM_KEPT = "audit.jsonl", 5
DEFAULTS = {"MLX_HUB_DATA_DIR": "~/.mlx-hub", "MLX_PROMPT_CACHE_DIR": "~/.unified-mlx/cache/prompts"}
"""The services' own, of the variables that say where their files are."""


@command(
    app,
    "audit",
    panel="Platform",
    examples=("mlx-hub audit", "mlx-hub audit --limit 500 --json | jq '.[] | select(.outcome == \"refused\")'"),
)
def audit(
    cli: Cli,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="So many, the newest.")] = 50,
) -> None:
    """Show what was changed on both services, by whom, and which API keys were refused; the newest last.

    Each service of this machine writes `audit.jsonl`: the backend in its data folder, the inference server beside its
    prompt cache. Files turn over at 10 MB and five old ones are kept.
    """
    rows = sorted((row for folder in _folders() for row in _newest(folder, limit)), key=lambda row: row["at"])[-limit:]
    if cli.is_json:
        return cli.out.data(rows)
    if not rows:
        return cli.out.note("Nothing was written down yet.", style="")
    return cli.out.table(("time", "service", "who", "what", "on", "result"), map(_cells, rows))


def _folders() -> tuple[Path, ...]:
    variables = platform_environment()
    data, prompts = (Path(variables.get(name) or default).expanduser() for name, default in DEFAULTS.items())
    return data, prompts.parent


def _newest(folder: Path, limit: int) -> list[Json]:
    """The last `limit` rows of a service, in their order."""
    rows: list[Json] = []
    for number in range(NUM_KEPT + 1):
        path = folder / (f"{FILE_NAME}.{number}" if number else FILE_NAME)
        if len(rows) < limit and path.exists():
            rows = [*_rows(path), *rows]
    return rows[-limit:]


def _rows(path: Path) -> Iterator[Json]:
    """A line that was cut off by a crash is left out."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise FailedError(f"{path} cannot be read: {error.strerror}.") from error
    for line in text.splitlines():
        try:
            row: Json = json.loads(line)
        except ValueError:
            continue
        yield row


def _cells(row: Json) -> tuple[str, ...]:
    result = row["outcome"] if row["status"] is None else f"{row['outcome']} ({row['status']})"
    return (
        parse_time(row["at"]).astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        row["service"],
        row["key_name"] or row["actor"],
        row["action"],
        ", ".join(row["target"].values()) or NONE,
        f"{result}: {row['reason']}" if row["reason"] else result,
    )
