"""How a function becomes a command: the options that all share, and what they make for it."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Unpack, get_args, get_origin, get_type_hints

import typer
from rich.markup import escape

from mlx_hub.cli.client import Json, Service, ServiceClient
from mlx_hub.cli.errors import UsageError
from mlx_hub.cli.output import Output

BACKEND_URL, INFERENCE_URL = "http://localhost:8002", "http://localhost:8080"
BACKEND_VARIABLE, INFERENCE_VARIABLE = "MLX_HUB_URL", "MLX_HUB_INFERENCE_URL"
_PANEL = "Options of every command"

_BackendURL = Annotated[
    str, typer.Option("--url", envvar=BACKEND_VARIABLE, metavar="URL", help="The backend.", rich_help_panel=_PANEL)
]
_InferenceURL = Annotated[
    str,
    typer.Option(
        "--inference-url", envvar=INFERENCE_VARIABLE, metavar="URL", help="The inference server.", rich_help_panel=_PANEL
    ),
]
_ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="MLX_API_KEY",
        metavar="KEY",
        show_default=False,
        help="API key, when the services ask for one.",
        rich_help_panel=_PANEL,
    ),
]
_HubApiKey = Annotated[
    str | None,
    typer.Option(
        "--hub-api-key",
        envvar="MLX_HUB_API_KEY",
        metavar="KEY",
        show_default=False,
        help="Key for the backend, when it is another one.",
        rich_help_panel=_PANEL,
    ),
]
_AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document; errors too, on standard error.", rich_help_panel=_PANEL)
]


class Cli:
    """What a command works with: the two services, and where it prints."""

    def __init__(
        self, *, url: str, inference_url: str, api_key: str | None, hub_api_key: str | None = None, is_json: bool
    ) -> None:
        self.out = Output(is_json=is_json)
        self.backend = ServiceClient(backend_service(url, hub_api_key or api_key))
        self.inference = ServiceClient(inference_service(inference_url, api_key))

    def close(self) -> None:
        self.backend.close()
        self.inference.close()

    @property
    def is_json(self) -> bool:
        return self.out.is_json

    def delete(self, path: str, row: Json) -> None:
        """Delete at the backend's `path` what the row is of, and say so."""
        self.backend.delete(f"{path}/{row['id']}")
        if self.is_json:
            return self.out.data({"deleted": row["id"], "name": row["name"]})
        return self.out.line(f"Deleted {row['name']}.")

    def confirm(self, question: str, *, is_sure: bool) -> None:
        """Ask on a terminal; elsewhere `--yes` must have said it. Raises UsageError, or Abort for a no."""
        if is_sure:
            return
        if self.is_json or not (self.out.notes.is_terminal and _stdin_is_terminal()):
            raise UsageError("This cannot be undone: say --yes.")
        typer.confirm(question, abort=True, err=True)


def backend_service(url: str, api_key: str | None = None) -> Service:
    return Service("backend", url.rstrip("/"), "--url", BACKEND_VARIABLE, prefix="/api/v1", api_key=api_key)


def inference_service(url: str, api_key: str | None) -> Service:
    return Service("inference server", url.rstrip("/"), "--inference-url", INFERENCE_VARIABLE, api_key=api_key)


def _stdin_is_terminal() -> bool:
    return typer.get_text_stream("stdin").isatty()


Sure = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def group(help_text: str) -> typer.Typer:
    """A Typer for commands that belong together; without one it shows their list."""
    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False)


def command(
    app: typer.Typer, name: str, *, examples: Iterable[str] = (), panel: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds a function whose first parameter is a `Cli` to `app`; its docstring and `examples` are its help."""
    lines = [f"  {escape(example)}" for example in examples]
    epilog = "\n".join(["[bold]Examples[/]", *lines]) if lines else None

    def add(function: Callable[..., None]) -> Callable[..., None]:
        app.command(name, epilog=epilog, rich_help_panel=panel)(_with_shared_options(function))
        return function

    return add


def _with_shared_options(function: Callable[..., None]) -> Callable[..., None]:
    def run(
        *,
        url: _BackendURL = BACKEND_URL,
        inference_url: _InferenceURL = INFERENCE_URL,
        api_key: _ApiKey = None,
        hub_api_key: _HubApiKey = None,
        as_json: _AsJson = False,
        **values: Any,
    ) -> None:
        cli = Cli(url=url, inference_url=inference_url, api_key=api_key, hub_api_key=hub_api_key, is_json=as_json)
        try:
            function(cli, **values)
        finally:
            cli.close()

    # Typer makes the options of what the signature and the annotations say.
    parameters = [*_own_options(function), *_named_parameters(run)]
    run.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    run.__annotations__ = {part.name: part.annotation for part in parameters}
    paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    run.__doc__ = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    run.__name__ = function.__name__
    return run


def _own_options(function: Callable[..., None]) -> Iterator[inspect.Parameter]:
    """The parameters after the first; those of `**options: Unpack[…]` are the keys of its TypedDict, absent by default."""
    yield from _named_parameters(function)[1:]
    for part in inspect.signature(function).parameters.values():
        if part.kind is part.VAR_KEYWORD and get_origin(part.annotation) is Unpack:
            (options,) = get_args(part.annotation)
            for name, annotation in get_type_hints(options, include_extras=True).items():
                yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _named_parameters(function: Callable[..., None]) -> list[inspect.Parameter]:
    found = inspect.signature(function).parameters.values()
    return [part.replace(kind=part.KEYWORD_ONLY) for part in found if part.kind is not part.VAR_KEYWORD]
