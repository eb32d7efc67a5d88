"""Dialects that put each argument between tags: Qwen3-Coder, MiniMax, MiniCPM, Muse, GLM, LongCat, Kimi K3."""

import re
from functools import partial
from typing import Any

from unified_mlx_app.services.tool_dialects.calls import (
    MalformedCallError,
    ParsedCall,
    Schemas,
    UnfinishedCallError,
    property_schema,
    to_value,
    whole_json,
)
from unified_mlx_app.services.tool_dialects.json_calls import parse_json

_QUOTED = r"""\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>]+))"""


class _Tags:
    """The patterns of one dialect's calls and of the arguments in them, and the tags that end both."""

    def __init__(self, call: str, call_end: str, argument: str, argument_end: str) -> None:
        self.argument = re.compile(rf"\s*{argument}(.*?){re.escape(argument_end)}", re.DOTALL)
        self.call_start = re.compile(rf"\s*{call}", re.DOTALL)
        self.argument_start = re.compile(argument, re.DOTALL)
        self.call_end = call_end


def _first(groups: tuple[str | None, ...]) -> str:
    """A name is in one of several groups, by its quotes."""
    return next(group for group in groups if group is not None).strip()


def _parse_tagged(text: str, schemas: Schemas, tags: _Tags) -> list[ParsedCall]:
    calls: list[ParsedCall] = []
    position = 0
    while text[position:].strip():
        head = tags.call_start.match(text, position)
        if head is None:
            raise MalformedCallError("no call tag")
        name = _first(head.groups())
        arguments, position = _arguments(text, head.end(), name, schemas, tags)
        calls.append(ParsedCall(name, arguments))
    if not calls:
        raise MalformedCallError("no call")
    return calls


def _arguments(text: str, position: int, tool: str, schemas: Schemas, tags: _Tags) -> tuple[dict[str, Any], int]:
    """The arguments that begin at `position`, and where the call that holds them ends."""
    arguments: dict[str, Any] = {}
    while (match := tags.argument.match(text, position)) is not None:
        *names, value = match.groups()
        name = _first(tuple(names))
        arguments[name] = to_value(_unwrapped(value), property_schema(schemas, tool, name))
        position = match.end()
    rest = text[position:].lstrip()
    if rest.startswith(tags.call_end):
        return arguments, len(text) - len(rest) + len(tags.call_end)
    is_cut = not rest or tags.argument_start.match(rest) is not None
    raise (UnfinishedCallError if is_cut else MalformedCallError)("the call does not end")


_CDATA = re.compile(r"\s*<!\[CDATA\[(.*?)\]\]>\s*\Z", re.DOTALL)


def _unwrapped(value: str) -> str:
    """A value without the line ends that templates put around it."""
    if cdata := _CDATA.match(value):
        return cdata[1]
    return value.removeprefix("\n").removesuffix("\n")


_QWEN3_CODER = _Tags(r"<function=\s*([^\s<>]+?)\s*>", "</function>", r"<parameter=\s*([^\s<>]+?)\s*>", "</parameter>")
_MINIMAX = _Tags(rf"<invoke\s+name{_QUOTED}\s*>", "</invoke>", rf"<parameter\s+name{_QUOTED}\s*>", "</parameter>")
_MINICPM = _Tags(rf"<function\s+name{_QUOTED}\s*>", "</function>", rf"<param\s+name{_QUOTED}\s*>", "</param>")
_MUSE = _Tags(
    rf"<atem:invoke\b[^>]*?\bname{_QUOTED}\s*>",
    "</atem:invoke>",
    rf"<atem:parameter\b[^>]*?\bname{_QUOTED}[^>]*?>",
    "</atem:parameter>",
)


def _or_json(parse: Any, text: str, schemas: Schemas) -> list[ParsedCall]:
    """Forced calls, and now and then a model by itself, write JSON between the marks of any dialect."""
    return parse_json(text, schemas) if text.lstrip().startswith(("{", "[{")) else parse(text, schemas)


parse_qwen3_coder = partial(_or_json, partial(_parse_tagged, tags=_QWEN3_CODER))
parse_minimax_m2 = partial(_or_json, partial(_parse_tagged, tags=_MINIMAX))
parse_muse_spark = partial(_or_json, partial(_parse_tagged, tags=_MUSE))


def parse_minicpm5(text: str, schemas: Schemas) -> list[ParsedCall]:
    """The start mark is the beginning of the first tag, the end mark its end."""
    return _parse_tagged(f"<function name={text}</function>", schemas, _MINICPM)


def _parse_keyed(text: str, schemas: Schemas, prefix: str) -> list[ParsedCall]:
    """`name<arg_key>…</arg_key><arg_value>…</arg_value>`, with `prefix` before `arg`."""
    key_start, value_start = f"<{prefix}arg_key>", f"<{prefix}arg_value>"
    name, *parts = text.split(key_start)
    if not name.strip():
        raise MalformedCallError("the call has no name")
    arguments: dict[str, Any] = {}
    for part in parts:
        key, mark, rest = part.partition(f"</{prefix}arg_key>")
        body = rest.strip().removeprefix("\\n").lstrip().removeprefix(value_start)
        value, end, after = body.rpartition(f"</{prefix}arg_value>")
        if not mark or not end:
            raise UnfinishedCallError("an argument does not end")
        if after.strip():
            raise MalformedCallError("something follows an argument")
        arguments[key.strip()] = to_value(_unwrapped(value), property_schema(schemas, name.strip(), key.strip()))
    return [ParsedCall(name.strip(), arguments)]


parse_glm47 = partial(_or_json, partial(_parse_keyed, prefix=""))
parse_longcat = partial(_or_json, partial(_parse_keyed, prefix="longcat_"))


_K3_CALL = re.compile(r"\s*<\|open\|>call((?:(?!<\|sep\|>).)*)<\|sep\|>(.*?)<\|close\|>call<\|sep\|>", re.DOTALL)
_K3_ARGUMENT = re.compile(r"\s*<\|open\|>argument((?:(?!<\|sep\|>).)*)<\|sep\|>(.*?)<\|close\|>argument<\|sep\|>", re.DOTALL)
_K3_JSON = re.compile(r"\s*<\|open\|>json(?:(?!<\|sep\|>).)*<\|sep\|>(.*?)<\|close\|>json<\|sep\|>", re.DOTALL)
_K3_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')


def _parse_kimi_k3(text: str, schemas: Schemas) -> list[ParsedCall]:
    """Arguments with their types between Kimi's control tokens, or one JSON object."""
    calls: list[ParsedCall] = []
    position = 0
    while text[position:].strip():
        match = _K3_CALL.match(text, position)
        if match is None:
            raise UnfinishedCallError("no call between the control tokens")
        name = _attributes(match[1]).get("tool")
        if not name:
            raise MalformedCallError("the call has no name")
        calls.append(ParsedCall(name, _k3_arguments(match[2])))
        position = match.end()
    if not calls:
        raise MalformedCallError("no call")
    return calls


parse_kimi_k3 = partial(_or_json, _parse_kimi_k3)


def _attributes(text: str) -> dict[str, str]:
    found = _K3_ATTRIBUTE.findall(text)
    return {key: value.replace("&quot;", '"').replace("&amp;", "&") for key, value in found}


def _k3_arguments(body: str) -> dict[str, Any]:
    if block := _K3_JSON.match(body):
        value = whole_json(block[1])
        if not isinstance(value, dict):
            raise MalformedCallError("the arguments are no object")
        return value
    arguments: dict[str, Any] = {}
    position = 0
    while match := _K3_ARGUMENT.match(body, position):
        attributes = _attributes(match[1])
        if "key" not in attributes:
            raise MalformedCallError("an argument has no key")
        kind = attributes.get("type", "string")
        arguments[attributes["key"]] = to_value(match[2], {"type": kind})
        position = match.end()
    if body[position:].strip():
        raise MalformedCallError("something stands between the arguments")
    return arguments
