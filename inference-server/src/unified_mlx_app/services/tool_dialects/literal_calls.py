"""Dialects that write a call like an expression: Python's (LFM2) and Gemma's."""

import ast
import re
from functools import partial
from typing import Any

from unified_mlx_app.services.tool_dialects.calls import (
    MalformedCallError,
    ParsedCall,
    Schemas,
    UnfinishedCallError,
    literal_of,
    parse_python,
)
from unified_mlx_app.services.tool_dialects.json_calls import parse_json


def parse_pythonic(text: str, schemas: Schemas) -> list[ParsedCall]:
    """`[name(key="value"), …]`."""
    stripped = text.strip()
    if stripped.startswith(("{", "[{")):
        return parse_json(text, schemas)
    body = parse_python(stripped).body
    nodes = body.elts if isinstance(body, ast.List) else [body]
    if not nodes:
        raise MalformedCallError("no call")
    return [_python_call(node) for node in nodes]


def _python_call(node: ast.expr) -> ParsedCall:
    if not isinstance(node, ast.Call) or node.args or any(keyword.arg is None for keyword in node.keywords):
        raise MalformedCallError("a call has a name and named arguments")
    arguments = {str(keyword.arg): literal_of(keyword.value) for keyword in node.keywords}
    return ParsedCall(ast.unparse(node.func), arguments)


_HEAD = re.compile(r"\s*call:\s*([\w.-]+)\s*\{")
_KEY = re.compile(r"\s*(?:\"([^\"]*)\"|([^\s:{}\[\],]+))\s*:\s*")
_BARE = re.compile(r"[^,{}\[\]]+")
_MAX_DEPTH = 64


class _GemmaReader:
    """Reads `call:name{key:value, …}`, whose texts stand between `quote` marks and whose keys have none."""

    def __init__(self, text: str, quote: str) -> None:
        self._text = text
        self._quote = quote
        self._position = 0

    def calls(self) -> list[ParsedCall]:
        found: list[ParsedCall] = []
        while self._text[self._position :].strip():
            head = _HEAD.match(self._text, self._position)
            if head is None:
                raise MalformedCallError("no call")
            self._position = head.end()
            found.append(ParsedCall(head[1], self._object(0)))
            self._skip_blanks()
        if not found:
            raise MalformedCallError("no call")
        return found

    def _object(self, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while not self._take("}"):
            key = self._key()
            members[key] = self._value(depth + 1)
            self._take(",")
        return members

    def _key(self) -> str:
        if self._take(self._quote):
            key = self._until_quote()
            if not self._take(":"):
                raise self._error()
            return key
        match = _KEY.match(self._text, self._position)
        if match is None:
            raise self._error()
        self._position = match.end()
        return match[1] if match[1] is not None else match[2]

    def _list(self, depth: int) -> list[Any]:
        items: list[Any] = []
        while not self._take("]"):
            items.append(self._value(depth + 1))
            self._take(",")
        return items

    def _value(self, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise MalformedCallError("nested too deep")
        if self._take(self._quote):
            return self._until_quote()
        if self._take("{"):
            return self._object(depth)
        if self._take("["):
            return self._list(depth)
        match = _BARE.match(self._text, self._position)
        if match is None:
            raise self._error()
        self._position = match.end()
        return _bare_value(match[0].strip())

    def _until_quote(self) -> str:
        end = self._text.find(self._quote, self._position)
        if end < 0:
            raise UnfinishedCallError("a text does not end")
        value = self._text[self._position : end]
        self._position = end + len(self._quote)
        return value

    def _take(self, mark: str) -> bool:
        self._skip_blanks()
        if not self._text.startswith(mark, self._position):
            return False
        self._position += len(mark)
        return True

    def _skip_blanks(self) -> None:
        while self._position < len(self._text) and self._text[self._position].isspace():
            self._position += 1

    def _error(self) -> MalformedCallError:
        is_cut = self._position >= len(self._text)
        return (UnfinishedCallError if is_cut else MalformedCallError)("no value where one is expected")


def _bare_value(text: str) -> Any:
    """A number, `true`, `false` or `null`, or a text in JSON's quotes; anything else is a text as it stands."""
    try:
        return literal_of(parse_python(text).body)
    except MalformedCallError:
        return text


def _parse_gemma(text: str, schemas: Schemas, quote: str) -> list[ParsedCall]:
    return parse_json(text, schemas) if text.lstrip().startswith(("{", "[{")) else _GemmaReader(text, quote).calls()


parse_gemma4 = partial(_parse_gemma, quote='<|"|>')
parse_function_gemma = partial(_parse_gemma, quote="<escape>")
