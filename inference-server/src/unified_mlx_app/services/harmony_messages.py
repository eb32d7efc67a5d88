"""Conversations in the form that gpt-oss's chat template expects, which sees the first call of a message alone and refuses,
or drops without a word, what it does not expect."""

from collections.abc import Sequence
from dataclasses import dataclass

from unified_mlx_app.types import JSON

_BETWEEN_TEXTS = "\n\n"
_INSTRUCTING = ("system", "developer")


@dataclass(frozen=True, slots=True)
class PlacedMessage:
    """A message for the template, and which of the client's messages it comes from."""

    message: JSON
    origin: int


def to_harmony(messages: Sequence[JSON]) -> list[PlacedMessage]:
    """Instructions at the start as one message and later ones as the user's, thoughts as `thinking`, and each call in a message
    of its own, before its result."""
    placed: list[PlacedMessage] = []
    index = _num_instructions(messages)
    if index:
        texts = [message["content"] for message in messages[:index] if message["content"]]
        placed.append(PlacedMessage({**messages[0], "content": _BETWEEN_TEXTS.join(texts)}, 0))
    while index < len(messages):
        message = messages[index]
        if message.get("role") != "assistant":
            role = "user" if message.get("role") in _INSTRUCTING else message.get("role")
            placed.append(PlacedMessage({**message, "role": role}, index))
            index += 1
            continue
        end = index + 1
        while end < len(messages) and messages[end].get("role") == "tool":
            end += 1
        results = [PlacedMessage(messages[place], place) for place in range(index + 1, end)]
        placed += _turn(_with_thinking(message), index, results)
        index = end
    return placed


def _num_instructions(messages: Sequence[JSON]) -> int:
    others = (index for index, message in enumerate(messages) if message.get("role") not in _INSTRUCTING)
    return next(others, len(messages))


def _with_thinking(message: JSON) -> JSON:
    """The template shows the text of a message with calls as a thought, so it refuses one that has a thought besides."""
    plain = {name: value for name, value in message.items() if name != "tool_calls" or value}
    thought = plain.get("reasoning_content") or plain.get("reasoning")
    if not thought:
        return plain
    if "tool_calls" in plain and plain["content"]:
        return {**plain, "thinking": f"{thought}{_BETWEEN_TEXTS}{plain['content']}", "content": ""}
    return {**plain, "thinking": thought}


def _turn(message: JSON, origin: int, results: list[PlacedMessage]) -> list[PlacedMessage]:
    calls = message.get("tool_calls") or []
    if len(calls) < 2:
        return [PlacedMessage(message, origin), *results]
    placed: list[PlacedMessage] = []
    for number, call in enumerate(calls):
        one = {**message, "tool_calls": [call]} if number == 0 else {"role": "assistant", "content": "", "tool_calls": [call]}
        own = [result for result in results if result.message.get("tool_call_id") == call.get("id")]
        placed += [PlacedMessage(one, origin), *own]
        results = [result for result in results if result not in own]
    return [*placed, *results]


def described(tools: Sequence[JSON]) -> list[JSON]:
    """The tools, each with a description, which the template takes for granted."""
    return [{**tool, "function": {"description": "", **tool["function"]}} for tool in tools]
