"""What every dialect's parser gives and raises, and values of arguments that a model wrote without quotes."""

import ast
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_LITERAL_CHARACTERS = 100_000
"""Longer values that are not JSON stay text: Python's own parser is made for shorter ones."""

Schemas = Mapping[str, Mapping[str, Any]]
"""JSON schema of the parameters by tool name."""


class MalformedCallError(Exception):
    """The text is no tool call of this dialect."""


class UnfinishedCallError(MalformedCallError):
    """The text breaks off within a call, so what looked like the call's end may be part of a value."""


@dataclass(frozen=True, slots=True)
class ParsedCall:
    """`id` is set where the dialect lets the model number its calls."""

    name: str
    arguments: dict[str, Any]
    id: str | None = None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_decoder = json.JSONDecoder(strict=False, parse_constant=_refuse_constant)


def read_json(text: str, start: int = 0) -> tuple[Any, int]:
    """The JSON value that begins at `start`, and where it ends. Raises MalformedCallError."""
    while start < len(text) and text[start].isspace():
        start += 1
    try:
        return _decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        is_cut = error.msg.startswith("Unterminated string") or error.pos >= len(text)
        raise (UnfinishedCallError if is_cut else MalformedCallError)(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise MalformedCallError(str(error)) from None


def whole_json(text: str) -> Any:
    """The JSON value that `text` is, apart from blanks around it. Raises MalformedCallError."""
    value, end = read_json(text)
    if text[end:].strip():
        raise MalformedCallError("something follows the JSON value")
    return value


def to_arguments(value: Any) -> dict[str, Any]:
    """Arguments as an object; some models write them as a JSON text, or leave them out. Raises MalformedCallError."""
    if isinstance(value, str):
        value = whole_json(value) if value.strip() else {}
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedCallError("the arguments are no object")
    return value


def property_schema(schemas: Schemas, tool: str, name: str) -> Mapping[str, Any] | None:
    """Schema of one parameter of a tool, None if nothing is said about it."""
    properties = schemas.get(tool, {}).get("properties")
    schema = properties.get(name) if isinstance(properties, Mapping) else None
    return schema if isinstance(schema, Mapping) else None


def to_value(text: str, schema: Mapping[str, Any] | None) -> Any:
    """The value that an unquoted `text` stands for, read as the schema's type; text that is no such value stays text."""
    types = _types(schema)
    if "null" in types and text.strip().lower() in ("null", "none"):
        return None
    if types and types <= {"string", "null"}:
        return text
    for kind, read in (("integer", _integer), ("number", _number), ("boolean", _boolean)):
        if kind in types and (value := read(text)) is not None:
            return value
    if "string" in types and not types & {"object", "array"}:
        return text
    return _literal(text, wanted=(dict, list) if types & {"object", "array"} else None)


def _types(schema: Mapping[str, Any] | None, depth: int = 0) -> set[str]:
    """Names of the types that a schema allows, as far as it says so; empty when it does not."""
    if schema is None or depth > 8:
        return set()
    named = schema.get("type")
    types = {named} if isinstance(named, str) else {each for each in named or () if isinstance(each, str)}
    if not types:
        values = [*(schema.get("enum") or ()), *([schema["const"]] if "const" in schema else [])]
        types |= {_type_of(value) for value in values}
    for keyword in ("anyOf", "oneOf", "allOf"):
        for option in schema.get(keyword) or ():
            if isinstance(option, Mapping):
                types |= _types(option, depth + 1)
    return types


def _type_of(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _integer(text: str) -> int | None:
    value = _number(text)
    return value if isinstance(value, int) else None


def _number(text: str) -> int | float | None:
    """A finite number; one without a fraction is an integer."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return None
    if value in (float("inf"), float("-inf")) or value != value:
        return None
    return int(value) if value.is_integer() else value


def _boolean(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.strip().lower())


def _literal(text: str, *, wanted: tuple[type, ...] | None) -> Any:
    """`text` as JSON or as a Python literal, else as it is."""
    try:
        value = whole_json(text)
    except MalformedCallError:
        try:
            value = literal_of(parse_python(text.strip()).body)
        except MalformedCallError:
            return text
    return value if wanted is None or isinstance(value, wanted) else text


class _JSONNames(ast.NodeTransformer):
    """Templates write nested values as JSON, with `true` where Python has `True`."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        values = {"true": True, "false": False, "null": None}
        return ast.copy_location(ast.Constant(values[node.id]), node) if node.id in values else node


def parse_python(text: str) -> ast.Expression:
    """The syntax tree of one expression. Raises MalformedCallError; UnfinishedCallError if more text could complete it."""
    if len(text) > MAX_LITERAL_CHARACTERS:
        raise MalformedCallError("too long")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return ast.parse(text, mode="eval")
    except SyntaxError as error:
        is_cut = "never closed" in error.msg or "unterminated" in error.msg
        raise (UnfinishedCallError if is_cut else MalformedCallError)(str(error)) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise MalformedCallError(str(error)) from None


def literal_of(node: ast.expr) -> Any:
    """Value of a node of a syntax tree. Raises MalformedCallError for what is no literal, or none that JSON can hold."""
    try:
        value = ast.literal_eval(_JSONNames().visit(node))
        return json.loads(json.dumps(value, allow_nan=False))
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        raise MalformedCallError(str(error)) from None
