"""How rules for text that changes from call to call are written: by an operator in the environment, and with a registered model.

Only the notation is known here; what a rule does is in `services/rule_worker.py`.
"""

import json
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

Action = Literal["move", "normalise", "drop"]
Place = Literal["system", "user", "assistant", "tool", "code"]

BUILT_IN_ACTIONS: dict[str, Action] = {
    "billing_header": "drop",
    "current_time": "move",
    "current_date": "move",
    "request_id": "move",
    "uuid": "move",
    "working_directory": "move",
}
"""Rules of this server by name, in the order in which they are applied, and what each does when nothing else is said."""

MAX_RULES = 16
MAX_PATTERN_CHARACTERS = 500
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_SHORT = re.compile(r"(?P<name>[^=@]+)(?:=(?P<action>[^=@]+))?(?:@(?P<places>[^=@]+))?")
_FIELDS = {"name", "pattern", "action", "places"}


class RuleError(ValueError):
    """A rule is wrong; `place` is where it stands, such as `[1].pattern`."""

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.message = message
        self.place = place


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """One rule. `pattern` is None for a built-in one; `places` are the texts it may touch.

    "system" takes in developer messages; without "code" it leaves fenced and quoted code alone.
    """

    name: str
    action: Action = "move"
    pattern: str | None = None
    places: tuple[Place, ...] = ("system",)

    @property
    def short(self) -> str:
        """As it may be written in one word; what goes without saying is left out."""
        action = "" if self.action == BUILT_IN_ACTIONS.get(self.name, "move") else f"={self.action}"
        return self.name + action + ("" if self.places == ("system",) else f"@{'+'.join(self.places)}")


def parse_rules(value: object) -> tuple[RuleSpec, ...]:
    """Rules from words such as `billing_header, current_date=normalise@system+user`, or from JSON objects. Raises RuleError."""
    if isinstance(value, str):
        value = _from_text(value)
    if not isinstance(value, list | tuple):
        raise RuleError("it is a list of rules")
    if len(value) > MAX_RULES:
        raise RuleError(f"it has {len(value)} rules; at most {MAX_RULES} are taken")
    rules = tuple(_rule(item, f"[{index}]") for index, item in enumerate(value))
    names = [rule.name for rule in rules]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise RuleError(f"there is another rule {name!a}", f"[{index}]")
    order = [*BUILT_IN_ACTIONS]
    return tuple(sorted(rules, key=lambda rule: order.index(rule.name) if rule.name in order else len(order)))


def _from_text(text: str) -> object:
    if not text.lstrip().startswith("["):
        return [word.strip() for word in text.split(",") if word.strip()]
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RuleError("it is neither words with commas between them nor a JSON list") from error


def _rule(item: object, place: str) -> RuleSpec:
    fields: dict[str, Any]
    if isinstance(item, RuleSpec):
        return item
    if isinstance(item, str):
        match = _SHORT.fullmatch(item.strip())
        if match is None:
            raise RuleError("a rule in one word is name, name=action or name@place+place", place)
        fields = {"name": match["name"], "action": match["action"], "places": match["places"] and match["places"].split("+")}
    elif isinstance(item, dict):
        fields = item
        if unknown := set(fields) - _FIELDS:
            raise RuleError(f"a rule has no {min(map(str, unknown))[:40]!a}; it has {', '.join(sorted(_FIELDS))}", place)
    else:
        raise RuleError("a rule is a word or an object", place)
    name, pattern = fields.get("name"), fields.get("pattern")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RuleError("a name has 1 to 40 small letters, digits and _", f"{place}.name")
    _check_pattern(name, pattern, place)
    action = fields.get("action")
    if action is None:
        action = BUILT_IN_ACTIONS.get(name, "move")
    if action not in get_args(Action):
        raise RuleError(f"an action is one of {', '.join(get_args(Action))}", f"{place}.action")
    return RuleSpec(name, action, pattern, _places(fields.get("places"), f"{place}.places"))


def _check_pattern(name: str, pattern: object, place: str) -> None:
    if name in BUILT_IN_ACTIONS:
        if pattern is not None:
            raise RuleError(f"{name} is a built-in rule; give one with a pattern another name", f"{place}.pattern")
    elif pattern is None:
        raise RuleError(f"there is no built-in rule {name!a}; there are {', '.join(BUILT_IN_ACTIONS)}", f"{place}.name")
    elif not isinstance(pattern, str) or not 0 < len(pattern) <= MAX_PATTERN_CHARACTERS:
        raise RuleError(f"a pattern is a text of 1 to {MAX_PATTERN_CHARACTERS} characters", f"{place}.pattern")
    elif problem := _problem_of(pattern):
        raise RuleError(problem, f"{place}.pattern")


@lru_cache(64)
def compiled_pattern(pattern: str) -> re.Pattern[str]:
    """Raises re.error, OverflowError or RecursionError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # About notation that a later version of Python may read otherwise.
        return re.compile(pattern)


def _problem_of(pattern: str) -> str | None:
    """What is wrong with a pattern that may be used otherwise; how long it takes shows only when it runs."""
    try:
        compiled = compiled_pattern(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"it is no regular expression: {str(error)[:200]}"
    if compiled.search(""):
        return "it finds spans without a character"
    if "span" not in compiled.groupindex and compiled.groups > 1:
        return "it has several groups; name the one to take: (?P<span>...)"
    return None


def _places(value: object, place: str) -> tuple[Place, ...]:
    known = get_args(Place)
    if value is None:
        return ("system",)
    if not isinstance(value, list | tuple) or not value or not all(item in known for item in value):
        raise RuleError(f"it is a list of {', '.join(known)}", place)
    return tuple(one for one in known if one in value)
