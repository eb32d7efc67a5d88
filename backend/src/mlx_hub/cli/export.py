"""`mlx-hub export` and `mlx-hub quantise`: work on a model that ends with files or another model."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mlx_hub.cli.client import Json
from mlx_hub.cli.command import Cli, command, group
from mlx_hub.cli.errors import FailedError, UsageError
from mlx_hub.cli.formats import short_id, told_bytes, told_number
from mlx_hub.cli.models import PATH, Model, find_model
from mlx_hub.cli.names import complete_from, find
from mlx_hub.cli.progress import Bar
from mlx_hub.cli.tasks import PATH as TASKS
from mlx_hub.cli.tasks import follow_task

app = group("Export.")

_CHUNK_BYTES = 256 * 1024


class Format(StrEnum):
    """The formats of `POST /models/{id}/export`."""

    ADAPTER = "adapter"
    PEFT = "peft"
    FUSED = "fused"


@command(
    app,
    "export",
    panel="Data and training",
    examples=(
        "mlx-hub export support-bot",
        "mlx-hub export support-bot --version 2 --format peft --output support-peft.tar",
        "mlx-hub export support-bot --format fused && tar tf support-bot-fused.tar",
    ),
)
def export(
    cli: Cli,
    model: Model,
    version: Annotated[int | None, typer.Option(min=1, help="Number of the version.", show_default="newest")] = None,
    form: Annotated[
        Format, typer.Option("--format", help="As MLX reads it, as PEFT does, or fused into its base.")
    ] = Format.ADAPTER,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Archive to write.", show_default="MODEL-FORMAT.tar")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Export a trained adapter with its model card, and download it as a tar archive."""
    row = find_model(cli, model)
    target = output or Path(f"{row['name'].replace('/', '-')}-{form}.tar")
    if target.exists() and not force:
        raise UsageError(f"{target} exists; say --force to write over it, or another --output.")
    body: Json = {"format": form.value} | ({"version": version} if version else {})
    task = follow_task(cli, cli.backend.create(f"{PATH}/{row['id']}/export", body))
    num_bytes = _download(cli, task, target)
    for note in task["result"].get("notes", []):
        cli.out.warn(note)
    if cli.is_json:
        return cli.out.data({"task": task, "file": str(target), "num_bytes": num_bytes})
    return cli.out.line(f"{target}: {told_bytes(num_bytes)}, {form} of {row['name']}.")


def _download(cli: Cli, task: Json, target: Path) -> int:
    """Size of the archive. It appears under its name when it is whole."""
    part = target.with_name(f"{target.name}.part")
    num_bytes = 0
    try:
        with cli.backend.stream("GET", f"{TASKS}/{task['id']}/archive") as answer, Bar(cli.out, "download") as bar:
            total = int(answer.headers.get("content-length", 0))
            with part.open("wb") as file:
                for chunk in answer.iter_bytes(_CHUNK_BYTES):
                    num_bytes += file.write(chunk)
                    bar.update(num_bytes, total or None, told_bytes(num_bytes))
        part.replace(target)
    except OSError as error:
        raise FailedError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return num_bytes


@command(
    app,
    "quantise",
    panel="Data and training",
    examples=(
        "mlx-hub quantise Qwen3-0.6B-bf16",
        "mlx-hub quantise Qwen3-0.6B-bf16 --bits 8 --name qwen3-8bit --dataset support",
    ),
)
def quantise(
    cli: Cli,
    model: Model,
    bits: Annotated[int, typer.Option(help="4 or 8.")] = 4,
    group_size: Annotated[int | None, typer.Option(help="Values that share a scale.", show_default="64")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the new model.", show_default="MODEL-BITSbit")] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Its rows measure perplexity before and after.", autocompletion=complete_from("/datasets")),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for it.")] = False,
) -> None:
    """Make a smaller model of a registered one, and tell its size and perplexity before and after."""
    body: Json = {"bits": bits, "group_size": group_size, "name": name}
    if dataset:
        body["dataset_id"] = find(cli.backend, "/datasets", dataset, noun="dataset")["id"]
    given = {key: value for key, value in body.items() if value is not None}
    task = cli.backend.create(f"{PATH}/{find_model(cli, model)['id']}/quantise", given)
    if not detach:
        task = follow_task(cli, task)
    if cli.is_json:
        return cli.out.data(task)
    if detach:
        return cli.out.line(f"It is queued. Follow it with `mlx-hub tasks follow {short_id(task['id'])}`.")
    return _tell_quantised(cli, task["result"])


def _tell_quantised(cli: Cli, result: Json) -> None:
    size = f"{told_bytes(result['size_before_bytes'])} before, {told_bytes(result['size_after_bytes'])} after"
    perplexity = f"{told_number(result['perplexity_before'])} before, {told_number(result['perplexity_after'])} after"
    cli.out.line(f"{result['name']} is ready.")
    cli.out.facts(
        (
            ("size", f"{size}, {told_number(result['bits_per_weight'], 2)} bits a weight"),
            ("perplexity", f"{perplexity}, measured on {result['measured_on']}"),
            ("folder", result["path"]),
        )
    )
    cli.out.note(f"Chat with it: mlx-hub chat {result['name']}", style="")
