"""What text that changes from call to call looks like: kinds of spans, and the patterns of the built-in rules.

Each pattern takes time in proportion to the text: nothing in it is repeated without an end of its own.
"""

import re
from dataclasses import dataclass
from typing import Literal

from unified_mlx_app.rule_specs import BUILT_IN_ACTIONS

Kind = Literal["billing_header", "uuid", "date", "time", "path", "hash", "number", "other"]

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)
_WEEKDAY = r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day|mon|tue|wed|thu|fri|sat|sun)"
_DATE = (
    rf"(?:{_WEEKDAY},?[ ])?(?:\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}|\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{2,4}}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?[ -]{_MONTH}\.?,?[ -]\d{{4}}|{_MONTH}\.?[ ]\d{{1,2}}(?:st|nd|rd|th)?,?[ ]\d{{4}})"
)
_TIME = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:[ ]?(?:[ap]m\b|[ap]\.m\.))?(?:[ ]?(?:Z\b|UTC\b|GMT\b|[+-]\d{2}:?\d{2}\b))?"
_EPOCH = r"\d{10}(?:\d{3})?(?:\.\d{1,9})?"
_DATE_TIME = rf"(?:{_DATE}(?:[ ]at)?[T, ]{{1,2}})?{_TIME}"
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_IS = r"(?:[\"'*]{1,3})?(?:[ ](?:is|was|now|today)){0,2}[ ]?[:=]?[ ]?(?:[\"'*]{1,3})?[ ]?"
_BILLING = r"^[ \t]{0,8}x-anthropic-billing-header:[^\n]{0,2000}\n?"

_PATTERNS: dict[Kind, re.Pattern[str]] = {
    "billing_header": re.compile(_BILLING, re.IGNORECASE | re.MULTILINE),
    "uuid": re.compile(rf"\b{_UUID}\b", re.IGNORECASE),
    "time": re.compile(rf"\b{_DATE_TIME}", re.IGNORECASE),
    "date": re.compile(rf"\b{_DATE}\b", re.IGNORECASE),
    "path": re.compile(r"(?<![\w/~.])(?:~|\.{1,2}|[A-Za-z]:)?[/\\][^\s\"'<>|:*?]{1,500}"),
    "hash": re.compile(r"\b(?=[A-Za-z_-]{0,64}\d)(?=[\d_-]{0,64}[A-Za-z])[A-Za-z0-9_-]{6,512}\b"),
    "number": re.compile(r"(?<![\w.])[+-]?\d[\d.,_]{0,60}\b"),
}

RULE_PATTERNS: dict[str, re.Pattern[str]] = {
    "billing_header": re.compile(rf"(?P<span>{_BILLING})", re.IGNORECASE | re.MULTILINE),
    "current_time": re.compile(
        rf"\b(?:(?:current|local|system|request)?[ _-]?(?:date[ _-]?(?:and[ _-]?)?)?time(?:stamp)?|now|it|as of|today(?:'s date)?"
        rf"|current[ _-]date){_IS}(?P<span>{_DATE_TIME}|{_EPOCH}\b)",
        re.IGNORECASE,
    ),
    "current_date": re.compile(
        rf"\b(?:today(?:['\u2019]s)?(?:[ ]date)?|(?:current|today)?[ _-]?(?:date|day)|now|as of){_IS}(?P<span>{_DATE})\b",
        re.IGNORECASE,
    ),
    "request_id": re.compile(
        rf"\b(?:(?:request|session|trace|span|correlation|conversation|message|run)[ _-]?(?:id|nonce)|nonce){_IS}"
        r"(?P<span>[A-Za-z0-9_-][A-Za-z0-9_.:-]{2,200}[A-Za-z0-9_-])",
        re.IGNORECASE,
    ),
    "uuid": _PATTERNS["uuid"],
    "working_directory": re.compile(
        r"\b(?:(?:current[ _-])?working[ _-]directory|cwd)\b(?:[ ]is)?[ ]?[:=>]?[ ]?(?P<span>[^\s<>][^\n<>]{0,500})",
        re.IGNORECASE,
    ),
}
assert set(RULE_PATTERNS) == set(BUILT_IN_ACTIONS)

DAY = re.compile(_DATE, re.IGNORECASE)

_CONTEXT_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class Shape:
    """What a changed span is, and how far it reaches: half-open, in characters of the text."""

    kind: Kind
    start: int
    end: int


def shape_of(text: str, start: int, end: int) -> Shape:
    """What the span of `text` that changed belongs to, such as a date of which one digit changed."""
    low, high = max(0, start - _CONTEXT_CHARACTERS), min(len(text), end + _CONTEXT_CHARACTERS)
    for kind, pattern in _PATTERNS.items():
        for match in pattern.finditer(text, low, high):
            if match.start() <= start and end <= match.end():
                return Shape(kind, match.start(), match.end())
    return Shape("other", start, end)


def is_touched_by(rule: str, text: str, start: int, end: int) -> bool:
    """Whether the built-in rule finds something that reaches into this span of `text`."""
    low, high = max(0, start - _CONTEXT_CHARACTERS), min(len(text), end + _CONTEXT_CHARACTERS)
    return any(match.start() <= end and start <= match.end() for match in RULE_PATTERNS[rule].finditer(text, low, high))
