"""The parts of harmony that both processes know: control tokens, what a prompt has begun, and which tokens end an answer."""

import pytest
from fixtures.harmony import TEMPLATE, end_ids_of, harmony_tokenizer, marked
from hypothesis import given, settings
from hypothesis import strategies as st
from unified_mlx_app.harmony import TOKENS, MessageReader, end_token_ids, is_harmony_template, opened_by


@pytest.mark.parametrize(
    ("prompt", "opened"),
    [
        ("<|start|>user<|message|>Hi<|end|><|start|>assistant", ""),
        ("<|start|>assistant<|channel|>", "<|channel|>"),
        ("<|start|>assistant<|channel|>analysis<|message|>", "<|channel|>analysis<|message|>"),
        ("<|start|>assistant<|channel|>final<|message|>Hi<|end|>", ""),
        ("<|im_start|>assistant\n", ""),
        ("", ""),
    ],
)
def test_a_prompt_may_have_begun_the_first_message(prompt: str, opened: str) -> None:
    assert opened_by(prompt) == marked(opened)


def test_a_template_is_harmonys_by_the_tokens_it_writes() -> None:
    assert is_harmony_template(TEMPLATE)
    assert not is_harmony_template(TEMPLATE.replace("<|channel|>", "<|channel>"))
    assert not is_harmony_template("<|im_start|>{{ messages[0].content }}")


def test_a_call_ends_an_answer_and_a_message_does_not_whatever_the_files_say() -> None:
    tokenizer = harmony_tokenizer()
    wrong = [tokenizer.token_to_id("<|end|>"), tokenizer.token_to_id("<|endoftext|>")]

    assert end_token_ids(wrong, tokenizer.token_to_id) == frozenset(end_ids_of(tokenizer))
    assert end_token_ids(end_ids_of(tokenizer), tokenizer.token_to_id) == frozenset(end_ids_of(tokenizer))


def test_another_vocabulary_keeps_its_end_tokens() -> None:
    known = {token: number for number, token in enumerate(TOKENS) if token != "<|call|>"}

    assert end_token_ids([4, 9], known.get) == {4, 9}


_FRAGMENTS = st.sampled_from([*TOKENS.values(), "assistant", "final", " to=x", "to", "a", " "])


@given(fragments=st.lists(_FRAGMENTS, max_size=12), cuts=st.lists(st.integers(0, 60), max_size=6))
@settings(max_examples=300, deadline=None)
def test_the_runs_joined_are_the_text(fragments: list[str], cuts: list[int]) -> None:
    text = "".join(fragments)
    ends = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    reader = MessageReader()

    runs = [run for start, end in zip([0, *ends], ends, strict=False) for run in reader.push(text[start:end])]

    assert "".join(run.text for run in [*runs, *reader.finish()]) == text
