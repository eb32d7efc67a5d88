"""Why a prompt was not found, and the text behind tokens that changed: what it was, what it is, which rule takes care of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from unified_mlx_app.rule_specs import BUILT_IN_ACTIONS, Place, RuleSpec
from unified_mlx_app.services.rule_worker import PLACES, rewrite
from unified_mlx_app.services.volatile_text import Kind, is_touched_by, shape_of
from unified_mlx_app.types import JSON

MAX_TEXT_CHARACTERS = 80
_WINDOW_CHARACTERS = 20_000
_HALF_CHARACTER = "\ufffd"


@dataclass(frozen=True, slots=True)
class Change:
    """Characters `start` to `end` of a text stand where `old` stood, in characters as they are."""

    start: int
    end: int
    old: str


@dataclass(frozen=True, slots=True)
class ChangedText:
    """A span that changes from call to call, and how many tokens behind it were computed again.

    `start` and `end` count characters of the message's text (its parts joined), or of the prompt where `message` is None.
    `old` and `new` are for the eyes of operators: no log, metric or header has them.
    """

    message: int | None
    role: str | None
    start: int | None
    end: int | None
    old: str
    new: str
    kind: Kind
    lost_tokens: int
    rule: str | None = None
    """The built-in rule, as it may be written in the settings, with which the span would have cost nothing."""

    @property
    def summary(self) -> str:
        kind = self.kind.replace("_", " ") if self.kind != "other" else "text"
        where = "the prompt" if self.message is None else f"message {self.message}"
        article = "an" if kind[0] in "aeio" else "a"
        return f"{self.lost_tokens:,} tokens recomputed because of {article} {kind} that changed in {where}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """`reason` is None on a hit, and otherwise such as `diverged; token=412; message=1`."""

    reason: str | None = None
    changes: tuple[ChangedText, ...] = ()

    @property
    def lost_tokens(self) -> int:
        return sum(change.lost_tokens for change in self.changes)

    @property
    def suggestion(self) -> tuple[str, ...]:
        """Rules that would have made the hit longer: those of the first spans, up to one that no rule helps."""
        rules: list[str] = []
        for change in self.changes:
            if change.rule is None:
                break
            rules.append(change.rule)
        return tuple(dict.fromkeys(rules))


def changed_characters(text: str, start: int, end: int, *, old: str, new: str) -> Change:
    """The smallest change. `old` and `new` are the decoded tokens, with some alike on both sides; `new` lies in `text` from
    `start` to `end`, where its first and last character may be cut and a blank may be lost."""
    before = _num_alike(old, new)
    after = min(_num_alike(old[::-1], new[::-1]), min(len(old), len(new)) - before)
    core = new.strip(_HALF_CHARACTER)
    at = text.find(core, start, end) if core else -1
    if at < 0:
        return Change(start, end, old)
    first = at - (len(new) - len(new.lstrip(_HALF_CHARACTER)))
    return Change(first + before, first + len(new) - after, old[before : len(old) - after])


def described(text: str, changes: Sequence[Change], lost_tokens: Sequence[int]) -> list[ChangedText]:
    """What changed in one text; several changes within one date or id are one."""
    found: list[ChangedText] = []
    for change, lost in zip(changes, lost_tokens, strict=True):
        shape = shape_of(text, change.start, change.end)
        last = found[-1] if found else None
        if last is not None and last.end is not None and change.start < last.end:
            found[-1] = replace(last, lost_tokens=last.lost_tokens + lost)
            continue
        inside = [each for each in changes if shape.start <= each.start and each.end <= shape.end]
        old = old_text(text, inside, shape.start, shape.end)
        new = text[shape.start : shape.end]
        found.append(ChangedText(None, None, shape.start, shape.end, short(old), short(new), shape.kind, lost))
    return found


def old_text(text: str, changes: Sequence[Change], start: int, end: int) -> str:
    """`text[start:end]` as it was before the changes in it."""
    pieces: list[str] = []
    at = start
    for change in changes:
        pieces += [text[at : change.start], change.old]
        at = change.end
    return "".join([*pieces, text[at:end]])


def fitting_rule(role: str, text: str, changes: Sequence[Change], start: int, end: int) -> str | None:
    """The built-in rule after which texts with and without these changes, within `start` and `end`, are the same."""
    place = PLACES.get(role)
    if place is None:
        return None
    low, high = max(0, start - _WINDOW_CHARACTERS), min(len(text), end + _WINDOW_CHARACTERS)
    inside = [each for each in changes if start <= each.start and each.end <= end]
    new, old = text[low:high], old_text(text, inside, low, high)
    candidates = [name for name in BUILT_IN_ACTIONS if is_touched_by(name, text, start, end)]
    places: tuple[tuple[Place, ...], ...] = ((place,), (place, "code"))
    for allowed in places:
        for name in candidates:
            rule = RuleSpec(name, BUILT_IN_ACTIONS[name], None, allowed)
            if _without(rule, role, new) == _without(rule, role, old):
                return rule.short
    return None


def short(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARACTERS else f"{text[: MAX_TEXT_CHARACTERS - 1]}…"


def _without(rule: RuleSpec, role: str, text: str) -> object:
    """The text after the rule; what moved is in the question behind it."""
    messages: list[JSON] = [{"role": role, "content": text}, {"role": "user", "content": "."}]
    return rewrite(messages, (rule,)).messages[0]["content"]


def _num_alike(first: str, second: str) -> int:
    size = min(len(first), len(second))
    return next((index for index in range(size) if first[index] != second[index]), size)
