"""`mlx-hub adapters`: what has been trained, and under which names it is served."""

from typing import Annotated

import typer

from mlx_hub.cli.client import Json
from mlx_hub.cli.command import Cli, command, group
from mlx_hub.cli.formats import NONE, told_age
from mlx_hub.cli.models import PATH

app = group("Adapters.")


@command(app, "adapters", panel="Data and training", examples=("mlx-hub adapters", "mlx-hub adapters --query support --json"))
def adapters(
    cli: Cli,
    query: Annotated[str | None, typer.Option("--query", "-q", help="Text in name, base model or description.")] = None,
) -> None:
    """List adapters with their versions, their aliases, and the names that the inference server knows them by."""
    rows = [_with_aliases(cli, row) for row in cli.backend.pages(PATH, type="adapter", query=query)]
    if cli.is_json:
        return cli.out.data(rows)
    if not rows:
        return cli.out.note("No adapters. Train one with `mlx-hub train`.", style="")
    cli.out.table(("adapter", "base", "versions", "alias", "version", "served as", "moved"), _lines(rows))
    return None


def _with_aliases(cli: Cli, row: Json) -> Json:
    return {**row, "served": list(cli.backend.pages(f"{PATH}/{row['id']}/aliases"))}


def _lines(rows: list[Json]) -> list[tuple[str, ...]]:
    """One for each alias; the adapter is named in the first of its lines."""
    lines: list[tuple[str, ...]] = []
    for row in rows:
        name = (row["name"], row["base_model"], str(row["latest_version"] or NONE))
        for alias in row["served"]:
            lines.append((*name, alias["alias"], str(alias["version"]), alias["served_name"], told_age(alias["updated_at"])))
            name = (" ", " ", " ")
        if not row["served"]:
            lines.append((*name, NONE, NONE, NONE, told_age(row["updated_at"])))
    return lines
