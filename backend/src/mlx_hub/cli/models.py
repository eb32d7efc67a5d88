"""`mlx-hub models`: the registry of base models and adapters."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mlx_hub.cli.client import Json
from mlx_hub.cli.command import Cli, Sure, command, group
from mlx_hub.cli.downloads import follow_download
from mlx_hub.cli.formats import NONE, short_id, told_age, told_bytes, told_number
from mlx_hub.cli.names import complete_from, find
from mlx_hub.cli.tasks import follow_task

app = group("Registered models: base models and the adapters trained on them.")

PATH = "/models"

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Name or id.", autocompletion=complete_from(PATH))]


class Kind(StrEnum):
    """The types of `GET /models`."""

    BASE = "base"
    ADAPTER = "adapter"


def find_model(cli: Cli, text: str) -> Json:
    return find(cli.backend, PATH, text, noun="model")


@command(app, "list", examples=("mlx-hub models list", "mlx-hub models list --type adapter --query support"))
def list_models(
    cli: Cli,
    kind: Annotated[Kind | None, typer.Option("--type", help="Only base models or only adapters.")] = None,
    query: Annotated[str | None, typer.Option("--query", "-q", help="Text in name, base model or description.")] = None,
) -> None:
    """List registered models, the newest first."""
    rows = list(cli.backend.pages(PATH, type=kind and kind.value, query=query))
    if cli.is_json:
        return cli.out.data(rows)
    if not rows:
        return cli.out.note("No models. Find one with `mlx-hub search`, fetch it with `mlx-hub models pull`.", style="")
    cli.out.table(("id", "name", "type", "base", "version", "aliases", "changed"), (_row(row) for row in rows))
    return None


def _row(row: Json) -> tuple[str, ...]:
    base = row["base_model"] if row["base_model"] != row["name"] else ""
    version = str(row["latest_version"] or "")
    return (short_id(row["id"]), row["name"], row["type"], base, version, told_aliases(row), told_age(row["updated_at"]))


def told_aliases(row: Json) -> str:
    """`champion → 3`, one after the other."""
    return ", ".join(f"{alias} → {version}" for alias, version in sorted(row["aliases"].items()))


@command(app, "show", examples=("mlx-hub models show my-adapter", "mlx-hub models show 4f1c2a9b --json"))
def show(cli: Cli, model: Model) -> None:
    """Show a model with its versions, where they came from, and what its aliases point to."""
    row = find_model(cli, model)
    versions = list(cli.backend.pages(f"{PATH}/{row['id']}/versions"))
    aliases = list(cli.backend.pages(f"{PATH}/{row['id']}/aliases"))
    if cli.is_json:
        return cli.out.data({**row, "versions": versions, "served": aliases})
    tags = ", ".join(f"{name}={value}" for name, value in row["tags"].items())
    facts = (("name", row["name"]), ("id", row["id"]), ("type", row["type"]), ("base model", row["base_model"]))
    more = (
        ("task", row["task_type"]),
        ("description", row["description"]),
        ("tags", tags),
        ("changed", told_age(row["updated_at"])),
    )
    cli.out.facts((*facts, *((name, value) for name, value in more if value)))
    if versions:
        cli.out.line("")
        columns = ("version", "aliases", "size", "loss before", "after", "dataset", "seed", "made")
        cli.out.table(columns, (_version_row(version) for version in versions))
    for alias in aliases:
        cli.out.note(f"{alias['alias']} is served as {alias['served_name']}", style="")
    return None


def _version_row(version: Json) -> tuple[str, ...]:
    metrics: dict[str, Any] = version["metrics"]
    return (
        str(version["version"]),
        ", ".join(version["aliases"]),
        told_bytes(version["num_bytes"]),
        told_number(metrics.get("base_loss")),
        told_number(metrics.get("adapter_loss")),
        short_id(version["dataset_sha256"] or NONE),
        str(version["seed"] if version["seed"] is not None else NONE),
        told_age(version["created_at"]),
    )


@command(
    app,
    "pull",
    examples=(
        "mlx-hub models pull mlx-community/Qwen3-0.6B-4bit",
        "mlx-hub models pull mlx-community/Qwen3-0.6B-4bit --revision 7f1c… --detach",
    ),
)
def pull(
    cli: Cli,
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository on the hub.")],
    revision: Annotated[str, typer.Option(help="Branch, tag or commit.")] = "main",
    register: Annotated[bool, typer.Option(help="Register it as a model when it is here.")] = True,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for it.")] = False,
) -> None:
    """Fetch a model from the hub into the model cache.

    It continues where an earlier download of it stopped. Ctrl-C leaves it to the worker.
    """
    path = "/discover/download" if register else f"{PATH}/download"
    row = cli.backend.create(path, {"repo_id": repository, "revision": revision})
    if not detach:
        row = follow_download(cli, row)
    if cli.is_json:
        return cli.out.data(row)
    if row["status"] != "ready":
        return cli.out.line(
            f"{row['repo_id']} is {row['status']}. Follow it with `mlx-hub downloads follow {short_id(row['id'])}`."
        )
    cli.out.line(f"{row['repo_id']} is ready: {told_bytes(row['num_bytes_total'])} in {row['path']}.")
    cli.out.note(f"Chat with it: mlx-hub chat {row['repo_id']}", style="")
    return None


@command(
    app,
    "add",
    examples=("mlx-hub models add ~/models/my-model", "mlx-hub models add ./fused --name support-fused --detach"),
)
def add(
    cli: Cli,
    folder: Annotated[Path, typer.Argument(metavar="PATH", help="Folder on the backend's machine.")],
    name: Annotated[str | None, typer.Option(help="It becomes local/NAME.", show_default="the folder's")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for it.")] = False,
) -> None:
    """Copy a model of your own into the model cache and register it. Needs no network.

    Only weights in safetensors, JSON, tokenizer and template are taken. Ctrl-C leaves it to the worker.
    """
    body: Json = {"path": str(folder.expanduser().absolute())} | ({"name": name} if name else {})
    task = cli.backend.create(f"{PATH}/import", body)
    if not detach:
        task = follow_task(cli, task)
    if cli.is_json:
        return cli.out.data(task)
    if detach:
        return cli.out.line(f"It is queued. Follow it with `mlx-hub tasks follow {short_id(task['id'])}`.")
    result = task["result"]
    cli.out.line(f"{result['name']} is ready: {told_bytes(result['num_bytes'])} in {result['path']}.")
    cli.out.note(f"Chat with it: mlx-hub chat {result['name']}", style="")
    return None


@command(app, "rm", examples=("mlx-hub models rm my-adapter", "mlx-hub models rm mlx-community/Qwen3-0.6B-4bit --yes"))
def remove(cli: Cli, model: Model, yes: Sure = False) -> None:
    """Delete a model with its versions and files.

    Refused while a job, a download or another model needs it. Without a terminal it needs --yes.
    """
    row = find_model(cli, model)
    cli.confirm(f"Delete {row['type']} {row['name']} with its files?", is_sure=yes)
    cli.backend.delete(f"{PATH}/{row['id']}")
    if cli.is_json:
        return cli.out.data({"deleted": row["id"], "name": row["name"]})
    return cli.out.line(f"Deleted {row['name']}.")


@command(
    app,
    "promote",
    examples=("mlx-hub models promote my-adapter 3", "mlx-hub models promote my-adapter 2 --alias staging"),
)
def promote(
    cli: Cli,
    model: Model,
    version: Annotated[int, typer.Argument(min=1, help="Number of the version.")],
    alias: Annotated[str, typer.Option(help="Name that shall point to it.")] = "champion",
) -> None:
    """Let an alias point to a version, and the inference server answer with it.

    Rolling back is the same: promote the version that was served before.
    """
    row = find_model(cli, model)
    moved = cli.backend.put(f"{PATH}/{row['id']}/aliases/{alias}", {"version": version})
    if cli.is_json:
        return cli.out.data(moved)
    before = f" (before: {moved['previous_version']})" if moved["previous_version"] else ""
    cli.out.line(f"{alias} of {row['name']} is version {moved['version']}{before}.")
    if moved["served"]:
        return cli.out.note(f"Chat with it: mlx-hub chat {moved['served_name']}", style="")
    return cli.out.warn(f"It is not served yet: {moved['reason']}")
