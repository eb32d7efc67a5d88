"""Numbers and times as people read them."""

import unicodedata
from datetime import UTC, datetime

NONE = "-"
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_ALLOWED = frozenset("\n\t\u200c\u200d")
"""The last two join the parts of letters and of emoji."""


def told_bytes(count: float | None) -> str:
    """`1.4 GB`."""
    if count is None:
        return NONE
    value, unit = float(count), _UNITS[0]
    for unit in _UNITS:
        if abs(value) < 1000 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def told_count(count: float | None) -> str:
    """`12.3k`; small ones as they are."""
    if count is None:
        return NONE
    if abs(count) < 10_000:
        return f"{count:,.0f}"
    limit, unit = next(pair for pair in ((1e9, "B"), (1e6, "M"), (1e3, "k")) if abs(count) >= pair[0])
    return f"{count / limit:.1f}{unit}"


def told_number_of(count: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def told_seconds(seconds: float | None) -> str:
    """`85 ms`, `4.2 s`, `3m 05s`, `2h 10m`."""
    if seconds is None:
        return NONE
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE:02d}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE:02d}m"
    return f"{whole // _DAY}d {whole % _DAY // _HOUR}h"


def told_age(time: str | None) -> str:
    """How long ago an ISO time is: `3m ago`; None was never."""
    if not time:
        return NONE
    seconds = (datetime.now(UTC) - parse_time(time)).total_seconds()
    for limit, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if seconds >= limit:
            return f"{int(seconds // limit)}{unit} ago"
    return "just now" if seconds < 5 else f"{int(seconds)}s ago"


def parse_time(time: str) -> datetime:
    """An ISO time of an answer, with its time zone."""
    return datetime.fromisoformat(time)


def told_number(value: float | None, digits: int = 3) -> str:
    """Such as a loss: `2.314`."""
    return NONE if value is None else f"{value:.{digits}f}"


def short_id(identifier: str) -> str:
    """The part of an id that tells it from others; commands accept it."""
    return identifier[:8]


def printable(text: str) -> str:
    """`text` without the control characters that could move a terminal's cursor or change its colours."""
    return "".join(
        character for character in text if character in _ALLOWED or unicodedata.category(character) not in {"Cc", "Cf", "Cs"}
    )


def one_line(text: str, max_characters: int = 80) -> str:
    """The beginning of `text` for a table."""
    line = " ".join(printable(text).split())
    return line if len(line) <= max_characters else f"{line[: max_characters - 1]}…"
