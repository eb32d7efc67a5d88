"""`mlx-hub backup` and `restore`: everything that cannot be had again, as one file and back."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from mlx_hub.cli.checkout import platform_environment
from mlx_hub.cli.client import Json, ServiceClient
from mlx_hub.cli.command import Cli, command, group
from mlx_hub.cli.errors import CliError, FailedError
from mlx_hub.cli.formats import told_bytes
from mlx_hub.cli.progress import Bar

app = group("Backups.")

_PANEL = "Platform"
_NAMES = {
    "registered_model": "registered models",
    "model_version": "versions",
    "dataset": "datasets",
    "training_job": "jobs",
    "served_model": "served models",
}
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]


@command(app, "backup", panel=_PANEL, examples=("mlx-hub backup /mnt/backups", "mlx-hub backup platform.tar --force"))
def backup(
    cli: Cli,
    path: Annotated[
        Path, typer.Argument(metavar="DIR|FILE", help="A folder, where the file gets a name with the time, or a file.")
    ],
    force: Force = False,
) -> None:
    """Write a backup to one file, also while the platform runs.

    In it: the rows of both services, datasets, runs with checkpoints and adapters, models that you made or imported, MLflow's
    local store. Not in it: downloaded models, which it lists; exports; settings and passwords; a shared MLflow server's data.
    Of API keys it holds the hashes, of stored responses and datasets the full text: keep it as you keep those. Only its owner
    can read the file.
    """
    result = _work(cli, "Backing up", {"do": "backup", "path": str(path.absolute()), "force": force})
    if cli.is_json:
        return cli.out.data(result)
    cli.out.line(f"{result['path']}: {_told(result)}")
    return _tell_models(cli, result)


@command(
    app,
    "restore",
    panel=_PANEL,
    examples=("mlx-hub restore platform.tar --check", "mlx-hub restore platform.tar", "mlx-hub restore platform.tar --force"),
)
def restore(
    cli: Cli,
    file: Annotated[Path, typer.Argument(help="The backup.", exists=True, dir_okay=False, readable=True)],
    check: Annotated[bool, typer.Option("--check", help="Only read it and compare every byte with its digest.")] = False,
    force: Force = False,
) -> None:
    """Make everything as it was at a backup; the platform must not run.

    The backup is checked as a whole before anything changes. With --force what is there is moved aside, and the command says
    where to. The database must be of the same kind, and the folders the same.
    """
    if not check:
        for client in (cli.backend, cli.inference):
            _refuse_running(client)
    request = {"do": "check" if check else "restore", "path": str(file.absolute()), "force": force}
    result = _work(cli, "Checking" if check else "Restoring", request)
    if cli.is_json:
        return cli.out.data(result)
    cli.out.line(f"{'Whole' if check else 'Restored'}: {_told(result)}")
    for path in result.get("kept", ()):
        cli.out.line(f"What was there before: {path}")
    return _tell_models(cli, result)


def _refuse_running(client: ServiceClient) -> None:
    try:
        client.probe("/health/live")
    except CliError:
        return
    raise FailedError(f"The {client.service.name} at {client.service.url} is running: stop the platform first (Ctrl-C).")


def _told(result: Json) -> str:
    rows = ", ".join(f"{result['rows'][table]} {name}" for table, name in _NAMES.items() if table in result["rows"])
    return f"{told_bytes(result['num_bytes'])} in {result['num_files']} files; {rows}; of {result['created_at'][:19]} UTC."


def _tell_models(cli: Cli, result: Json) -> None:
    missing = [model["repo_id"] for model in result["models"] if not model["is_included"]]
    if missing:
        cli.out.line(f"Not in it, to be fetched again with `mlx-hub models pull`: {', '.join(missing)}")


def _work(cli: Cli, label: str, request: Json) -> Json:
    """What `backup_work` makes of the request, in a process of its own with the platform's variables. Raises FailedError."""
    with subprocess.Popen(
        [sys.executable, "-m", "mlx_hub.cli.backup_work"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=platform_environment(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(json.dumps(request))
        process.stdin.close()
        with Bar(cli.out, label) as bar:
            last = _follow(bar, process.stdout)
        complaint = process.stderr.read().strip().splitlines()
    if "result" in last:
        return last["result"]
    raise FailedError(last.get("error") or (complaint[-1] if complaint else f"It ended with status {process.returncode}."))


def _follow(bar: Bar, lines: Iterator[str]) -> Json:
    """The last line; those before it move the bar."""
    last: Json = {}
    bar.update(0, None, "")
    for line in lines:
        last = json.loads(line)
        if "total" in last:
            bar.update(last["done"], last["total"], f"{told_bytes(last['done'])} of {told_bytes(last['total'])}")
    return last
