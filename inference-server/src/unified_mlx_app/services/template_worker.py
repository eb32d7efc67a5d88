"""What the template processes do: render a model's chat template, which is foreign code, under a limit of memory.

Only `chat_template.py` may send work here. Time is limited from outside, by killing the process.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from transformers.utils.chat_template_utils import render_jinja_template

Messages = list[dict[str, Any]]

MAX_RENDERED_CHARACTERS = 16 * 2**20


class TemplateError(Exception):
    """The template refused the conversation or failed on it; the text is the template's own."""


@dataclass(frozen=True, slots=True)
class RenderJob:
    """A template and what it sees. `variables` are the special tokens and the template's switches."""

    template: str
    messages: Messages
    tools: list[Any] | None
    variables: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """Texts that all conversations with one system part have in common."""

    system_text: str
    """What goes before the first turn's content; empty when that is only the turn's header."""
    generation_prompt: str
    """What is appended to ask for an answer."""


@dataclass(frozen=True, slots=True)
class Rendering:
    text: str
    layout: Layout | None


def render(job: RenderJob, *, with_layout: bool, is_prompt: bool = True) -> Rendering:
    """The prompt's text, and its layout when the caller does not know it yet. Raises TemplateError.

    Without `is_prompt` the text ends with the last message and asks for nothing.
    """
    text = _render(job, job.messages, is_prompt=is_prompt)
    return Rendering(text, _layout(job) if with_layout else None)


def find_message(job: RenderJob, text: str, char_index: int) -> int | None:
    """Index of the message in whose content character `char_index` of the prompt `text` lies; None when it cannot be told.

    Changing a message changes the text from its content on, so a few renderings tell where a content starts.
    """
    return _message_at(job, text, char_index, partial(_content_start, job, text))


def find_contents(job: RenderJob, text: str, char_indexes: list[int]) -> list[tuple[int, int] | None]:
    """For characters of the prompt `text`: index of the message they come from, and of the character in its content.

    None for what stands in no content as the client wrote it: the template's own words, tools, a content that was rewritten.
    """
    start_of = cache(partial(_content_start, job, text))  # Several characters are often of one message.
    found: list[tuple[int, int] | None] = []
    for char_index in char_indexes:
        index = _message_at(job, text, char_index, start_of)
        offset = None if index is None else _offset_in_content(job.messages[index], text, char_index, start_of(index))
        found.append(None if index is None or offset is None else (index, offset))
    return found


def _message_at(job: RenderJob, text: str, char_index: int, start_of: Callable[[int], int]) -> int | None:
    """As `find_message`; `start_of` tells where the content of a message starts, or raises TemplateError."""
    low, high = 0, len(job.messages)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            starts_later = start_of(middle) > char_index
        except TemplateError:
            return None
        low, high = (low, middle) if starts_later else (middle, high)
    return low if 0 <= char_index < len(text) else None


def _offset_in_content(message: dict[str, Any], text: str, char_index: int, start: int) -> int | None:
    """Within the content that starts at `start`. Templates may strip a content; what they did else to it is not followed."""
    content = str(message.get("content") or "")
    for num_stripped in (0, len(content) - len(content.lstrip())):
        kept = content[num_stripped:].rstrip()
        if kept and text.startswith(kept, start) and start <= char_index <= start + len(kept):
            return char_index - start + num_stripped
    return None


def _content_start(job: RenderJob, text: str, index: int) -> int:
    message = job.messages[index]
    other = "\ue000" + str(message.get("content") or "")
    changed = [*job.messages[:index], {**message, "content": other}, *job.messages[index + 1 :]]
    return len(_shared_prefix(text, _render(job, changed, is_prompt=True)))


def _render(job: RenderJob, messages: Messages, *, is_prompt: bool) -> str:
    try:
        rendered, _ = render_jinja_template(
            conversations=[messages],
            tools=job.tools,
            chat_template=job.template,
            add_generation_prompt=is_prompt,
            **job.variables,
        )
    # A template is foreign code and fails in any way it likes, by running out of memory or stack as well.
    except Exception as error:
        raise TemplateError(_words(error)) from None
    text = str(rendered[0])
    if len(text) > MAX_RENDERED_CHARACTERS:
        raise TemplateError(f"it made a prompt of {len(text)} characters")
    return text


def _words(error: Exception) -> str:
    match error:
        case MemoryError():
            return "it ran out of memory"
        case RecursionError():
            return "it calls itself without end"
        case _:
            return str(error)[:500] or type(error).__name__


def _layout(job: RenderJob) -> Layout:
    """Found with two short conversations that have the same system part and differ in the next message's first character.

    Whatever the template does with a system message (an own turn, inside the first user turn, trimmed, a default one)
    is in the text that both share.
    """
    system, next_role = _system_part(job.messages)
    try:
        first, second = (_render(job, _dummy(system, next_role, content), is_prompt=False) for content in ("Aa", "Bb"))
    except TemplateError:
        return Layout("", "")
    shared = _shared_prefix(first, second)
    if _is_turn_header(job, shared, is_likely=not system and not job.tools):
        shared = ""
    with contextlib.suppress(TemplateError):
        prompt = _render(job, _dummy(system, next_role, "Aa"), is_prompt=True)
        if prompt.startswith(first):
            return Layout(shared, prompt[len(first) :])
    return Layout(shared, "")


def _system_part(messages: Messages) -> tuple[Messages, str]:
    """The leading system messages, and the role of the message after them."""
    num_system = 0
    while num_system < len(messages) and messages[num_system].get("role") in ("system", "developer"):
        num_system += 1
    rest = messages[num_system:]
    return messages[:num_system], "assistant" if rest and rest[0].get("role") == "assistant" else "user"


def _dummy(system: Messages, next_role: str, content: str) -> Messages:
    """A conversation that templates accept: some refuse one without a user message."""
    turns = [{"role": next_role, "content": content}]
    if next_role == "assistant":
        turns.append({"role": "user", "content": "Cc"})
    return [*system, *turns]


def _is_turn_header(job: RenderJob, shared: str, *, is_likely: bool) -> bool:
    """Whether `shared` is only what goes before every user turn, so that the template put no system text there."""
    header = shared.removeprefix(str(job.variables.get("bos_token") or ""))
    turns = [{"role": role, "content": content} for role, content in (("user", "Aa"), ("assistant", "Dd"), ("user", "Aa"))]
    try:
        bare = RenderJob(job.template, turns, None, job.variables)
        first, second = (_render(bare, [*turns[:2], {"role": "user", "content": end}], is_prompt=False) for end in ("Aa", "Bb"))
    except TemplateError:
        return is_likely
    return _shared_prefix(first, second).endswith(header)


def _shared_prefix(first: str, second: str) -> str:
    """The longest text that both begin with."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if first[:middle] == second[:middle] else (low, middle - 1)
    return first[:low]
