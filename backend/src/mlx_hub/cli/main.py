"""`mlx-hub`: puts the commands together, and turns whatever ends one into words and an exit status."""

import os
import sys
import tempfile
import traceback
from importlib.metadata import version
from typing import Annotated

import typer

from mlx_hub.cli import (
    adapters,
    audit,
    backup,
    bench,
    cache,
    chat,
    datasets,
    doctor,
    downloads,
    export,
    jobs,
    keys,
    models,
    processes,
    search,
    serve,
    status,
    tasks,
    train,
)
from mlx_hub.cli.command import group
from mlx_hub.cli.errors import EXIT_CODES_HELP, INTERRUPTED, CliError, UsageError
from mlx_hub.cli.output import tell_error
from mlx_hub.cli.tracing import traced

_PROGRAM = "mlx-hub"

app = group(f"Find, download, fine-tune, serve and chat with MLX models on your own machine.\n\n{EXIT_CODES_HELP}")
for _commands, _name, _panel in (
    (processes.app, None, None),
    (status.app, None, None),
    (doctor.app, None, None),
    (backup.app, None, None),
    (search.app, None, None),
    (models.app, "models", "Models"),
    (downloads.app, "downloads", "Models"),
    (datasets.app, "datasets", "Data and training"),
    (train.app, None, None),
    (jobs.app, "jobs", "Data and training"),
    (adapters.app, None, None),
    (export.app, None, None),
    (tasks.app, "tasks", "Data and training"),
    (serve.app, None, None),
    (chat.app, None, None),
    (cache.app, "cache", "Serving"),
    (bench.app, None, None),
    (keys.app, "keys", "Platform"),
    (audit.app, None, None),
):
    app.add_typer(_commands, name=_name, rich_help_panel=_panel)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        sys.stdout.write(f"{_PROGRAM} {version('mlx-hub')}\n")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    otlp_endpoint: Annotated[str | None, typer.Option(envvar="OTLP_ENDPOINT", hidden=True)] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    context.with_resource(traced(context.invoked_subcommand, otlp_endpoint))


def main() -> None:
    """What the program `mlx-hub` runs."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Do what the command line says; returns the exit status."""
    # A wrong command line is told before its options are known.
    is_json = "--json" in arguments
    try:
        return app(args=arguments, prog_name=_PROGRAM, standalone_mode=False) or 0
    except CliError as error:
        tell_error(error, is_json=is_json)
        return error.exit_code
    except typer.Abort:
        tell_error(CliError("Nothing was changed."), is_json=is_json)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough; the interpreter must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except typer.TyperException as error:
        return _tell_usage(error, is_json=is_json)
    except Exception as error:
        message = f"mlx-hub made a mistake: {type(error).__name__}: {error}. Please report it with {_keep_traceback(error)}."
        tell_error(CliError(message), is_json=is_json)
        return 1


def _tell_usage(error: typer.TyperException, *, is_json: bool) -> int:
    """What Typer finds wrong with the command line. A group without a command has shown its help already."""
    message = error.format_message()
    if message:
        context: typer.Context | None = getattr(error, "ctx", None)
        hint = f" `{context.command_path} --help` explains it." if context else ""
        tell_error(UsageError(f"{message.strip().rstrip('.')}.{hint}".replace("?.", "?")), is_json=is_json)
    return 2


def _keep_traceback(error: Exception) -> str:
    with tempfile.NamedTemporaryFile("w", prefix="mlx-hub-error-", suffix=".txt", delete=False) as file:
        traceback.print_exception(error, file=file)
    return file.name
