"""`mlx-hub search`: models on the hub, and whether this machine can run them."""

from enum import StrEnum
from typing import Annotated

import typer

from mlx_hub.cli.client import Json
from mlx_hub.cli.command import Cli, command, group
from mlx_hub.cli.formats import NONE, told_age, told_bytes, told_count

app = group("Models on the hub.")


class Sort(StrEnum):
    """The keys of `GET /discover/search`."""

    DOWNLOADS = "downloads"
    LIKES = "likes"
    CREATED = "created"
    MODIFIED = "modified"
    TRENDING = "trending"


@command(
    app,
    "search",
    panel="Models",
    examples=(
        "mlx-hub search qwen3 4bit",
        "mlx-hub search --sort trending --limit 5",
        "mlx-hub search llama --json | jq -r '.items[].repo_id'",
    ),
)
def search(
    cli: Cli,
    words: Annotated[list[str] | None, typer.Argument(help="Words in the model's name; none finds all.")] = None,
    sort: Annotated[Sort, typer.Option(help="The most or the newest first.")] = Sort.DOWNLOADS,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="How many.")] = 20,
    page: Annotated[int, typer.Option(min=1, max=50, help="Which page of so many.")] = 1,
    all_formats: Annotated[bool, typer.Option("--all-formats", help="Also models that are not in MLX's format.")] = False,
) -> None:
    """Search the hub for models.

    FITS says whether this machine's memory is enough to serve a model. Fetch one with `mlx-hub models pull`.
    """
    answer = cli.backend.get(
        "/discover/search",
        query=" ".join(words or []),
        sort=sort.value,
        page=page,
        page_size=limit,
        mlx_only=not all_formats,
    )
    if cli.is_json:
        return cli.out.data(answer)
    if not answer["items"]:
        return cli.out.note("Nothing found. Try fewer words, or --all-formats.", style="")
    columns = ("model", "size", "quant", "params", "downloads", "likes", "fits", "changed")
    cli.out.table(columns, (_row(model) for model in answer["items"]), right=("size", "params", "downloads", "likes"))
    if answer["has_more"]:
        cli.out.note(f"More with --page {page + 1}.")
    return None


def _row(model: Json) -> tuple[str, ...]:
    gated = " (gated)" if model["is_gated"] else ""
    return (
        model["repo_id"] + gated,
        told_bytes(model["weight_bytes"]),
        model["quantization"] or NONE,
        told_count(model["num_parameters"]),
        told_count(model["downloads"]),
        told_count(model["likes"]),
        model["fits"] or NONE,
        told_age(model["modified_at"]),
    )
