"""What an answer must be, as one grammar: a thought where the model thinks, then calls whose arguments satisfy their schemas,
or content in the format that was asked for.

Calls are written in the model's own dialect where that holds JSON, else as JSON between the dialect's marks.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from unified_mlx_app.services.answer_parts import AnswerShape
from unified_mlx_app.services.format_worker import CheckedFormat
from unified_mlx_app.services.reasoning import ThinkMarks
from unified_mlx_app.services.tokenizers import LoadedTokenizer
from unified_mlx_app.services.tool_calls import Tool, ToolUse
from unified_mlx_app.services.tool_dialects.table import Dialect
from unified_mlx_app.types import Constraint

_ANY_OBJECT = '%json {"type": "object"}'
_BLANKS = "/[ \\n]{0,4}/"


@dataclass(frozen=True, slots=True)
class GrammarInput:
    """`arguments` are the expressions of the tools whose arguments must satisfy their schemas."""

    shape: AnswerShape
    arguments: Mapping[str, str]
    content: CheckedFormat | None
    may_think: bool


def answer_constraint(given: GrammarInput, tokenizer: LoadedTokenizer) -> Constraint | None:
    """None when nothing was demanded of the answer."""
    writer = _Writer(tokenizer)
    use, dialect, content = given.shape.tools, given.shape.dialect, given.content
    if use is not None and dialect is not None:
        if use.must_call:
            rules = [f"answer: {writer.calls(use, dialect, given.arguments)}"]
        elif content is not None:
            rules = [f"answer: {writer.calls(use, dialect, given.arguments)} | content", f"content: {whole(content)}"]
        elif given.arguments:
            rules = writer.free_with_calls(use, dialect, given.shape.think, given.arguments)
            return Constraint(kind="tool_calls", grammar="\n".join(["start: answer", *rules]))
        else:
            return None
        return _with_thought("tool_calls", rules, given, writer)
    if content is None or given.shape.think is None or not (given.may_think or given.shape.is_thinking):
        return content.constraint if content else None
    return _with_thought(content.constraint.kind, [f"answer: {whole(content)}"], given, writer)


def whole(content: CheckedFormat) -> str:
    """The format as an expression for a rule."""
    return content.expression or f"%lark {{\n{content.constraint.grammar}\n}}"


def _with_thought(kind: str, rules: list[str], given: GrammarInput, writer: "_Writer") -> Constraint:
    think, is_open = given.shape.think, given.shape.is_thinking
    if think is not None and (given.may_think or is_open):
        rules = [f"start: {'thought' if is_open else 'thought?'} blanks answer", f"blanks: {_BLANKS}", *rules]
        rules += writer.thought(think, is_open=is_open)
    else:
        rules = ["start: answer", *rules]
    return Constraint(kind=kind, grammar="\n".join(rules))  # pyright: ignore[reportArgumentType]


class _Writer:
    """Writes marks as the tokenizer has them: control tokens by their ids, anything else as text."""

    def __init__(self, tokenizer: LoadedTokenizer) -> None:
        self._ids = {token.content: token_id for token_id, token in tokenizer.backend.get_added_tokens_decoder().items()}
        self._end_ids = sorted(tokenizer.eos_token_ids)
        names = sorted(self._ids, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, names)) or r"(?!)")

    def mark(self, text: str) -> str:
        parts: list[str] = []
        position = 0
        for match in self._pattern.finditer(text):
            parts += [json.dumps(text[position : match.start()]), f"<[{self._ids[match[0]]}]>"]
            position = match.end()
        parts.append(json.dumps(text[position:]))
        return " ".join(part for part in parts if part != '""') or '""'

    def _but(self, mark: str) -> str:
        """Any token but `mark`, which is one token, and the end."""
        return f"<[^{','.join(map(str, [self._ids[mark], *self._end_ids]))}]>"

    def thought(self, think: ThinkMarks, *, is_open: bool) -> list[str]:
        start = "" if is_open else self.mark(think.start) + " "
        if think.end in self._ids:
            return [f"thought: {start}{self._but(think.end)}* {self.mark(think.end)}"]
        return [f"thought: {start}thinking", f"thinking[suffix={json.dumps(think.end)}]: /(.|\\n)*/"]

    def free_with_calls(
        self, use: ToolUse, dialect: Dialect, think: ThinkMarks | None, arguments: Mapping[str, str]
    ) -> list[str]:
        """Any text, in which a dialect's mark begins a call."""
        calls = self._call_group(use, dialect, arguments)
        if not dialect.start:
            return [f"answer: {calls} | text", 'text: "" | /[^\\[{ \\n](.|\\n)*/']
        if first := self._pattern.match(dialect.start):
            # A mark of several tokens shares its first with others, which are text.
            marks = [think.start, *think.noise] if think is not None else []
            others = [self.mark(mark) for mark in marks if mark.startswith(first[0]) and mark != first[0]]
            return [f"answer: (text {calls})* text", f"text: {_one_of([self._but(first[0]), *others])}*"]
        opened = f"opened[lazy]: /(.|\\n)*/ {json.dumps(dialect.start)}"
        return [f"answer: (opened {self._call_group(use, dialect, arguments, start='')})* text", opened, "text: /(.|\\n)*/"]

    def calls(self, use: ToolUse, dialect: Dialect, arguments: Mapping[str, str]) -> str:
        """One call or several, and nothing else."""
        group = self._call_group(use, dialect, arguments)
        return group if not use.is_parallel or not dialect.end else f'{group} ("\\n" {group})*'

    def _call_group(self, use: ToolUse, dialect: Dialect, arguments: Mapping[str, str], *, start: str | None = None) -> str:
        """What stands from one start mark to its end."""
        opening = self.mark(dialect.start if start is None else start)
        tools = [(tool, arguments.get(tool.name, _ANY_OBJECT)) for tool in use.callable_tools]
        several = use.is_parallel
        match dialect.name:
            case "kimi_k2":
                begin, middle, end = (self.mark(mark) for mark in dialect.inner_marks)
                call = _one_of([f'{begin} "functions.{tool.name}:" /[0-9]{{1,3}}/ {middle} {body} {end}' for tool, body in tools])
                return f"({opening} {call}{'+' if several else ''} {self.mark(dialect.end)})"
            case "mistral" if "[ARGS]" in self._ids:
                call = _one_of([f'{opening} "{tool.name}" {self.mark("[ARGS]")} {body}' for tool, body in tools])
                return f"({call}{'+' if several else ''})"
            case "mistral":
                return f'({opening} " "? {_list([_json_call(tool, body) for tool, body in tools], several=several)})'
            case "bare_json":
                call = _one_of([_json_call(tool, body, key="parameters") for tool, body in tools])
                return f'({call} ("; " {call})*)' if several else call
            case _:
                call = _one_of([_json_call(tool, body) for tool, body in tools])
                return f'({opening} "\\n" {call} "\\n" {self.mark(dialect.end)})'


def _json_call(tool: Tool, body: str, *, key: str = "arguments") -> str:
    head = json.dumps(f'{{"name": "{tool.name}", "{key}": ')
    return f'{head} {body} "}}"'


def _one_of(alternatives: list[str]) -> str:
    return f"({' | '.join(alternatives)})"


def _list(alternatives: list[str], *, several: bool) -> str:
    call = _one_of(alternatives)
    more = f' (", " {call})*' if several else ""
    return f'"[" {call}{more} "]"'
