"""`mlx-hub tasks`: exports, quantisations and imports in the background, and how one is followed."""

from typing import Annotated

import typer

from mlx_hub.cli.client import Json
from mlx_hub.cli.command import Cli, command, group
from mlx_hub.cli.errors import FailedError
from mlx_hub.cli.formats import short_id, told_age, told_bytes
from mlx_hub.cli.names import complete_from, find
from mlx_hub.cli.progress import Bar, QueueHint, detaching, poll

app = group("Exports, quantisations and imports in the background.")

PATH = "/tasks"
_ENDED = {"completed", "failed", "cancelled"}

Task = Annotated[str, typer.Argument(metavar="TASK", help="Id, or its beginning.", autocompletion=complete_from(PATH, "id"))]


def follow_task(cli: Cli, task: Json) -> Json:
    """The task when it is completed. Raises FailedError when it ends otherwise."""
    identifier, hint = task["id"], QueueHint(cli.out)
    short = short_id(identifier)
    advice = f"Follow it with `mlx-hub tasks follow {short}`, stop it with `mlx-hub tasks cancel {short}`."
    with detaching(cli.out, advice), Bar(cli.out, task["kind"]) as bar:
        for now in poll(lambda: cli.backend.get(f"{PATH}/{identifier}")):
            task = now
            hint.watch(task["status"])
            bar.update(task["progress"], 1.0, _told_bytes(task), state=_state(task))
            if task["status"] in _ENDED:
                break
    if task["status"] != "completed":
        raise FailedError(f"The {task['kind']} is {task['status']}: {task['error_message'] or 'by request'}")
    return task


def _told_bytes(task: Json) -> str:
    """How much of what is copied; nothing for other work."""
    total = task["arguments"].get("num_bytes")
    return f"{told_bytes(int(total * task['progress']))} of {told_bytes(total)}" if total else ""


def _state(task: Json) -> str:
    return task["phase"] if task["status"] == "running" else task["status"]


@command(app, "list", examples=("mlx-hub tasks list",))
def list_tasks(cli: Cli) -> None:
    """List tasks, the newest first."""
    rows = list(cli.backend.pages(PATH))
    if cli.is_json:
        return cli.out.data(rows)
    columns = ("id", "kind", "status", "progress", "created", "error")
    cli.out.table(columns, (_row(row) for row in rows), right=("progress",))
    return None


def _row(task: Json) -> tuple[str, ...]:
    return (
        short_id(task["id"]),
        task["kind"],
        _state(task),
        f"{task['progress']:.0%}",
        told_age(task["created_at"]),
        task["error_message"] or "",
    )


@command(app, "follow", examples=("mlx-hub tasks follow 4f1c2a9b",))
def follow(cli: Cli, task: Task) -> None:
    """Show a task's progress until it ends. Ctrl-C leaves it running."""
    _tell(cli, follow_task(cli, _find(cli, task)))


@command(app, "cancel", examples=("mlx-hub tasks cancel 4f1c2a9b",))
def cancel(cli: Cli, task: Task) -> None:
    """Stop a task."""
    _tell(cli, cli.backend.post(f"{PATH}/{_find(cli, task)['id']}/cancel"))


def _find(cli: Cli, text: str) -> Json:
    return find(cli.backend, PATH, text, noun="task", name="id")


def _tell(cli: Cli, task: Json) -> None:
    if cli.is_json:
        return cli.out.data(task)
    return cli.out.line(f"{task['kind']} {short_id(task['id'])} is {task['status']}.")
