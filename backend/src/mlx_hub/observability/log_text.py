"""Log events for people: one short line each, in colours on a terminal.

Whatever a client could have put into a value is escaped, so that it can neither begin a line of its own nor steer the terminal.
"""

from collections.abc import MutableMapping
from datetime import datetime
from typing import Any

_LEVELS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31;1"}
_FIRST = ("timestamp", "level", "component", "event")
_LAST = ("logger", "exception", "stack")


class TextRenderer:
    """structlog's last processor. A traceback follows its event in lines that begin with a bar."""

    def __init__(self, *, has_colours: bool) -> None:
        self._has_colours = has_colours

    def __call__(self, _logger: object, _name: str, event: MutableMapping[str, Any]) -> str:
        level = str(event.get("level", "info"))
        parts = [
            self._coloured("2", _clock(str(event.get("timestamp", "")))),
            self._coloured(_LEVELS.get(level, "0"), f"{level:7}"),
            self._coloured("2", f"{shown(event.get('component', '')):6}"),
            self._coloured("1", shown(event.get("event", ""))),
        ]
        for name, value in event.items():
            if name not in _FIRST and name not in _LAST and value is not None:
                parts.append(self._coloured("36", f"{shown(name)}=") + _quoted(value))
        line = " ".join(parts)
        for text in (event.get("exception"), event.get("stack")):
            if text:
                line += "".join(f"\n    | {shown(row)}" for row in str(text).splitlines())
        return line

    def _coloured(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._has_colours else text


def shown(value: object) -> str:
    """With everything escaped that is not a printable character."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _quoted(value: object) -> str:
    text = shown(value)
    is_plain = text and not (isinstance(value, str) and set(text) & set(' ="'))
    return text if is_plain else '"' + text.replace('"', '\\"') + '"'


def _clock(timestamp: str) -> str:
    """Of today's time the seconds are enough, as this machine's clock shows them."""
    try:
        return datetime.fromisoformat(timestamp).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return timestamp
