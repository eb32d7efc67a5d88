"""`mlx-hub jobs`: training jobs after they were started."""

from enum import StrEnum
from typing import Annotated

import typer

from mlx_hub.cli.client import Json
from mlx_hub.cli.command import Cli, Sure, command, group
from mlx_hub.cli.errors import UsageError
from mlx_hub.cli.formats import NONE, short_id, told_age, told_number
from mlx_hub.cli.job_view import ENDED, PATH, find_job, follow_job, job_facts, tell_ended, told_progress, told_state
from mlx_hub.cli.models import find_model
from mlx_hub.cli.names import complete_from, find

app = group("Training jobs: watch, stop, and continue them.")

Job = Annotated[str, typer.Argument(metavar="JOB", help="Name or id.", autocompletion=complete_from(PATH))]
AnyJob = Annotated[
    str | None, typer.Argument(metavar="[JOB]", help="Name or id; default: the newest.", autocompletion=complete_from(PATH))
]
Detach = Annotated[bool, typer.Option("--detach", help="Do not wait for it.")]


class Status(StrEnum):
    """The statuses of `GET /training`."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@command(app, "list", examples=("mlx-hub jobs list", "mlx-hub jobs list --status running --json"))
def list_jobs(
    cli: Cli,
    status: Annotated[list[Status] | None, typer.Option(help="Only such; may be given several times.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Only those of this base model.", autocompletion=complete_from("/models"))
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Only those of this dataset.", autocompletion=complete_from("/datasets"))
    ] = None,
) -> None:
    """List training jobs, the newest first."""
    rows = list(
        cli.backend.pages(
            PATH,
            status=[one.value for one in status] if status else None,
            model_id=find_model(cli, model)["id"] if model else None,
            dataset_id=find(cli.backend, "/datasets", dataset, noun="dataset")["id"] if dataset else None,
        )
    )
    if cli.is_json:
        return cli.out.data(rows)
    if not rows:
        return cli.out.note("No jobs. Start one with `mlx-hub train`.", style="")
    columns = ("id", "name", "status", "progress", "loss", "held out", "model", "dataset", "created")
    cli.out.table(columns, (_row(row) for row in rows), right=("progress", "loss", "held out"))
    return None


def _row(job: Json) -> tuple[str, ...]:
    status = told_state(job) if job["status"] not in ENDED else job["status"]
    return (
        short_id(job["id"]),
        job["name"],
        status,
        f"{job['progress']:.0%}",
        told_number(job["train_loss"]),
        told_number(job["val_loss"]),
        job["model_name"] or NONE,
        job["dataset_name"] or NONE,
        told_age(job["created_at"]),
    )


@command(app, "show", examples=("mlx-hub jobs show", "mlx-hub jobs show 4f1c2a9b --json"))
def show(cli: Cli, job: AnyJob = None) -> None:
    """Show all about a job."""
    row = find_job(cli, job)
    if cli.is_json:
        return cli.out.data(row)
    cli.out.facts(job_facts(row))
    for warning in row["preflight"].get("warnings") or []:
        cli.out.warn(warning["message"])
    return None


@command(app, "logs", examples=("mlx-hub jobs logs", "mlx-hub jobs logs 4f1c2a9b --lines 500"))
def logs(
    cli: Cli,
    job: AnyJob = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=10_000, help="How many of the last ones.")] = 100,
) -> None:
    """Print the last lines of a job's trainer."""
    answer: Json = cli.backend.get(f"{PATH}/{find_job(cli, job)['id']}/logs", lines=lines)
    if cli.is_json:
        return cli.out.data(answer)
    for line in answer["lines"]:
        cli.out.line(line)
    if not answer["lines"]:
        cli.out.note("The trainer has not said anything.", style="")
    return None


@command(app, "follow", examples=("mlx-hub jobs follow", "mlx-hub jobs follow my-run"))
def follow(cli: Cli, job: AnyJob = None) -> None:
    """Show a job's progress until it ends. Ctrl-C leaves it running."""
    tell_ended(cli, follow_job(cli, find_job(cli, job)))


@command(app, "cancel", examples=("mlx-hub jobs cancel my-run",))
def cancel(cli: Cli, job: Job) -> None:
    """Stop a job; a running one saves a checkpoint first, from which `resume` goes on."""
    row: Json = cli.backend.post(f"{PATH}/{find_job(cli, job)['id']}/cancel")
    if cli.is_json:
        return cli.out.data(row)
    told = "is cancelled" if row["status"] == "cancelled" else "saves and stops"
    return cli.out.line(f"{row['name']} {told}. Go on with `mlx-hub jobs resume {short_id(row['id'])}`.")


@command(app, "resume", examples=("mlx-hub jobs resume my-run", "mlx-hub jobs resume my-run --detach"))
def resume(cli: Cli, job: Job, detach: Detach = False) -> None:
    """Go on with a failed or cancelled job from its newest checkpoint, and follow it."""
    _go_on(cli, cli.backend.post(f"{PATH}/{find_job(cli, job)['id']}/resume"), detach=detach)


@command(app, "retry", examples=("mlx-hub jobs retry my-run",))
def retry(cli: Cli, job: Job, detach: Detach = False) -> None:
    """Run an ended job once more from its first step, and follow it."""
    _go_on(cli, cli.backend.post(f"{PATH}/{find_job(cli, job)['id']}/retry"), detach=detach)


@command(app, "extend", examples=("mlx-hub jobs extend my-run --epochs 5", "mlx-hub jobs extend my-run --steps 2000"))
def extend(
    cli: Cli,
    job: Job,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs in all.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps in all.")] = None,
    detach: Detach = False,
) -> None:
    """Train a completed job for longer, from where it ended, and follow it."""
    if (epochs is None) == (steps is None):
        raise UsageError("Say --epochs or --steps.")
    body = {"epochs": epochs} if steps is None else {"steps": steps}
    _go_on(cli, cli.backend.post(f"{PATH}/{find_job(cli, job)['id']}/extend", body), detach=detach)


@command(app, "rm", examples=("mlx-hub jobs rm my-run --yes",))
def remove(cli: Cli, job: Job, yes: Sure = False) -> None:
    """Delete an ended job with its checkpoints; its adapter stays."""
    row = find_job(cli, job)
    cli.confirm(f"Delete job {row['name']} with its checkpoints?", is_sure=yes)
    cli.delete(PATH, row)


def _go_on(cli: Cli, row: Json, *, detach: bool) -> None:
    if not detach:
        return tell_ended(cli, follow_job(cli, row))
    if cli.is_json:
        return cli.out.data(row)
    return cli.out.line(f"{row['name']}: {told_state(row)}. {told_progress(row)}".strip())
