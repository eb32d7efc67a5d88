"""`mlx-hub downloads`: what is on its way from the hub or in the model cache, and how a download is followed."""

from typing import Annotated

import typer

from mlx_hub.cli.client import Json
from mlx_hub.cli.command import Cli, command, group
from mlx_hub.cli.errors import FailedError
from mlx_hub.cli.formats import short_id, told_age, told_bytes, told_seconds
from mlx_hub.cli.names import complete_from, find
from mlx_hub.cli.progress import Bar, QueueHint, detaching, poll

app = group("Models on their way from the hub, and what the model cache holds.")

_PATH = "/downloads"
_ENDED = {"ready", "failed", "cancelled", "evicted"}
_STANDING = _ENDED | {"paused"}

Wanted = Annotated[
    str,
    typer.Argument(metavar="DOWNLOAD", help="Repository or id.", autocompletion=complete_from(_PATH, "repo_id")),
]


def find_download(cli: Cli, text: str) -> Json:
    return find(cli.backend, _PATH, text, noun="download", name="repo_id")


def follow_download(cli: Cli, row: Json) -> Json:
    """The download when it stands still: ended or paused. Raises FailedError for one that is neither ready nor paused."""
    identifier, hint = row["id"], QueueHint(cli.out)
    advice = f"Follow it with `mlx-hub downloads follow {short_id(identifier)}`, stop it with `mlx-hub downloads cancel`."
    with detaching(cli.out, advice), Bar(cli.out, row["repo_id"]) as bar:
        for now in poll(lambda: cli.backend.get(f"{_PATH}/{identifier}")):
            row = now
            hint.watch(row["status"])
            bar.update(row["num_bytes_done"], row["num_bytes_total"], _told_progress(row), state=_state(row))
            if row["status"] in _STANDING:
                break
    if row["status"] not in {"ready", "paused"}:
        raise FailedError(f"The download of {row['repo_id']} is {row['status']}: {row['error_message'] or 'by request'}")
    return row


def _state(row: Json) -> str:
    """Its status; that all bytes are there and are being checked is no status of its own."""
    is_checked = row["status"] == "running" and row["num_bytes_total"] and row["num_bytes_done"] >= row["num_bytes_total"]
    return "checking" if is_checked else row["status"]


def _told_progress(row: Json) -> str:
    if not row["num_bytes_total"]:
        return ""
    parts = [f"{told_bytes(row['num_bytes_done'])} of {told_bytes(row['num_bytes_total'])}"]
    if row["status"] == "running" and row["bytes_per_second"]:
        parts.append(f"{told_bytes(row['bytes_per_second'])}/s")
    if row["remaining_seconds"]:
        parts.append(f"{told_seconds(row['remaining_seconds'])} left")
    return " · ".join(parts)


@command(app, "list", examples=("mlx-hub downloads list", "mlx-hub downloads list --status running"))
def list_downloads(
    cli: Cli,
    status: Annotated[list[str] | None, typer.Option(help="Only such; may be given several times.")] = None,
) -> None:
    """List downloads, the newest first, with what the model cache takes."""
    rows = list(cli.backend.pages(_PATH, status=status))
    if cli.is_json:
        return cli.out.data(rows)
    columns = ("id", "repository", "revision", "status", "progress", "pinned", "used")
    cli.out.table(columns, (_row(row) for row in rows))
    usage: Json = cli.backend.get(f"{_PATH}/usage")
    cli.out.note(
        f"{told_bytes(usage['num_bytes'])} of {told_bytes(usage['max_bytes'])} in {usage['num_models']} models, "
        f"{told_bytes(usage['free_disk_bytes'])} free on the disk"
    )
    return None


def _row(row: Json) -> tuple[str, ...]:
    return (
        short_id(row["id"]),
        row["repo_id"],
        row["revision"],
        row["status"],
        _told_progress(row),
        "yes" if row["is_pinned"] else "",
        told_age(row["last_used_at"] or row["created_at"]),
    )


@command(app, "follow", examples=("mlx-hub downloads follow mlx-community/Qwen3-0.6B-4bit",))
def follow(cli: Cli, download: Wanted) -> None:
    """Show a download's progress until it ends. Ctrl-C leaves it running."""
    _tell(cli, follow_download(cli, find_download(cli, download)))


@command(app, "pause", examples=("mlx-hub downloads pause Qwen3-0.6B-4bit",))
def pause(cli: Cli, download: Wanted) -> None:
    """Stop a download for now; what it has fetched stays."""
    _act(cli, download, "pause")


@command(app, "resume", examples=("mlx-hub downloads resume Qwen3-0.6B-4bit",))
def resume(cli: Cli, download: Wanted) -> None:
    """Let a paused or failed download go on where it stopped."""
    _act(cli, download, "resume")


@command(app, "cancel", examples=("mlx-hub downloads cancel Qwen3-0.6B-4bit",))
def cancel(cli: Cli, download: Wanted) -> None:
    """End a download and drop what it has fetched."""
    _act(cli, download, "cancel")


@command(app, "pin", examples=("mlx-hub downloads pin Qwen3-0.6B-4bit",))
def pin(cli: Cli, download: Wanted) -> None:
    """Keep a model in the cache whatever room is needed."""
    _tell(cli, cli.backend.put(f"{_PATH}/{find_download(cli, download)['id']}/pin"))


@command(app, "unpin", examples=("mlx-hub downloads unpin Qwen3-0.6B-4bit",))
def unpin(cli: Cli, download: Wanted) -> None:
    """Let a model go when room is needed and it is the least recently used."""
    _tell(cli, cli.backend.delete(f"{_PATH}/{find_download(cli, download)['id']}/pin"))


def _act(cli: Cli, download: str, verb: str) -> None:
    _tell(cli, cli.backend.post(f"{_PATH}/{find_download(cli, download)['id']}/{verb}"))


def _tell(cli: Cli, row: Json) -> None:
    if cli.is_json:
        return cli.out.data(row)
    pinned = ", pinned" if row["is_pinned"] else ""
    asked = f", will {row['requested']}" if row["status"] == "running" and row["requested"] != "run" else ""
    return cli.out.line(f"{row['repo_id']} is {row['status']}{asked}{pinned}. {_told_progress(row)}".strip())
