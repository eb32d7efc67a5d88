"""`mlx-hub serve`: bring a model into the inference server's memory, and say how to use it."""

from typing import Annotated
from urllib.parse import quote

import typer

from mlx_hub.cli.client import Json
from mlx_hub.cli.command import Cli, command, group
from mlx_hub.cli.errors import CliError, FailedError
from mlx_hub.cli.formats import told_bytes
from mlx_hub.cli.models import find_model
from mlx_hub.cli.names import complete_served, find_name
from mlx_hub.cli.progress import waiting

app = group("Serving.")

_PATH = "/admin/models"


@command(
    app,
    "serve",
    panel="Serving",
    examples=(
        "mlx-hub serve mlx-community/Qwen3-0.6B-4bit --pin",
        "mlx-hub serve my-adapter",
        "mlx-hub serve my-adapter --unload",
    ),
)
def serve(
    cli: Cli,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Served or registered model.", autocompletion=complete_served)],
    pin: Annotated[bool, typer.Option("--pin", help="Keep it in memory whatever else is asked for.")] = False,
    unload: Annotated[bool, typer.Option("--unload", help="Free its memory instead; it stays known.")] = False,
) -> None:
    """Load a model in the inference server and say how to use it.

    Models load by themselves when somebody asks for one; this does it ahead. An adapter's name means what its alias
    champion points to, or else latest.
    """
    name = _served_name(cli, model)
    verb = "unload" if unload else "pin" if pin else "load"
    with waiting(cli.out, f"{'Unloading' if unload else 'Loading'} {name}"):
        answer: Json = cli.inference.post(f"{_PATH}/{quote(name)}/{verb}", read_seconds=None)
    if cli.is_json:
        return cli.out.data(answer)
    if unload:
        return cli.out.line(f"{name} is out of memory.")
    quantization = f", {answer['quantization']}" if answer["quantization"] else ""
    pinned = ", pinned" if answer["pinned"] else ""
    cli.out.line(f"{name} is loaded: {told_bytes(answer['weight_bytes'])}{quantization}{pinned}.")
    return cli.out.line(_usage(cli, name))


def _usage(cli: Cli, name: str) -> str:
    url = cli.inference.service.url
    body = f'{{"model": "{name}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
    return (
        f"\n  mlx-hub chat {name}\n\n"
        f"  curl {url}/v1/chat/completions -H 'Content-Type: application/json' \\\n    -d '{body}'\n\n"
        f'  OpenAI(base_url="{url}/v1", api_key="not-needed")    # model="{name}"'
    )


def _served_name(cli: Cli, text: str) -> str:
    """A name that the inference server knows; a base model of the registry is made known to it first."""
    known = cli.inference.get(_PATH)["models"]
    try:
        return find_name(known, text, noun="served model")
    except FailedError as unknown:
        row = _registered(cli, text)
        if row is None:
            raise
        if row["name"] in known:
            return row["name"]
        if row["type"] == "adapter":
            raise FailedError(
                f"{row['name']} has no served version; promote one: mlx-hub models promote {row['name']} 1"
            ) from unknown
        return _make_known(cli, row)


def _registered(cli: Cli, text: str) -> Json | None:
    """None also when the backend is down: then the inference server's word stands."""
    try:
        return find_model(cli, text)
    except CliError:
        return None


def _make_known(cli: Cli, row: Json) -> str:
    ready = (download for download in cli.backend.pages("/downloads", status="ready") if download["model_id"] == row["id"])
    download = next(ready, None)
    if download is None:
        raise FailedError(f"The weights of {row['name']} are not here; fetch them: mlx-hub models pull {row['base_model']}")
    body = {
        "name": row["name"],
        "base_model": download["path"],
        "type": "base",
        "model_id": row["id"],
        "registered_by": "mlx-hub",
    }
    cli.inference.post(f"{_PATH}/register", body)
    return row["name"]
