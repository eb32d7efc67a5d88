"""Calls of harmony, gpt-oss's format: a message to `functions.name` whose body is a JSON object."""

from unified_mlx_app.harmony import MESSAGE
from unified_mlx_app.services.tool_dialects.calls import MalformedCallError, ParsedCall, Schemas, to_arguments, whole_json


def parse_harmony(text: str, _: Schemas) -> list[ParsedCall]:
    """The recipient, the mark before a body, and the body."""
    recipient, mark, body = text.partition(MESSAGE)
    if not mark:
        raise MalformedCallError("the message has no recipient")
    return [ParsedCall(recipient.removeprefix("functions."), to_arguments(whole_json(body) if body.strip() else {}))]
