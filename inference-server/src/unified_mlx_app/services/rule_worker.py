"""What rules do to a conversation: spans that change from call to call leave their place, and nothing is hidden from the model.

A rule of an operator's own is a pattern whose cost cannot be told from its looks, so `prompt_rules.py` runs this in a process
that may be killed. Equal conversations give equal results; the client's own objects are not changed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

from unified_mlx_app.rule_specs import Place, RuleSpec, compiled_pattern
from unified_mlx_app.services.volatile_text import DAY, RULE_PATTERNS
from unified_mlx_app.types import JSON

MAX_SPANS = 64
"""Of one rule in one request; further ones stay where they are."""
_CODE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]+`", re.DOTALL)
PLACES: dict[str, Place] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_NO_UUID = "00000000-0000-0000-0000-000000000000"
_PROBE_CHARACTERS = 1_000
"""A pattern whose time grows with the square of the text passes, one that grows faster takes minutes."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What one rule did to one request."""

    rule: str
    action: str
    num_spans: int


@dataclass(frozen=True, slots=True)
class Rewritten:
    messages: list[JSON]
    applied: tuple[Applied, ...] = ()


@dataclass(slots=True)
class _Moved:
    """Values that left their place, by the label that stands there now."""

    values: dict[str, str] = field(default_factory=dict)

    def label_of(self, rule: str, value: str) -> str:
        """The same label for the same value; the second value of a rule is `name 2`."""
        labels = [label for label in self.values if label.split()[0] == rule]
        label = next((label for label in labels if self.values[label] == value), None)
        if label is None:
            label = f"{rule} {len(labels) + 1}" if labels else rule
            self.values[label] = value
        return label

    def note(self) -> str:
        return "\n".join(f"[{label}: {value}]" for label, value in self.values.items())


def rewrite(messages: list[JSON], rules: tuple[RuleSpec, ...]) -> Rewritten:
    """`messages` with every rule applied, in order; what moved stands in square brackets at the end of the last user message."""
    applied: list[Applied] = []
    moved = _Moved()
    for rule in rules:
        messages, num_spans = _apply(rule, messages, moved)
        if num_spans:
            applied.append(Applied(rule.name, rule.action, num_spans))
    return Rewritten(_with_note(messages, moved.note()) if moved.values else messages, tuple(applied))


def try_pattern(pattern: str) -> None:
    """Runs a pattern over short texts on which patterns run wild. It returns soon, or else the pattern is not to be used."""
    compiled = compiled_pattern(pattern)
    for text in _probes(pattern):
        for _ in compiled.finditer(text):
            pass


def _probes(pattern: str) -> Iterator[str]:
    """What a pattern looks for, over and over, and then something else."""
    words = list(dict.fromkeys(re.findall(r"[A-Za-z0-9]{2,20}", pattern)))[:4]
    characters = list(dict.fromkeys(c for c in pattern + "a0 " if c.isalnum() or c in " -_/.:,"))[:7]
    for unit in (*words, *characters, *(one + other for one, other in product(characters, characters) if one != other)):
        yield unit * (_PROBE_CHARACTERS // len(unit)) + "\x00"


def _apply(rule: RuleSpec, messages: list[JSON], moved: _Moved) -> tuple[list[JSON], int]:
    changed: list[JSON] = []
    num_spans = 0
    for message in messages:
        content = message.get("content")
        if PLACES.get(str(message.get("role"))) in rule.places and content:
            new, num_found = _apply_to_content(rule, content, moved, MAX_SPANS - num_spans)
            num_spans += num_found
            changed.append({**message, "content": new} if num_found else message)
        else:
            changed.append(message)
    return changed, num_spans


def _apply_to_content(rule: RuleSpec, content: object, moved: _Moved, limit: int) -> tuple[object, int]:
    if isinstance(content, str):
        return _apply_to_text(rule, content, moved, limit)
    if not isinstance(content, list):
        return content, 0
    parts: list[object] = []
    num_spans = 0
    for part in content:
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            text, num_found = _apply_to_text(rule, part["text"], moved, limit - num_spans)
            num_spans += num_found
            parts.append({**part, "text": text})
        else:
            parts.append(part)
    return parts, num_spans


def _apply_to_text(rule: RuleSpec, text: str, moved: _Moved, limit: int) -> tuple[str, int]:
    pieces: list[str] = []
    end = num_spans = 0
    for start, stop in _spans(rule, text):
        if num_spans == limit:
            break
        pieces += [text[end:start], _replacement(rule, text[start:stop], moved)]
        end, num_spans = stop, num_spans + 1
    return "".join([*pieces, text[end:]]), num_spans


def _spans(rule: RuleSpec, text: str) -> Iterator[tuple[int, int]]:
    pattern = compiled_pattern(rule.pattern) if rule.pattern is not None else RULE_PATTERNS[rule.name]
    group = "span" if "span" in pattern.groupindex else min(pattern.groups, 1)
    code = [] if "code" in rule.places else [match.span() for match in _CODE.finditer(text)]
    at = 0
    for match in pattern.finditer(text):
        start, end = match.span(group)
        while at < len(code) and code[at][1] <= start:
            at += 1
        is_code = at < len(code) and code[at][0] < end
        if 0 <= start < end and not is_code:
            yield start, end


def _replacement(rule: RuleSpec, value: str, moved: _Moved) -> str:
    if rule.action == "drop":
        return ""
    text = value.strip()
    after = value[len(value.rstrip()) :]
    if rule.action == "move":
        return f"[{moved.label_of(rule.name, text)}]{after}"
    if rule.name == "uuid":
        return _NO_UUID
    day = DAY.search(text)
    return (day[0] if day else f"[{rule.name}]") + after


def _with_note(messages: list[JSON], note: str) -> list[JSON]:
    """With `note` at the end of the last user message; of the last message where nobody asked anything."""
    users = [index for index, message in enumerate(messages) if message.get("role") == "user"]
    index = users[-1] if users else len(messages) - 1
    content = messages[index].get("content") or ""
    text = f"\n\n{note}"
    longer = [*content, {"type": "text", "text": text}] if isinstance(content, list) else f"{content}{text}"
    return [*messages[:index], {**messages[index], "content": longer}, *messages[index + 1 :]]
