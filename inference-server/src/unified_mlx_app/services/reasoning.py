"""Thinking models: which marks they put around their thoughts, whether a prompt has opened one, and how effort is asked for."""

import re
from dataclasses import dataclass
from typing import Any

from unified_mlx_app.errors import UnsupportedFieldError
from unified_mlx_app.services.tokenizers import LoadedTokenizer

_MARKS = (
    ("<think>", "</think>"),
    ("<longcat_think>", "</longcat_think>"),
    ("<|think:start|>", "<|think:end|>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
)
"""Pairs that are single tokens in the vocabularies of the models that use them; the first that both are, is the model's."""

_COMPOSED_MARKS = (
    (("<|channel>", "<channel|>"), "<|channel>thought", "<channel|>", ()),
    (
        ("<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>"),
        "<|open|>think<|sep|>",
        "<|close|>think<|sep|>",
        ("<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|close|>message<|sep|>"),
    ),
)
"""Tokens by which a model is known, and marks made of several tokens (Gemma 4, Kimi K3)."""

_SWITCHES = ("enable_thinking", "thinking")
"""Template variables that switch thoughts on and off."""

_HARMONY_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
"""The efforts that gpt-oss was trained on, for those that clients may ask for."""


@dataclass(frozen=True, slots=True)
class ThinkMarks:
    """Texts before and after a thought; `noise` stands around the rest of the answer and is no part of it."""

    start: str
    end: str
    noise: tuple[str, ...] = ()


def think_marks(tokenizer: LoadedTokenizer) -> ThinkMarks | None:
    """The marks of a thinking model, None for any other."""
    token_id = tokenizer.backend.token_to_id
    for start, end in _MARKS:
        if token_id(start) is not None and token_id(end) is not None:
            return ThinkMarks(start, end)
    for tokens, start, end, noise in _COMPOSED_MARKS:
        if all(token_id(token) is not None for token in tokens):
            return ThinkMarks(start, end, noise)
    return None


def is_thinking_model(tokenizer: LoadedTokenizer) -> bool:
    """Whether thoughts are told apart from its answers."""
    return tokenizer.speaks_harmony() or think_marks(tokenizer) is not None


def is_thought_open(prompt: str, marks: ThinkMarks) -> bool:
    """Whether the rendered prompt ends within a thought, so that the answer begins with one."""
    return prompt.rstrip().endswith(marks.start)


def effort_kwargs(effort: str | None, tokenizer: LoadedTokenizer, *, param: str = "reasoning_effort") -> dict[str, Any]:
    """Template variables that ask for `effort`; "none" means not to think.

    Raises UnsupportedFieldError, naming `param`, if the model's template cannot be told.
    """
    if effort is None:
        return {}
    template = tokenizer.template_for(has_tools=True) or ""
    if tokenizer.speaks_harmony() and "reasoning_effort" in template:
        if effort not in _HARMONY_EFFORTS:
            message = f"The model thinks before every answer, so its effort cannot be {effort!r}; ask for low, medium or high."
            raise UnsupportedFieldError(message, param=param)
        return {"reasoning_effort": _HARMONY_EFFORTS[effort]}
    switches = {name: effort != "none" for name in _SWITCHES if re.search(rf"\b{name}\b", template)}
    if "reasoning_effort" in template:
        return {**switches, "reasoning_effort": effort}
    can_think = is_thinking_model(tokenizer)
    if not can_think and effort == "none":
        return {}
    if not can_think or not switches:
        message = "The model has no switch for thinking; leave it out."
        raise UnsupportedFieldError(message, param=param)
    return switches
