"""Tools that a request offers, and the calls that a model makes of them. Wire formats are the routes' business."""

import json
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unified_mlx_app.services.tool_dialects.calls import MalformedCallError, ParsedCall
from unified_mlx_app.services.tool_dialects.table import Dialect
from unified_mlx_app.types import JSON

_SHORT_ID_CHARACTERS = 9
"""Mistral's templates refuse any other length."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. `parameters` is a JSON schema; with `is_strict` every call's arguments satisfy it."""

    name: str
    description: str | None = None
    parameters: JSON = field(default_factory=dict)
    is_strict: bool = False


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The tools of a request and how it wants them used.

    The prompt shows all of `tools`; only `allowed` ones may be called (None: all). With `must_call` the answer is calls alone.
    """

    tools: tuple[Tool, ...]
    must_call: bool = False
    allowed: frozenset[str] | None = None
    is_parallel: bool = True
    param: str = "tools"
    """The request's field that lists the tools, and where in each of them its schema stands."""
    schema_path: str = ".function.parameters"

    @property
    def callable_tools(self) -> tuple[Tool, ...]:
        return tuple(tool for tool in self.tools if self.allowed is None or tool.name in self.allowed)

    def for_template(self) -> list[JSON]:
        """The tools in the form that chat templates expect, which is OpenAI's."""
        return [{"type": "function", "function": _function(tool)} for tool in self.tools]


def _function(tool: Tool) -> JSON:
    described = {} if tool.description is None else {"description": tool.description}
    return {"name": tool.name, **described, "parameters": tool.parameters}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A complete call; `arguments` is the text of a JSON object."""

    id: str
    name: str
    arguments: str


class CallReader:
    """Reads what stands between a dialect's marks as calls of the tools on offer."""

    def __init__(self, dialect: Dialect, use: ToolUse) -> None:
        self.dialect = dialect
        self._use = use
        self._names = {tool.name for tool in use.callable_tools}
        self._schemas: Mapping[str, Mapping[str, Any]] = {tool.name: tool.parameters for tool in use.tools}
        self._num_calls = 0

    def read(self, body: str) -> list[ToolCall]:
        """The calls in `body`; those beyond the first are dropped where the request wants one at a time.

        Raises MalformedCallError if it is no call of a tool on offer, UnfinishedCallError if it breaks off.
        """
        parsed = self.dialect.parse(body, self._schemas)
        if any(call.name not in self._names for call in parsed):
            raise MalformedCallError("a call of a tool that is not on offer")
        calls = [ToolCall(self._id(call), call.name, to_json(call.arguments)) for call in parsed]
        if not self._use.is_parallel:
            calls = calls[: max(0, 1 - self._num_calls)]
        self._num_calls += len(calls)
        return calls

    def _id(self, call: ParsedCall) -> str:
        if call.id is not None and len(call.id) <= 256:
            return call.id
        if self.dialect.name == "mistral":
            alphabet = string.ascii_letters + string.digits
            return "".join(secrets.choice(alphabet) for _ in range(_SHORT_ID_CHARACTERS))
        return f"call_{secrets.token_hex(12)}"


def to_json(arguments: JSON) -> str:
    """Arguments as JSON text, written as templates write them. Raises MalformedCallError for what JSON cannot hold."""
    try:
        text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(arguments)  # A lone surrogate has no UTF-8, but an escape.
    except (ValueError, RecursionError) as error:
        raise MalformedCallError(str(error)) from None
    return text
