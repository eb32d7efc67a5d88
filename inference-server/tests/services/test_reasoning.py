"""Which models think, whether a prompt opened a thought, and how their templates are told to think or not."""

from typing import Any

import pytest
from fixtures.harmony import TEMPLATE, loaded_harmony_tokenizer
from tokenizers import AddedToken, Tokenizer
from unified_mlx_app.errors import UnsupportedFieldError
from unified_mlx_app.services.reasoning import ThinkMarks, effort_kwargs, is_thinking_model, is_thought_open, think_marks
from unified_mlx_app.services.tokenizers import LoadedTokenizer

THINK = ("<think>", "</think>")


def tokenizer(*tokens: str, template: str = "") -> LoadedTokenizer:
    backend = Tokenizer.from_str('{"version":"1.0","added_tokens":[],"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}')
    backend.add_tokens([AddedToken(token) for token in tokens])
    known: dict[str, Any] = {"vocab_size": 9, "eos_token_ids": frozenset(), "max_context_tokens": None, "special_tokens": {}}
    return LoadedTokenizer(backend=backend, chat_template=template, is_byte_level=True, **known)


@pytest.mark.parametrize(
    ("tokens", "start", "end"),
    [
        (THINK, "<think>", "</think>"),
        (("<longcat_think>", "</longcat_think>"), "<longcat_think>", "</longcat_think>"),
        (("<|think:start|>", "<|think:end|>"), "<|think:start|>", "<|think:end|>"),
        (("[THINK]", "[/THINK]"), "[THINK]", "[/THINK]"),
        (("<|channel>", "<channel|>"), "<|channel>thought", "<channel|>"),
        (("<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>"), "<|open|>think<|sep|>", "<|close|>think<|sep|>"),
    ],
)
def test_the_vocabulary_tells_the_marks_of_thoughts(tokens: tuple[str, ...], start: str, end: str) -> None:
    marks = think_marks(tokenizer(*tokens))

    assert marks is not None
    assert (marks.start, marks.end) == (start, end)
    assert think_marks(tokenizer(*tokens[1:])) is None


@pytest.mark.parametrize(
    ("prompt", "is_open"),
    [
        ("<|im_start|>assistant\n<think>\n", True),
        ("<|im_start|>assistant\n<think>", True),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        ("What does <think> mean?<|im_end|>\n<|im_start|>assistant\n", False),
        ("", False),
    ],
)
def test_a_prompt_opens_a_thought_with_its_last_mark(prompt: str, is_open: bool) -> None:
    assert is_thought_open(prompt, ThinkMarks(*THINK)) is is_open


@pytest.mark.parametrize(
    ("template", "effort", "kwargs"),
    [
        ("{% if enable_thinking %}", None, {}),
        ("{% if enable_thinking %}", "none", {"enable_thinking": False}),
        ("{% if enable_thinking %}", "high", {"enable_thinking": True}),
        ("{% if thinking %}", "none", {"thinking": False}),
        ("Reasoning: {{ reasoning_effort }}", "low", {"reasoning_effort": "low"}),
        ("{{ reasoning_effort }} {% if enable_thinking %}", "none", {"reasoning_effort": "none", "enable_thinking": False}),
    ],
)
def test_an_effort_becomes_what_the_template_knows(template: str, effort: str | None, kwargs: dict[str, Any]) -> None:
    assert effort_kwargs(effort, tokenizer(*THINK, template=template)) == kwargs


@pytest.mark.parametrize(
    ("tokens", "template", "effort"),
    [(THINK, "always thinks", "none"), (THINK, "", "low"), ((), "{% if enable_thinking %}", "low")],
)
def test_an_effort_that_the_model_cannot_make_is_refused(tokens: tuple[str, ...], template: str, effort: str) -> None:
    with pytest.raises(UnsupportedFieldError) as refusal:
        effort_kwargs(effort, tokenizer(*tokens, template=template))

    assert refusal.value.param == "reasoning_effort"


def test_a_model_that_never_thinks_need_not_be_told_so() -> None:
    assert effort_kwargs("none", tokenizer()) == {}


@pytest.mark.parametrize(
    ("effort", "told"), [("minimal", "low"), ("low", "low"), ("medium", "medium"), ("high", "high"), ("max", "high")]
)
def test_gpt_oss_gets_an_effort_that_it_knows(effort: str, told: str) -> None:
    assert effort_kwargs(effort, loaded_harmony_tokenizer()) == {"reasoning_effort": told}


def test_gpt_oss_cannot_be_told_not_to_think() -> None:
    with pytest.raises(UnsupportedFieldError, match="low, medium or high") as refusal:
        effort_kwargs("none", loaded_harmony_tokenizer(), param="reasoning.effort")

    assert refusal.value.param == "reasoning.effort"


def test_harmony_is_known_by_its_tokens_and_its_template() -> None:
    assert is_thinking_model(loaded_harmony_tokenizer())
    assert think_marks(loaded_harmony_tokenizer()) is None
    assert not is_thinking_model(loaded_harmony_tokenizer("<|im_start|>"))
    assert not is_thinking_model(tokenizer("<|channel|>", "<|message|>", "<|start|>", template=TEMPLATE))
    assert not tokenizer("<|channel>", "<channel|>", template="<|channel>thought").speaks_harmony()
