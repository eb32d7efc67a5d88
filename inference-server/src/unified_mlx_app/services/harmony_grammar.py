"""What an answer in harmony, gpt-oss's format, must be: a thought where the model may think, then a call whose arguments satisfy
their schema, or content of the format that was asked for in the final channel.

A call ends the answer, so there is one at most. Both ways to write a call's header are allowed, as the models use both.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from unified_mlx_app.harmony import CHANNEL, CONSTRAIN, END, MESSAGE, START, TOKENS
from unified_mlx_app.services.answer_grammar import whole
from unified_mlx_app.services.format_worker import CheckedFormat
from unified_mlx_app.services.tokenizers import LoadedTokenizer
from unified_mlx_app.services.tool_calls import ToolUse
from unified_mlx_app.types import Constraint

_ANY_OBJECT = '%json {"type": "object"}'


@dataclass(frozen=True, slots=True)
class HarmonyDemand:
    """`opening` is what the prompt has begun of the first message: nothing, or a header whose body the answer begins with."""

    opening: str
    use: ToolUse | None
    arguments: Mapping[str, str]
    content: CheckedFormat | None
    may_think: bool


def can_be_demanded(opening: str) -> bool:
    """Whether a grammar can begin where the prompt ends."""
    return opening.strip() in ("", f"{CHANNEL}analysis{MESSAGE}")


def harmony_constraint(demand: HarmonyDemand, tokenizer: LoadedTokenizer) -> Constraint | None:
    """None when nothing was demanded of the answer."""
    writer = _Writer(tokenizer)
    use, content = demand.use, demand.content
    rules = [f"thought: {writer.thought}", f"free: {writer.any_text}*"]
    opened = f"free {writer.next_message}" if demand.opening.strip() else ""
    before = opened or ("thought?" if demand.may_think else "")
    if content is not None and (use is None or not use.must_call):
        rules.append(f"content: {whole(content)}")
        answer = [writer.final("content", is_json=content.constraint.kind == "json_schema")]
        answer += [writer.call(use, demand.arguments)] if use is not None else []
        kind = "tool_calls" if use is not None else content.constraint.kind
    elif use is not None and use.must_call:
        answer, kind = [writer.call(use, demand.arguments)], "tool_calls"
    elif use is not None and demand.arguments:
        rules.append(f"preamble: {writer.preamble} {writer.next_message}")
        answer = [writer.final("free", is_json=False), writer.preamble, writer.call(use, demand.arguments)]
        before, kind = f"{opened} {'(thought | preamble)*' if demand.may_think else 'preamble*'}", "tool_calls"
    else:
        return None
    rules = [f"start: {before} answer", f"answer: {' | '.join(answer)}", *rules]
    return Constraint(kind=kind, grammar="\n".join(rules))


class _Writer:
    """Writes parts of messages as expressions of a grammar, with control tokens by their ids."""

    def __init__(self, tokenizer: LoadedTokenizer) -> None:
        self._ids = {mark: tokenizer.backend.token_to_id(token) for token, mark in TOKENS.items()}
        marks = {str(token_id) for token_id in (*self._ids.values(), *tokenizer.eos_token_ids) if token_id is not None}
        self.any_text = f"<[^{','.join(sorted(marks))}]>"
        self.next_message = f'{self.mark(END)} {self.mark(START)} "assistant"'
        self.thought = f'{self.mark(CHANNEL)} "analysis" {self.mark(MESSAGE)} free {self.next_message}'
        self.preamble = f'{self.mark(CHANNEL)} "commentary" {self.mark(MESSAGE)} free'

    def mark(self, mark: str) -> str:
        return f"<[{self._ids[mark]}]>"

    def final(self, body: str, *, is_json: bool) -> str:
        """The model may announce JSON."""
        announced = f' (" " {self.mark(CONSTRAIN)} "json")?' if is_json else ""
        return f'{self.mark(CHANNEL)} "final"{announced} {self.mark(MESSAGE)} {body}'

    def call(self, use: ToolUse, arguments: Mapping[str, str]) -> str:
        calls = [self._call(f"to=functions.{tool.name}", arguments.get(tool.name, _ANY_OBJECT)) for tool in use.callable_tools]
        return f"({' | '.join(calls)})"

    def _call(self, recipient: str, body: str) -> str:
        """The recipient after the role or after the channel; the type of the body is told or not."""
        first = f'{json.dumps(" " + recipient)} {self.mark(CHANNEL)} "commentary"'
        last = f"{self.mark(CHANNEL)} {json.dumps('commentary ' + recipient)}"
        return f'({first} | {last}) (" "? {self.mark(CONSTRAIN)} "json" | " json")? {self.mark(MESSAGE)} {body}'
