"""From what people type to the row they mean: a name, an id, or the beginning of an id."""

import difflib
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

import typer

from mlx_hub.cli.client import Json, ServiceClient
from mlx_hub.cli.command import BACKEND_URL, INFERENCE_URL, backend_service, inference_service
from mlx_hub.cli.errors import CliError, FailedError
from mlx_hub.cli.formats import short_id

_MIN_ID_CHARACTERS = 4
_MAX_TOLD = 8
_COMPLETION_SECONDS = 2.0
_MAX_COMPLETIONS = 100
"""The newest; the list has pages of at most so many."""

Completion = Callable[[typer.Context, list[str], str], list[str]]


def find(client: ServiceClient, path: str, text: str, *, noun: str, name: str = "name") -> Json:
    """The one row of the list at `path` that `text` means. Raises FailedError naming what it could be, or what there is."""
    if _is_id(text):
        return client.get(f"{path}/{text}")
    rows = list(client.pages(path))
    for matches in (_is_named(text, name), _ends_with(text, name), _begins_with(text)):
        found = [row for row in rows if matches(row)]
        if len(found) == 1:
            return found[0]
        if found:
            raise FailedError(f"{text!r} could be several: {_told(found, name)}. Say the id of one.")
    raise FailedError(f"There is no {noun} {text!r}.{_suggestion(text, [str(row[name]) for row in rows])}")


def newest(client: ServiceClient, path: str, *, noun: str) -> Json:
    """The newest row of a list. Raises FailedError for an empty one."""
    items = client.get(path, page_size=1)["items"]
    if not items:
        raise FailedError(f"There is no {noun} yet.")
    return items[0]


def find_name(names: Iterable[str], text: str, *, noun: str) -> str:
    """The one of `names` that `text` means: all of it, its part after the last slash, or a served adapter without its alias."""
    known = list(names)
    if text in known:
        return text
    for alias in ("champion", "latest"):
        if f"{text}@{alias}" in known:
            return f"{text}@{alias}"
    found = [name for name in known if name.rpartition("/")[2].lower() == text.lower()]
    if len(found) == 1:
        return found[0]
    if found:
        raise FailedError(f"{text!r} could be several: {', '.join(found)}.")
    raise FailedError(f"There is no {noun} {text!r}.{_suggestion(text, known)}")


def find_served(client: ServiceClient, text: str | None) -> str | None:
    """The name of a model that the inference server answers as; None is its default."""
    if text is None or text == "default":
        return None
    return find_name((model["id"] for model in client.get("/v1/models")["data"]), text, noun="served model")


def complete_from(path: str, name: str = "name") -> Completion:
    """Shell completion by the names of a list of the backend; silent when that is down."""

    def complete(context: typer.Context, _arguments: list[str], incomplete: str) -> list[str]:
        url, key = _option(context, "url", BACKEND_URL), context.params.get("hub_api_key") or context.params.get("api_key")
        rows = _quietly(
            lambda: ServiceClient(backend_service(url, key), read_seconds=_COMPLETION_SECONDS),
            path,
            {"page_size": _MAX_COMPLETIONS},
        )
        return [str(row[name]) for row in rows.get("items", []) if str(row[name]).startswith(incomplete)]

    return complete


def complete_served(context: typer.Context, _arguments: list[str], incomplete: str) -> list[str]:
    """Shell completion by the models of the inference server."""
    url, key = _option(context, "inference_url", INFERENCE_URL), context.params.get("api_key")
    answer = _quietly(lambda: ServiceClient(inference_service(url, key), read_seconds=_COMPLETION_SECONDS), "/v1/models", {})
    return [model["id"] for model in answer.get("data", []) if model["id"].startswith(incomplete)]


def _quietly(make_client: Callable[[], ServiceClient], path: str, query: dict[str, Any]) -> Json:
    try:
        client = make_client()
        try:
            return client.get(path, **query)
        finally:
            client.close()
    except CliError:
        return {}


def _option(context: typer.Context, name: str, default: str) -> str:
    return context.params.get(name) or default


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _is_named(text: str, name: str) -> Callable[[Json], bool]:
    return lambda row: row[name] == text


def _ends_with(text: str, name: str) -> Callable[[Json], bool]:
    """Of names with an owner, such as those of the hub, the part after the slash will do."""
    return lambda row: str(row[name]).rpartition("/")[2].lower() == text.lower()


def _begins_with(text: str) -> Callable[[Json], bool]:
    if len(text) < _MIN_ID_CHARACTERS:
        return lambda _row: False
    return lambda row: str(row["id"]).startswith(text.lower())


def _told(rows: list[Json], name: str) -> str:
    more = f" and {len(rows) - _MAX_TOLD} more" if len(rows) > _MAX_TOLD else ""
    return ", ".join(f"{short_id(row['id'])} ({_described(row, name)})" for row in rows[:_MAX_TOLD]) + more


def _described(row: Json, name: str) -> str:
    return f"{row[name]}, {row['status']}" if "status" in row else str(row[name])


def _suggestion(text: str, names: list[str]) -> str:
    if not names:
        return " There is none yet."
    if close := difflib.get_close_matches(text, names, n=3, cutoff=0.4):
        return f" Did you mean {' or '.join(close)}?"
    return f" There is: {', '.join(names[:_MAX_TOLD])}{', …' if len(names) > _MAX_TOLD else ''}."
