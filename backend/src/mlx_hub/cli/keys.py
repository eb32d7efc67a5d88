"""`mlx-hub keys`: who may call the services from other machines. Works on the database, also while no service runs."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from mlx_hub.cli.checkout import platform_environment
from mlx_hub.cli.client import Json
from mlx_hub.cli.command import Cli, Sure, command, group
from mlx_hub.cli.errors import CliError, FailedError, ServiceDownError, UsageError
from mlx_hub.cli.formats import NONE, parse_time, told_age

app = group(
    "API keys, for both services. None is asked on this machine alone; on any other address every request needs one.\n\n"
    "Scopes: `read` looks at everything, `infer` generates, `train` changes data, jobs and models (and reads), `admin` may "
    "do everything."
)

_SECONDS = 120.0
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_Name = Annotated[str, typer.Argument(metavar="NAME", help="What the key is called in lists and in the audit log.")]


class KeyScope(StrEnum):
    """As the services know them."""

    READ = "read"
    INFER = "infer"
    TRAIN = "train"
    ADMIN = "admin"


@command(
    app,
    "create",
    examples=(
        "mlx-hub keys create laptop --scope read --scope infer",
        "mlx-hub keys create trainer --scope train --expires 90d",
        "KEY=$(mlx-hub keys create me --scope admin)",
    ),
)
def create(
    cli: Cli,
    name: _Name,
    scope: Annotated[list[KeyScope], typer.Option(help="What it may do; may be given several times.")],
    expires: Annotated[str | None, typer.Option(metavar="WHEN", help="After 30m, 12h, 90d or 4w, or on 2027-01-31.")] = None,
) -> None:
    """Make a key and print it, this once: only its hash is stored.

    Clients send it as `Authorization: Bearer <key>` or `x-api-key`. It works within seconds, without a restart.
    """
    expires_at = _moment(expires).isoformat() if expires else None
    _tell_key(cli, _work({"do": "create", "name": name, "scopes": scope, "expires_at": expires_at}))


@command(app, "list", examples=("mlx-hub keys list", "mlx-hub keys list --json | jq -r '.[].name'"))
def list_keys(cli: Cli) -> None:
    """List all keys, also those that were revoked or have expired; the keys themselves are known to nobody."""
    keys = _work({"do": "list"})["keys"]
    if cli.is_json:
        return cli.out.data(keys)
    if not keys:
        return cli.out.note("There are no keys. `mlx-hub keys create --help` says how to make one.", style="")
    rows = ((key["name"], " ".join(key["scopes"]), key["state"], told_age(key["created_at"]), _until(key)) for key in keys)
    return cli.out.table(("name", "scopes", "state", "made", "until"), rows)


@command(app, "revoke", examples=("mlx-hub keys revoke laptop", "mlx-hub keys revoke laptop --yes"))
def revoke(cli: Cli, name: _Name, yes: Sure = False) -> None:
    """Close a key for ever. Both services refuse it within five seconds."""
    cli.confirm(f"Revoke the key {name!r} for ever?", is_sure=yes)
    key = _work({"do": "revoke", "name": name})
    if cli.is_json:
        return cli.out.data(key)
    return cli.out.line(f"Revoked {key['name']}.")


@command(app, "rotate", examples=("mlx-hub keys rotate trainer",))
def rotate(cli: Cli, name: _Name) -> None:
    """Replace a key by another of the same name, scopes and end, and print that. The old one is refused within five seconds."""
    _tell_key(cli, _work({"do": "rotate", "name": name}))


def _tell_key(cli: Cli, key: Json) -> None:
    if cli.is_json:
        return cli.out.data(key)
    until = f"until {_until(key)}" if key["expires_at"] else "until it is revoked"
    cli.out.note(f"{key['name']} may {', '.join(key['scopes'])}, {until}. The key, which is shown this once:", style="")
    return cli.out.line(key["key"])


def _until(key: Json) -> str:
    return parse_time(key["expires_at"]).strftime("%Y-%m-%d %H:%M UTC") if key["expires_at"] else NONE


def _moment(text: str) -> datetime:
    """Raises UsageError."""
    if match := re.fullmatch(r"(\d{1,6})([mhdw])", text):
        return datetime.now(UTC) + timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--expires {text!r} is no time; write for example 90d, 12h or 2027-01-31.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _work(request: Json) -> Json:
    """What `keys_work` answers, in a process of its own: its libraries take longer to load than most commands take."""
    command_line = [sys.executable, "-m", "mlx_hub.cli.keys_work"]
    try:
        done = subprocess.run(
            command_line,
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            env=platform_environment(),
        )
    except subprocess.TimeoutExpired:
        raise ServiceDownError(f"The database did not answer within {_SECONDS:.0f} s.") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise FailedError(lines[-1] if lines else f"ended with status {done.returncode}")
    answer: Json = json.loads(done.stdout)
    if error := answer.get("error"):
        kind: type[CliError] = {"usage": UsageError, "down": ServiceDownError}.get(error["kind"], FailedError)
        raise kind(error["message"])
    return answer
