"""Takes secrets out of log lines: the values of this process's own, and whatever looks like a key, a token or a password.

A line goes through here as a whole and as the last step, so that a traceback or a library's message hides nothing.
"""

import json
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

MASK = "[redacted]"
_MIN_CHARS = 8
"""Shorter values would take away ordinary words; where they stand in a URL or behind a name they are found all the same."""
_SECRET_NAME = re.compile(r"(?:^|_)(?:KEY|TOKEN|PASSWORD|PASSWD|PASS|SECRET|CREDENTIALS?|HEADERS|COOKIE)(?:$|_)", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"://[^\s:/@]*:([^\s@]+)@")
# A bounded prefix, and no start within a word, so that a line of one very long word costs no more than others.
_NAMED = r"[\w-]{0,32}(?:api[_-]?key|passw(?:or)?d|secret|(?:access|auth|refresh|hf|id)[_-]?token)|authorization|token"
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # Keys of this platform, of Hugging Face, of OpenAI's and GitHub's kind, and JSON web tokens.
    (re.compile(r"\b(?:mlxhub_[\w-]{16,}|hf_[A-Za-z0-9]{20,}|sk-[\w-]{16,}|gh[opsu]_\w{20,})"), MASK),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), MASK),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"(?<=://)[^\s/@\"'\\]+@(?=[\w\[])"), f"{MASK}@"),
    (re.compile(r"\b((?:set-)?cookie)(\\?[\"']?\s*[=:]\s*\\?[\"']?)[^\"'\\\n]+", re.IGNORECASE), rf"\1\2{MASK}"),
    (re.compile(rf"(?<![\w-])({_NAMED})(\\?[\"']?\s*[=:]\s*\\?[\"']?)[^\s\"'\\&,;}}\]]+", re.IGNORECASE), rf"\1\2{MASK}"),
)


class Redactor:
    """May be called from any thread."""

    def __init__(self, secrets: frozenset[str] = frozenset()) -> None:
        spellings = {spelling for secret in secrets if len(secret) >= _MIN_CHARS for spelling in _spellings(secret)}
        # The longest first: one secret may begin with another.
        ordered = sorted(spellings, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def redact(self, line: str) -> str:
        if self._known is not None:
            line = self._known.sub(MASK, line)
        for pattern, replacement in _PATTERNS:
            line = pattern.sub(replacement, line)
        return line


def secrets_in(environment: Mapping[str, str]) -> frozenset[str]:
    """Values of variables that are named like secrets, and the passwords in URLs of any."""
    found = {value.strip() for name, value in environment.items() if _SECRET_NAME.search(name)}
    for value in environment.values():
        for password in _URL_PASSWORD.findall(value):
            found |= {password, unquote(password)}
    return frozenset(found - {""})


def _spellings(secret: str) -> set[str]:
    """As it is, in a URL, in Python's quotes, and all of these inside a JSON string."""
    plain = {secret, quote(secret, safe=""), repr(secret)[1:-1], secret.replace("'", "\\'")}
    return plain | {json.dumps(spelling)[1:-1] for spelling in plain}
