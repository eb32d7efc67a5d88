"""Where guesses come from: the text so far, a prediction, a smaller model."""

from collections.abc import Callable

import numpy as np
import pytest
from engine.conftest import prompt
from unified_mlx_app.engine.guessing import DraftModel, PromptLookup
from unified_mlx_app.engine.runner import Runner
from unified_mlx_app.models.loader import LoadedModel

Load = Callable[[str], LoadedModel]


def lookup(text: list[int], prediction: list[int] | None = None, *, answer: list[int] | None = None) -> PromptLookup:
    """One whose answer so far is `answer`."""
    guesser = PromptLookup(np.asarray(text, np.int32), prediction or [], 100)
    for token in answer or []:
        guesser.add([token])
    return guesser


def test_the_text_goes_on_as_it_did_before() -> None:
    assert lookup([1, 2, 3, 4, 5, 6, 1, 2]).guess(3) == [3, 4, 5]


def test_the_longest_match_wins_and_the_latest_of_equal_ones() -> None:
    assert lookup([9, 1, 2, 50, 8, 1, 2, 60, 7, 9, 1, 2]).guess(1) == [50]
    assert lookup([1, 2, 50, 1, 2, 60, 1, 2]).guess(1) == [60]


def test_one_token_alike_is_no_match() -> None:
    assert lookup([1, 2, 3, 9, 3]).guess(4) == []
    assert lookup([7]).guess(4) == []


def test_what_the_answer_said_itself_counts() -> None:
    assert lookup([90, 91], answer=[1, 2, 3, 1, 2]).guess(2) == [3, 1]


def test_a_guess_ends_where_the_text_does() -> None:
    assert lookup([1, 2, 3, 1, 2]).guess(9) == [3, 1, 2]


def test_a_prediction_is_followed_from_its_start_and_found_again_after_a_difference() -> None:
    prediction = [10, 11, 12, 13, 14, 15, 16]

    assert lookup([1, 2, 3], prediction).guess(2) == [10, 11]
    assert lookup([1, 2, 3], prediction, answer=[10, 11]).guess(3) == [12, 13, 14]
    assert lookup([1, 2, 3], prediction, answer=[10, 99]).guess(3) == []
    assert lookup([1, 2, 3], prediction, answer=[10, 99, 12, 13]).guess(2) == [14, 15]


def test_a_prediction_does_not_run_on_into_the_prompt() -> None:
    assert lookup([1, 2, 3], [10, 11, 12], answer=[5, 10, 11]).guess(9) == [12]
    assert lookup([1, 2, 3], [10, 11, 12], answer=[10, 11, 12]).guess(9) == []


@pytest.mark.parametrize("kind", ["qwen3", "llama", "qwen3-4bit"])
def test_a_draft_says_what_it_would_say_whatever_it_guessed_wrong_before(kind: str, loaded_model: Load) -> None:
    runner = Runner(loaded_model(kind), max_rows=1)
    text = prompt(1, 12)
    kept = draft(runner, text)
    for said in ([1500], kept.guess(4)[:2], [*kept.guess(3), 7], [1501, 1502, 1503]):
        kept.add(said)
        text = [*text, *said]

        assert kept.guess(5) == draft(runner, text).guess(5)


def draft(runner: Runner, text: list[int], *, vocab_size: int = 2048, chunk_tokens: int = 64) -> DraftModel:
    return DraftModel(runner, np.asarray(text, np.int32), max_tokens=100, vocab_size=vocab_size, chunk_tokens=chunk_tokens)


def test_a_draft_reads_a_chunk_at_a_time_and_guesses_when_it_has_read_all(loaded_model: Load) -> None:
    runner = Runner(loaded_model("qwen3"), max_rows=1)
    guesser = draft(runner, prompt(1, 70), chunk_tokens=32)

    assert [guesser.guess(3), guesser.guess(3)] == [[], []]
    assert guesser.guess(3) == draft(runner, prompt(1, 70), chunk_tokens=128).guess(3)


def test_a_token_that_the_draft_does_not_know_is_never_given_to_it(loaded_model: Load) -> None:
    runner = Runner(loaded_model("qwen3"), max_rows=1)
    guesser = draft(runner, [5, 6, 7], vocab_size=1000)
    assert len(guesser.guess(2)) == 2

    guesser.add([1000])

    assert guesser.guess(2) == []
