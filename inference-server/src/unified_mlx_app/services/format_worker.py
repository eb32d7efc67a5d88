"""What the format processes do: tell whether a schema, regex or grammar of a client can be kept, and where it is wrong.

Only `structured_output.py` may send work here. Time is limited from outside, by killing the process.
"""

import json
import re
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal

from llguidance import LLMatcher

from unified_mlx_app.models.grammars import GrammarError, Grammars, byte_grammars
from unified_mlx_app.services.json_schemas import SchemaError, json_expression, locate, path_text, read_schema
from unified_mlx_app.services.process_limits import limit_memory
from unified_mlx_app.types import Constraint

FormatKind = Literal["json_schema", "regex", "choice", "lark"]

_MAX_WORDS = 300
_ONE_OF = "oneOf constraints are not supported"  # llguidance 1.9 says so where alternatives may overlap.
_REFERRED = re.compile(r"while processing json-schema:///#(/\S*)")
_LARK_PLACE = re.compile(r"^(?:at )?(\d+)\((\d+)\): ")


class FormatError(Exception):
    """The format is wrong; `place` goes after the name of its field, and the text says why."""

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(message, place)
        self.message = message
        self.place = place


@dataclass(frozen=True, slots=True)
class CheckedFormat:
    """A format that compiles. `expression` stands for it within a larger grammar; a whole Lark grammar has none."""

    constraint: Constraint
    expression: str | None
    left_out: tuple[str, ...] = ()
    """Places of the keywords of a schema that are not kept."""


def start() -> None:
    """Called once in each process."""
    limit_memory()


def check(kind: FormatKind, content: bytes, *, is_strict: bool) -> CheckedFormat:
    """`content` is the format as JSON. Raises FormatError."""
    value, grammars = json.loads(content), byte_grammars()
    match kind:
        case "json_schema":
            return _check_schema(value, grammars, is_strict=is_strict)
        case "regex":
            return _check_expression(kind, _regex_expression(value), grammars)
        case "choice":
            return _check_expression(kind, " | ".join(json.dumps(text) for text in value), grammars)
        case "lark":
            return _check_lark(value, grammars)


def _check_schema(schema: dict[str, Any], grammars: Grammars, *, is_strict: bool) -> CheckedFormat:
    try:
        kept = read_schema(schema, is_strict=is_strict, is_known_format=_is_known_format)
    except SchemaError as error:
        raise FormatError(error.message, path_text(error.path)) from error
    left_out = tuple(path_text(path).removeprefix(".") for path in kept.left_out)
    expression = json_expression(kept.schema)
    words = _words_of(f"start: {expression}", grammars)
    if _ONE_OF in words and not is_strict:
        expression = json_expression(kept.schema, is_one_of_any=True)
        words = _words_of(f"start: {expression}", grammars)
        left_out = (*left_out, "oneOf (more than one alternative may match)")
    if words:
        referred = _REFERRED.search(words)
        path = locate(kept.schema, referred[1] if referred else "", _without_source(words), partial(_words_of_schema, grammars))
        raise FormatError(_plain(words), path_text(path))
    return CheckedFormat(Constraint(kind="json_schema", grammar=f"start: {expression}"), expression, left_out)


def _check_expression(kind: FormatKind, expression: str, grammars: Grammars) -> CheckedFormat:
    constraint = Constraint(kind=kind, grammar=f"start: {expression}")
    if words := _words_of(constraint.grammar, grammars):
        raise FormatError(_plain(words))
    return CheckedFormat(constraint, f"({expression})")


def _check_lark(text: str, grammars: Grammars) -> CheckedFormat:
    if text.lstrip().startswith("{"):
        raise FormatError("it is not Lark")  # llguidance reads its own JSON there too.
    words = _words_of(text, grammars)
    if not words:
        return CheckedFormat(Constraint(kind="lark", grammar=text), None)
    place = _LARK_PLACE.match(words)
    where = f" in line {place[1]}, column {place[2]}" if place else ""
    raise FormatError(f"{_plain(words)}{where}")


def _regex_expression(regex: str) -> str:
    """As Lark writes it; llguidance knows which characters need care."""
    lark: str = json.loads(LLMatcher.grammar_from_regex(regex))["grammars"][0]["lark_grammar"]
    return lark.removeprefix("start: ") if regex else '""'


def _plain(words: str) -> str:
    """llguidance's words without its drawings, in one line."""
    words = _LARK_PLACE.sub("", words).removeprefix("failed to compile JSON schema: ")
    if "regex parse error" in words and (reason := re.search(r"^error: (.+)$", words, re.MULTILINE)):
        column = re.search(r"regex parse error:\n {4}.*\n {4}( *)\^", words)
        where = f" at character {len(column[1]) + 1}" if column else ""
        return f"the regular expression is wrong{where}: {reason[1]}"
    if _ONE_OF in words:
        return "more than one alternative of oneOf may match, which cannot be ruled out; use anyOf"
    if words.startswith("NoExtension"):
        return "nothing can satisfy it"
    return " ".join(re.split(r"\n|; following", words)[0].split())[:_MAX_WORDS]


def _words_of_schema(grammars: Grammars, schema: dict[str, Any]) -> str:
    return _without_source(_words_of(f"start: {json_expression(schema)}", grammars))


def _without_source(words: str) -> str:
    """Without the place and the text that llguidance quotes, so that equal errors have equal words."""
    return re.split(r"\n +(?:1 \| start: |while processing )", words)[0]


def _words_of(grammar: str, grammars: Grammars) -> str:
    """Why a grammar does not compile; empty when it does."""
    try:
        grammars.compile(grammar)
    except GrammarError as error:
        return str(error)
    return ""


@lru_cache(256)
def _is_known_format(name: str) -> bool:
    return not _words_of_schema(byte_grammars(), {"type": "string", "format": name})
