"""Messages as clients send them, brought into the form that chat templates expect. The client's own objects are not changed."""

import json
import re
from hashlib import sha256
from typing import Any

from unified_mlx_app.errors import InvalidRequestError, UnsupportedFieldError

TEMPLATE_KWARGS = frozenset(
    {"enable_thinking", "thinking", "thinking_budget", "preserve_thinking", "clear_thinking", "reasoning_effort"}
)
"""Switches of templates that clients may set. Any other name could override what the template is given, messages included."""
MAX_KWARG_CHARACTERS = 100
_SHORT_ID_CHARACTERS = 9
_WANTS_SHORT_IDS = re.compile(r"\|\s*length\s*!=\s*9\b")


def to_template_messages(messages: list[dict[str, Any]], *, template: str) -> list[dict[str, Any]]:
    """Plain strings for contents, objects for tool arguments, and "system" for "developer" where the template lacks that.

    Raises InvalidRequestError with param `messages`.
    """
    if not messages:
        raise InvalidRequestError("messages is empty; send at least one message.", param="messages")
    knows_developer = "developer" in template
    plain = [_to_template_message(message, knows_developer=knows_developer) for message in messages]
    return [_with_short_ids(message) for message in plain] if _WANTS_SHORT_IDS.search(template) else plain


def _to_template_message(message: dict[str, Any], *, knows_developer: bool) -> dict[str, Any]:
    plain = {key: value for key, value in message.items() if value is not None}
    plain["content"] = _text(message.get("content"))
    if plain.get("role") == "developer" and not knows_developer:
        plain["role"] = "system"
    if tool_calls := plain.get("tool_calls"):
        plain["tool_calls"] = [_with_arguments(call) for call in tool_calls]
    return plain


def _with_short_ids(message: dict[str, Any]) -> dict[str, Any]:
    """Calls whose ids another model or server made, with ids that Mistral's templates accept; equal ids stay equal."""
    changed = dict(message)
    if "tool_call_id" in message:
        changed["tool_call_id"] = _short_id(message["tool_call_id"])
    if calls := message.get("tool_calls"):
        changed["tool_calls"] = [{**call, "id": _short_id(call["id"])} if "id" in call else call for call in calls]
    return changed


def _short_id(call_id: str) -> str:
    is_short = len(call_id) == _SHORT_ID_CHARACTERS and call_id.isalnum()
    return call_id if is_short else sha256(call_id.encode("utf-8", "replace")).hexdigest()[:_SHORT_ID_CHARACTERS]


def _text(content: Any) -> str:
    """mlx-lm gives templates an empty text for an absent content and joins parts without anything between them."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidRequestError("A message's content is a text or a list of parts.", param="messages")
    return "".join(_part_text(part) for part in content)


def _part_text(part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind != "text":
        raise UnsupportedFieldError(f"Content parts of type {str(kind)[:40]!r} are not supported; send text.", param="messages")
    if not isinstance(part.get("text"), str):
        raise InvalidRequestError("A content part of type text has no text.", param="messages")
    return part["text"]


def _with_arguments(call: Any) -> Any:
    """Templates iterate over arguments. Those that are no JSON object, because a model wrote them, stay as they are."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = json.loads(function["arguments"])
    except (ValueError, RecursionError):
        return call
    return {**call, "function": {**function, "arguments": arguments}} if isinstance(arguments, dict) else call


def check_template_kwargs(template_kwargs: dict[str, Any]) -> None:
    """Raises InvalidRequestError for a switch that is not on the list or is not a plain value."""
    for name, value in template_kwargs.items():
        if name not in TEMPLATE_KWARGS:
            allowed = ", ".join(sorted(TEMPLATE_KWARGS))
            raise InvalidRequestError(
                f"chat_template_kwargs may not set {name[:40]!a}; allowed are {allowed}.", param="chat_template_kwargs"
            )
        if not isinstance(value, str | int | float | bool | None) or len(str(value)) > MAX_KWARG_CHARACTERS:
            raise InvalidRequestError(
                f"chat_template_kwargs.{name} is a short text, a number or a boolean.", param="chat_template_kwargs"
            )
