"""`mlx-hub train`: start a training job and watch it."""

from enum import StrEnum
from typing import Annotated, Unpack

import typer

from mlx_hub.cli.client import Json
from mlx_hub.cli.command import Cli, command, group
from mlx_hub.cli.errors import FailedError
from mlx_hub.cli.formats import short_id, told_bytes, told_count
from mlx_hub.cli.job_view import PATH, follow_job, tell_ended
from mlx_hub.cli.models import find_model
from mlx_hub.cli.names import complete_from, find
from mlx_hub.cli.progress import waiting
from mlx_hub.cli.train_options import TrainOptions, config_of

app = group("Training.")


class Promotion(StrEnum):
    """When the result becomes what is served as `champion`."""

    IF_FIRST = "if_first"
    ALWAYS = "always"
    NEVER = "never"


@command(
    app,
    "train",
    panel="Data and training",
    examples=(
        "mlx-hub train --model Qwen3-0.6B-4bit --dataset support",
        "mlx-hub train -m Qwen3-0.6B-4bit -d support --adapter support-bot --rank 8 --epochs 2 --lr 1e-4",
        "mlx-hub train -m Qwen3-0.6B-4bit -d support --preflight",
        "mlx-hub train -m Qwen3-0.6B-4bit -d support --detach --json",
    ),
)
def train(
    cli: Cli,
    model: Annotated[str, typer.Option("--model", "-m", help="Base model: name or id.", autocompletion=complete_from("/models"))],
    dataset: Annotated[
        str, typer.Option("--dataset", "-d", help="Dataset: name or id.", autocompletion=complete_from("/datasets"))
    ],
    name: Annotated[str | None, typer.Option(help="What the job is called.")] = None,
    adapter: Annotated[str | None, typer.Option(help="Registered model that the result becomes a version of.")] = None,
    promotion: Annotated[
        Promotion | None, typer.Option(help="When the alias champion moves to the result.", show_default="if_first")
    ] = None,
    preflight: Annotated[bool, typer.Option("--preflight", help="Only report on rows, lengths and memory.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for it.")] = False,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other setting of the API.")] = None,
    **options: Unpack[TrainOptions],
) -> None:
    """Train an adapter on a dataset.

    It follows the job with its loss, rate and remaining time. Ctrl-C leaves the job running; `mlx-hub jobs follow` comes back.
    When it is done, `mlx-hub chat ADAPTER` talks with the result.
    """
    given = {"name": name, "adapter_name": adapter, "promotion": promotion and promotion.value}
    config = config_of(options, set_ or [])
    body: Json = {
        "model_id": find_model(cli, model)["id"],
        "dataset_id": find(cli.backend, "/datasets", dataset, noun="dataset")["id"],
        "config": config,
        **{key: value for key, value in given.items() if value is not None},
    }
    if preflight:
        return _preflight(cli, body)
    job: Json = cli.backend.create(PATH, body)
    if not detach:
        cli.out.note(f"Job {short_id(job['id'])} trains {job['adapter_name']}.", style="")
        return tell_ended(cli, follow_job(cli, job))
    if cli.is_json:
        return cli.out.data(job)
    return cli.out.line(f"{job['name']} is queued. Follow it with `mlx-hub jobs follow {short_id(job['id'])}`.")


def _preflight(cli: Cli, body: Json) -> None:
    with waiting(cli.out, "Reading the dataset as the trainer will"):
        answer: Json = cli.backend.post(f"{PATH}/preflight", body, read_seconds=None)
    if cli.is_json:
        cli.out.data(answer)
    else:
        _tell_report(cli, answer)
    if refusal := answer["report"]["refusal"]:
        raise FailedError(f"It would be refused: {refusal}")


def _tell_report(cli: Cli, answer: Json) -> None:
    report: Json = answer["report"]
    lengths, memory = report["lengths"], report["memory"]
    needed, there = report["total_memory_bytes"], answer["machine_memory_bytes"]
    part = " of the rows read in time" if report["is_partial"] else ""
    rows = f"{report['num_train_rows']} to train on, {report['num_held_out_rows']} held out"
    left = f"{report['num_dropped_rows']} left out, {report['num_truncated_rows']} cut"
    tokens = f"median {lengths['p50']}, 95 % up to {lengths['p95']}, longest {lengths['max']}"
    cli.out.facts(
        (
            ("rows", f"{report['num_rows']}{part}: {rows}, {left}"),
            ("tokens of a row", tokens),
            ("tokens learned", f"{told_count(lengths['learned'])} of {told_count(lengths['total'])}"),
            ("padding", f"{report['padding_waste']:.0%}"),
            ("steps", f"{report['num_steps']} ({report['steps_per_epoch']} an epoch)"),
            ("memory", f"about {told_bytes(needed)} of {told_bytes(there)}"),
            ("trained numbers", told_count(memory["num_trained_values"])),
        )
    )
    if needed > there:
        cli.out.warn("It needs more memory than there is: take a smaller --batch-size or --max-length, or --grad-checkpoint.")
    for warning in report["warnings"]:
        lines = ", ".join(str(line) for line in warning["lines"])
        cli.out.warn(f"{warning['message']}{f' Lines {lines}' if lines else ''}")
