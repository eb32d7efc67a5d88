"""Reads JSON schemas of clients: which keywords can be kept, and where a schema is wrong. Pure; used in the format processes.

A keyword that cannot be kept is never passed over in silence: it is refused by name, or left out and told.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

MAX_DEPTH = 32
MAX_SUBSCHEMAS = 10_000
_LOCATE_SECONDS = 0.5
"""Of searching for the place of an error; then the nearest place that is known is told."""

_KEPT = frozenset(
    {
        *("type", "enum", "const", "anyOf", "allOf", "oneOf", "$ref", "$defs", "definitions"),
        *("properties", "patternProperties", "additionalProperties", "required", "minProperties", "maxProperties"),
        *("items", "prefixItems", "minItems", "maxItems", "minLength", "maxLength", "pattern", "format"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    }
)
_ANNOTATIONS = frozenset(
    {
        *("title", "description", "default", "example", "examples", "deprecated", "readOnly", "writeOnly", "discriminator"),
        *("contentEncoding", "contentMediaType", "contentSchema", "$schema", "$id", "id", "$anchor", "$comment"),
    }
)
_WITHOUT_EFFECT: tuple[tuple[str, Any], ...] = (("uniqueItems", False), ("nullable", False), ("minContains", 0))
_OF_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")
_OF_NAMES = ("properties", "patternProperties", "$defs", "definitions")
_OF_ONE = ("items", "additionalProperties")
_OPTIONS = {
    # A small model that may put blanks anywhere puts blanks everywhere; these are the separators of Python's json.dumps.
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "lenient": False,
}

Path = tuple[str | int, ...]


class SchemaError(Exception):
    """`path` leads to what is wrong; the text says what."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(path, message)
        self.path = path
        self.message = message


@dataclass(frozen=True, slots=True)
class KeptSchema:
    """A schema with all that can be kept of it, and where what was left out stood."""

    schema: dict[str, Any]
    left_out: tuple[Path, ...]


@dataclass(slots=True)
class _Reading:
    is_known_format: Callable[[str], bool]
    num_subschemas: int = 0
    left_out: list[Path] = field(default_factory=list)


def read_schema(schema: dict[str, Any], *, is_strict: bool, is_known_format: Callable[[str], bool]) -> KeptSchema:
    """Raises SchemaError for one that is too large, and when it is strict for a keyword that cannot be kept."""
    reading = _Reading(is_known_format)
    kept = _read(schema, (), 1, reading)
    if is_strict and reading.left_out:
        path = reading.left_out[0]
        raise SchemaError(path, "the keyword cannot be kept in a strict schema with this value; leave it out")
    return KeptSchema(kept, tuple(reading.left_out))


def json_expression(schema: dict[str, Any], *, is_one_of_any: bool = False) -> str:
    """The part of a Lark grammar that stands for a JSON value of `schema`; with `is_one_of_any` alternatives may overlap."""
    return "%json " + json.dumps({**schema, "x-guidance": {**_OPTIONS, "coerce_one_of": is_one_of_any}})


def locate(schema: dict[str, Any], pointer: str, words: str, compile_words: Callable[[dict[str, Any]], str]) -> Path:
    """The path of the innermost part, from JSON pointer `pointer` on, that alone fails to compile with the same `words`."""
    until = time.monotonic() + _LOCATE_SECONDS
    root = _rebased(schema)
    path, node = _followed(schema, pointer)
    while True:
        for child_path, child in _children(node):
            if time.monotonic() > until:
                return path
            if compile_words(_alone(child, (*path, *child_path), root)) == words:
                path, node = path + child_path, child
                break
        else:
            return path


def path_text(path: Path) -> str:
    """As one would write it after the name of a field: `.properties.a.anyOf[1]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if part.replace("$", "_").isidentifier() else f"[{json.dumps(part[:64])}]"
    return text


def _read(node: Any, path: Path, depth: int, reading: _Reading) -> Any:
    if isinstance(node, bool):
        return node
    if not isinstance(node, dict):
        raise SchemaError(path, "a schema is an object, true or false")
    reading.num_subschemas += 1
    if depth > MAX_DEPTH:
        raise SchemaError(path, f"a schema may be nested {MAX_DEPTH} deep")
    if reading.num_subschemas > MAX_SUBSCHEMAS:
        raise SchemaError(path, f"a schema may have {MAX_SUBSCHEMAS} parts")
    kept: dict[str, Any] = {}
    if isinstance(reference := node.get("$ref"), str) and not reference.startswith("#"):
        raise SchemaError((*path, "$ref"), "a reference has to stay within the schema, so it begins with #")
    for keyword, value in node.items():
        if _can_be_kept(keyword, value, node, reading):
            kept[keyword] = _read_value(keyword, value, (*path, keyword), depth + 1, reading)
        elif not keyword.startswith("x-") and (keyword, value) not in _WITHOUT_EFFECT:
            reading.left_out.append((*path, keyword))
    return kept


def _read_value(keyword: str, value: Any, path: Path, depth: int, reading: _Reading) -> Any:
    if keyword in _OF_NAMES and isinstance(value, dict):
        return {name: _read(child, (*path, name), depth, reading) for name, child in value.items()}
    if keyword in _OF_LISTS and isinstance(value, list):
        return [_read(child, (*path, index), depth, reading) for index, child in enumerate(value)]
    return _read(value, path, depth, reading) if keyword in _OF_ONE else value


def _can_be_kept(keyword: str, value: Any, node: dict[str, Any], reading: _Reading) -> bool:
    if keyword == "format" and isinstance(value, str):
        types = node.get("type", "string")
        is_of_text = "string" in (types if isinstance(types, list) else [types])
        return not is_of_text or reading.is_known_format(value)
    if keyword == "items" and isinstance(value, list):
        return False  # Of drafts before 2020-12, which write `prefixItems` so.
    return keyword in _KEPT or keyword in _ANNOTATIONS


def _children(node: Any) -> Iterator[tuple[Path, Any]]:
    """Subschemas with their paths; definitions last, for they may be wrong and unused."""
    if not isinstance(node, dict):
        return
    for keyword in sorted(node, key=("$defs", "definitions").__contains__):
        value = node[keyword]
        if keyword in _OF_NAMES and isinstance(value, dict):
            yield from (((keyword, name), child) for name, child in value.items())
        elif keyword in _OF_LISTS and isinstance(value, list):
            yield from (((keyword, index), child) for index, child in enumerate(value))
        elif keyword in _OF_ONE:
            yield (keyword,), value


def _followed(schema: dict[str, Any], pointer: str) -> tuple[Path, Any]:
    """Where a JSON pointer leads, and what is there; the root when it leads nowhere."""
    path: Path = ()
    node: Any = schema
    for text in pointer.split("/")[1:]:
        part = unquote(text).replace("~1", "/").replace("~0", "~")
        key: Any = int(part) if isinstance(node, list) and part.isdecimal() else part
        try:
            node = node[key]
        except (KeyError, IndexError, TypeError):
            return (), schema
        path = (*path, key)
    return path, node


def _alone(node: Any, path: Path, root: Any) -> dict[str, Any]:
    """A subschema as a schema of its own; what it refers to comes along."""
    if isinstance(node, dict) and "$ref" not in json.dumps(node):
        return node
    pointer = "/".join(_pointer_part(part) for part in path)
    return {"$ref": f"#/$root/{pointer}", "$root": root}


def _rebased(value: Any) -> Any:
    """The schema as a part of another one, at `#/$root`."""
    if isinstance(value, list):
        return [_rebased(each) for each in value]
    if not isinstance(value, dict):
        return value
    rebased = {key: _rebased(each) for key, each in value.items()}
    reference = value.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        rebased["$ref"] = f"#/$root{reference[1:]}"
    return rebased


def _pointer_part(part: str | int) -> str:
    return quote(str(part).replace("~", "~0").replace("/", "~1"), safe="~$")
