"""Dialects that write a call's arguments as JSON: Hermes and Qwen, Llama, Mistral, Kimi K2."""

import re
from typing import Any

from unified_mlx_app.services.tool_dialects.calls import (
    MalformedCallError,
    ParsedCall,
    Schemas,
    UnfinishedCallError,
    read_json,
    to_arguments,
)


def parse_json(text: str, _: Schemas) -> list[ParsedCall]:
    """`{"name": …, "arguments": {…}}`, one or several, also in a list."""
    calls: list[ParsedCall] = []
    position = 0
    while position < len(text):
        value, position = read_json(text, position)
        calls += [_call(each) for each in (value if isinstance(value, list) else [value])]
        # Several calls follow each other directly, or with a comma or semicolon between them.
        while position < len(text) and (text[position].isspace() or text[position] in ",;"):
            position += 1
    if not calls:
        raise MalformedCallError("no call")
    return calls


def _call(value: Any) -> ParsedCall:
    if not isinstance(value, dict):
        raise MalformedCallError("a call is an object")
    inner = value.get("function")
    if isinstance(inner, dict):
        value = {**value, **inner}
    name = value.get("name") if isinstance(value.get("name"), str) else inner
    if not isinstance(name, str):
        raise MalformedCallError("the call has no name")
    arguments = value["arguments"] if "arguments" in value else value.get("parameters")
    call_id = value.get("id")
    return ParsedCall(name, to_arguments(arguments), call_id if isinstance(call_id, str) and call_id else None)


_MISTRAL_HEADER = re.compile(r"(?:\[TOOL_CALLS\])?\s*([\w.-]+)\s*(?:\[CALL_ID\]\s*([\w-]+)\s*)?\[ARGS\]\s*")


def parse_mistral(text: str, schemas: Schemas) -> list[ParsedCall]:
    """`name[ARGS]{…}`, repeated for several calls, or the older list of objects."""
    if text.lstrip().startswith(("[{", "[ {", "{")):
        return parse_json(text, schemas)
    calls: list[ParsedCall] = []
    position = 0
    while text[position:].strip():
        header = _MISTRAL_HEADER.match(text, position)
        if header is None:
            raise MalformedCallError("no name before [ARGS]")
        arguments, position = read_json(text, header.end())
        calls.append(ParsedCall(header[1], to_arguments(arguments), header[2]))
        while position < len(text) and text[position].isspace():
            position += 1
    if not calls:
        raise UnfinishedCallError("no call")
    return calls


_KIMI_BEGIN, _KIMI_ARGUMENTS, _KIMI_END = "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"
_KIMI_ID = re.compile(r"\s*((?:functions\.)?(.+?):\d+)\s*\Z", re.DOTALL)


def parse_kimi_k2(text: str, _: Schemas) -> list[ParsedCall]:
    """`functions.name:0` and JSON between Kimi's marks; the id is the model's own and its template writes it back."""
    calls: list[ParsedCall] = []
    for part in text.split(_KIMI_BEGIN):
        if not part.strip():
            continue
        head, mark, rest = part.partition(_KIMI_ARGUMENTS)
        numbered = _KIMI_ID.match(head)
        if not mark or numbered is None:
            raise MalformedCallError("a call has no id")
        arguments, end = read_json(rest)
        if rest[end:].strip() not in ("", _KIMI_END):
            raise MalformedCallError("something follows the arguments")
        calls.append(ParsedCall(numbered[2], to_arguments(arguments), numbered[1]))
    if not calls:
        raise MalformedCallError("no call")
    return calls
