"""Conversations that come as blocks and items, put together as the messages that every wire API hands on."""

from dataclasses import dataclass, field
from typing import Literal

from unified_mlx_app.errors import InvalidRequestError
from unified_mlx_app.types import JSON

Role = Literal["system", "developer", "user", "assistant"]

TEXT_SEPARATOR = "\n\n"
"""Between texts that the client sent apart and the model reads as one."""


@dataclass(slots=True)
class Conversation:
    """Thoughts, texts and calls in a row become one assistant message. `place` names the client's field in errors."""

    messages: list[JSON] = field(default_factory=list)
    _open_calls: dict[str, str] = field(default_factory=dict)
    """Ids of calls without a result so far, and their places."""
    _known_ids: set[str] = field(default_factory=set)

    def add_text(self, role: Role, text: str, *, place: str, is_joined: bool = False) -> None:
        """A message. With `is_joined` it goes on with the message before it if that has the same role."""
        if role != "assistant":
            self._check_answered()
            last = self.messages[-1] if self.messages else {}
            if is_joined and last.get("role") == role:
                last["content"] += TEXT_SEPARATOR + text
            else:
                self.messages.append({"role": role, "content": text})
            return
        message = self._assistant(place)
        if message["content"] and not is_joined and not self._open_calls:
            message = self._begin_assistant(place)
        message["content"] += text

    def add_thought(self, text: str, *, place: str) -> None:
        message = self._assistant(place)
        if not self._open_calls and (message["content"] or message.get("tool_calls")):
            message = self._begin_assistant(place)
        thought = message.get("reasoning_content", "") + text
        message |= {"reasoning_content": thought, "reasoning": thought}

    def add_call(self, call_id: str, name: str, arguments: str, *, place: str) -> None:
        message = self._assistant(place)
        if call_id in self._known_ids:
            raise _broken(f"another call has the id {call_id!a}", place)
        call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        message.setdefault("tool_calls", []).append(call)
        self._open_calls[call_id] = place
        self._known_ids.add(call_id)

    def add_result(self, call_id: str, text: str, *, place: str) -> None:
        """Raises InvalidRequestError unless a call before it waits for this result."""
        if call_id not in self._open_calls:
            raise _broken(f"no call of the id {call_id!a} before it waits for a result", place)
        del self._open_calls[call_id]
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": text})

    def finish(self) -> list[JSON]:
        """All messages. Raises InvalidRequestError for a call that has no result."""
        self._check_answered()
        return self.messages

    def _assistant(self, place: str) -> JSON:
        """The assistant message that is being put together."""
        if self.messages and self.messages[-1]["role"] == "assistant":
            return self.messages[-1]
        return self._begin_assistant(place)

    def _begin_assistant(self, place: str) -> JSON:
        self._check_answered()
        self.messages.append({"role": "assistant", "content": ""})
        return self.messages[-1]

    def _check_answered(self) -> None:
        for call_id, place in self._open_calls.items():
            raise _broken(f"the call of the id {call_id!a} has no result after it", place)


def _broken(problem: str, place: str) -> InvalidRequestError:
    return InvalidRequestError(f"Invalid value for {place}: {problem}.", param=place)
