"""Guessing ahead changes no token: alone, beside others, with every way to end, and over the prompt cache."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from engine.conftest import prompt
from fixtures.adapters import write_adapter
from fixtures.answers import Answer, AnswerBook, command, spec_of
from fixtures.formats import checked
from fixtures.kv_models import KV_KINDS
from fixtures.local_engine import LocalEngine, local_engine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unified_mlx_app.engine.messages import Generate
from unified_mlx_app.errors import UnsupportedFieldError
from unified_mlx_app.types import ModelSpec, Speculation

Maker = Callable[[str], Path]

LOOKUP = Speculation(prompt_lookup=True)
PLAIN_KINDS = [kind for kind in KV_KINDS if kind not in {"gemma3_text", "mamba2", "qwen3_next"}]
NO_GUESSES = sorted(set(KV_KINDS) - set(PLAIN_KINDS))


def drafted_by(model: Path, num_draft_tokens: int = 4) -> Speculation:
    return Speculation(draft_name="draft", draft_path=str(model), num_draft_tokens=num_draft_tokens)


def plain(request: Generate) -> Generate:
    return msgspec.structs.replace(request, request_id=f"{request.request_id}-plain", speculation=None, prediction=[])


def outcome(answer: Answer) -> tuple[object, ...]:
    assert answer.error is None, answer.error
    return answer.choices, answer.texts, answer.reasons


@dataclass
class Pair:
    """An engine that guesses and one that does not, with models loaded once."""

    guessing: LocalEngine
    plain: LocalEngine
    drafts: dict[str, Path]
    folder: Maker

    def guess(self, request: Generate) -> Answer:
        draft = request.speculation.draft_path if request.speculation else None
        self.guessing.load(request.model)
        if draft is not None:
            self.guessing.load(ModelSpec(name="draft", path=draft))
        return self.guessing.generate(request)[0]

    def answers(self, request: Generate) -> tuple[Answer, Answer]:
        return self.guess(request), self.plain.generate(plain(request))[0]


@pytest.fixture(scope="module")
def pair(kv_model: Maker, tiny_models: Callable[..., Path]) -> Iterator[Pair]:
    drafts = {"weak": tiny_models(seed=1), "other": tiny_models("llama")}
    with local_engine(enabled=False) as guessing, local_engine(enabled=False) as alone:
        yield Pair(guessing, alone, drafts, kv_model)


@pytest.fixture
def drafting(tiny: Path) -> Iterator[LocalEngine]:
    """An engine with a cache whose model is its own draft, both in memory."""
    with local_engine() as engine:
        engine.load(spec_of(tiny))
        yield engine


def predictions(answer: list[int], wrong: list[int]) -> list[int]:
    """The answer with other tokens at some places."""
    return [token + 1 if index in wrong else token for index, token in enumerate(answer)]


# ------------------------------------------------------------------ equality


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
@pytest.mark.parametrize("kind", PLAIN_KINDS)
def test_whatever_guesses_the_answer_is_the_plain_one(kind: str, pair: Pair, data: st.DataObject) -> None:
    model = pair.folder(kind)
    loop = data.draw(st.lists(st.integers(5, 1900), min_size=1, max_size=4), label="loop")
    tokens = data.draw(st.lists(st.integers(5, 1900), min_size=1, max_size=70), label="start") + loop * 3
    options: dict[str, Any] = {"max_tokens": data.draw(st.integers(1, 24)), "ignore_eos": data.draw(st.booleans())}
    (expected,) = pair.plain.generate(command(model, tokens, **options))
    guesser = data.draw(st.sampled_from(["itself", "weak", "other", "lookup", "prediction"]))
    wrong = data.draw(st.lists(st.integers(0, 24), max_size=4))
    number = data.draw(st.integers(1, 8))
    draft = {"itself": model, **pair.drafts}.get(guesser)

    answer = pair.guess(
        command(
            model,
            tokens,
            **options,
            speculation=drafted_by(draft, number) if draft else LOOKUP,
            prediction=predictions(expected.tokens, wrong) if guesser == "prediction" else (),
        )
    )

    assert outcome(answer) == outcome(expected)
    assert answer.num_guessed_right <= min(answer.num_guessed, len(answer.tokens))


@pytest.mark.parametrize("kind", PLAIN_KINDS)
def test_a_model_that_drafts_for_itself_saves_most_passes(kind: str, pair: Pair) -> None:
    model = pair.folder(kind)
    request = command(model, prompt(1, 20), max_tokens=40, speculation=drafted_by(model), top_logprobs=3)

    answer, expected = pair.answers(request)

    assert (outcome(answer), answer.logprobs) == (outcome(expected), expected.logprobs)
    assert answer.num_guessed_right >= 20
    assert len(answer.logprobs[0]) == 40


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.0, "seed": 3},
        {"temperature": 0.8, "seed": 4, "top_p": 0.9, "top_k": 40, "min_p": 0.01, "top_logprobs": 2},
        {"repetition_penalty": 1.2},
        {"temperature": 1.0, "seed": 5, "presence_penalty": 0.5, "frequency_penalty": 0.3},
        {"logit_bias": {17: 5.0, 90: -100.0}, "top_logprobs": 0},
    ],
)
def test_draws_and_penalties_see_each_token_once(options: dict[str, Any], tiny: Path, pair: Pair) -> None:
    (expected,) = pair.plain.generate(command(tiny, prompt(2, 30), max_tokens=30, **options))

    answer = pair.guess(
        command(
            tiny,
            prompt(2, 30),
            max_tokens=30,
            speculation=Speculation(),
            prediction=predictions(expected.tokens, [4, 11]),
            **options,
        )
    )

    assert (outcome(answer), answer.logprobs) == (outcome(expected), expected.logprobs)
    assert answer.num_guessed_right >= 10
    assert answer.num_guessed > answer.num_guessed_right


def test_an_answer_keeps_to_its_grammar_and_guesses_save_passes(tiny: Path, pair: Pair) -> None:
    constraint = checked("regex", "[0-9]{12}-[a-f]{30}").constraint
    request = command(tiny, prompt(4, 20), max_tokens=60, ignore_eos=False)
    (expected,) = pair.plain.generate(msgspec.structs.replace(request, constraint=constraint))
    guessed = command(
        tiny, prompt(4, 20), max_tokens=60, ignore_eos=False, speculation=LOOKUP, prediction=predictions(expected.tokens, [3])
    )

    answer = pair.guess(msgspec.structs.replace(guessed, constraint=constraint))

    assert outcome(answer) == outcome(expected)
    assert answer.reasons == ["stop"]
    assert answer.num_guessed_right >= 5


def test_an_adapters_answers_are_guessed_by_the_base_it_lies_on(tiny: Path, pair: Pair, tmp_path: Path) -> None:
    path = write_adapter(tiny, tmp_path / "adapter", seed=1, rank=4)
    from_base = spec_of(tiny, name="adapter", adapter_path=str(path), base_model=tiny.name)

    answer, expected = pair.answers(command(from_base, prompt(5, 30), max_tokens=30, speculation=drafted_by(tiny)))
    (base,) = pair.plain.generate(command(tiny, prompt(5, 30), max_tokens=30))

    assert outcome(answer) == outcome(expected)
    assert answer.tokens != base.tokens
    assert answer.num_guessed > 0


# ------------------------------------------------------------------ ends


@pytest.mark.parametrize("max_tokens", range(1, 9))
def test_a_limit_ends_the_answer_inside_of_right_guesses(max_tokens: int, tiny: Path, pair: Pair) -> None:
    answer, expected = pair.answers(command(tiny, prompt(1, 20), max_tokens=max_tokens, speculation=drafted_by(tiny, 8)))

    assert outcome(answer) == outcome(expected)
    assert (len(answer.tokens), answer.reasons) == (max_tokens, ["length"])


@pytest.mark.parametrize("position", [1, 3, 6, 10])
def test_a_stop_string_ends_the_answer_inside_of_right_guesses(position: int, tiny: Path, pair: Pair) -> None:
    (free,) = pair.plain.generate(command(tiny, prompt(2, 30), max_tokens=20))
    stop = free.texts[0][position * 3 : position * 3 + 4]

    answer, expected = pair.answers(
        command(tiny, prompt(2, 30), max_tokens=20, stop=(stop,), speculation=LOOKUP, prediction=free.tokens)
    )

    assert outcome(answer) == outcome(expected)
    assert answer.reasons == ["stop"]
    assert answer.texts[0] == free.texts[0][: free.texts[0].index(stop)]


def test_an_end_token_ends_the_answer_though_the_prediction_goes_on(tiny: Path, pair: Pair) -> None:
    end = pair.plain.load(spec_of(tiny)).eos_token_ids[0]
    options: dict[str, Any] = {"max_tokens": 12, "ignore_eos": False, "temperature": 1.0, "logit_bias": {end: 5.5}}
    requests = [command(tiny, prompt(1, 30), seed=seed, **options) for seed in range(30)]
    ended = [answer for answer in pair.plain.generate(*requests) if 4 <= len(answer.tokens) < 12]
    assert ended

    for request, expected in zip(requests, pair.plain.generate(*map(plain, requests)), strict=True):
        going_on = [*expected.tokens, 7, 8, 9]
        (answer,) = pair.guessing.generate(
            msgspec.structs.replace(request, request_id=f"{request.request_id}-g", speculation=LOOKUP, prediction=going_on)
        )
        assert outcome(answer) == outcome(expected)


def test_a_cancelled_answer_leaves_nothing_in_use(tiny: Path, drafting: LocalEngine) -> None:
    request = command(tiny, prompt(1, 30), max_tokens=400, speculation=drafted_by(tiny))
    book = drafting.begin(request)
    drafting.turn_until(lambda: len(book.chunks) > 10)

    drafting.cancel(request)

    assert (drafting.scheduler.num_running, drafting.scheduler.kv_bytes) == (0, 0)
    assert [model.num_active for model in drafting.manager.residents()] == [0]
    given_tokens = [token for chunk in book.chunks for token in chunk.token_ids]
    (answer,) = drafting.generate(command(tiny, prompt(1, 30), max_tokens=len(given_tokens), speculation=drafted_by(tiny)))
    assert answer.tokens == given_tokens


def test_a_deadline_ends_an_answer_that_is_alone(tiny: Path, drafting: LocalEngine) -> None:
    request = command(tiny, prompt(1, 30), max_tokens=20_000, deadline_seconds=0.5, speculation=drafted_by(tiny))

    (answer,) = drafting.generate(request)

    assert answer.error is not None
    assert answer.error.code == "deadline_exceeded"
    assert [model.num_active for model in drafting.manager.residents()] == [0]


# ------------------------------------------------------------------ company


@pytest.mark.parametrize("stagger", [0, 1, 4, 9])
def test_two_that_run_at_once_each_get_their_lone_tokens(stagger: int, tiny: Path, pair: Pair) -> None:
    pair.guessing.load(spec_of(tiny))
    requests = [
        command(tiny, prompt(6, 30), max_tokens=50, speculation=drafted_by(tiny)),
        command(tiny, prompt(7, 45), max_tokens=50, speculation=LOOKUP, temperature=1.0, seed=1, presence_penalty=0.5),
    ]
    books = [pair.guessing.begin(requests[0])]
    for _ in range(stagger):
        pair.guessing.turn()
    books.append(pair.guessing.begin(requests[1]))
    pair.guessing.turn_until(lambda: all(book.is_done for book in books))

    for request, book in zip(requests, books, strict=True):
        assert outcome(book.answer()) == outcome(pair.plain.generate(plain(request))[0])


def test_an_answer_guesses_again_when_its_company_has_left(tiny: Path, drafting: LocalEngine, serial: LocalEngine) -> None:
    long = command(tiny, prompt(8, 20), max_tokens=120, speculation=drafted_by(tiny, 1))
    book = drafting.begin(long)
    guest = drafting.begin(command(tiny, prompt(9, 20), max_tokens=10))
    drafting.turn_until(lambda: guest.is_done)
    num_chunks = len(book.chunks)
    drafting.turn_until(lambda: book.is_done)

    answer = book.answer()

    assert outcome(answer) == outcome(serial.generate(plain(long))[0])
    assert answer.num_guessed_right > (120 - num_chunks) // 2
    assert outcome(guest.answer()) == outcome(serial.generate(plain(guest.command))[0])


def test_answers_that_come_and_go_at_any_time_get_their_lone_tokens(
    tiny: Path, drafting: LocalEngine, serial: LocalEngine
) -> None:
    guessers = itertools.cycle([LOOKUP, drafted_by(tiny, 2), None])
    requests = [
        command(tiny, [*prompt(0, 40), *prompt(number, 5 + 9 * (number % 4))], max_tokens=6 + 11 * (number % 3), speculation=one)
        for number, one in zip(range(12), guessers, strict=False)
    ]
    books: list[AnswerBook] = []
    for number, request in enumerate(requests):
        books.append(drafting.begin(request))
        for _ in range(number * 5 % 17):
            drafting.turn()
    drafting.turn_until(lambda: all(book.is_done for book in books))

    assert drafting.scheduler.num_running == drafting.scheduler.kv_bytes == 0
    for request, book in zip(requests, books, strict=True):
        assert outcome(book.answer()) == outcome(serial.generate(plain(request))[0])


# ------------------------------------------------------------------ prompt cache


def test_a_next_turn_on_what_was_kept_equals_a_cold_run(tiny: Path, drafting: LocalEngine, serial: LocalEngine) -> None:
    first = command(tiny, prompt(1, 70), system=40, max_tokens=21, speculation=drafted_by(tiny, 8))
    (answer,) = drafting.generate(first)
    follow_up = [*first.prompt, *answer.tokens, *prompt(3, 12)]

    (warm,) = drafting.generate(command(tiny, follow_up, system=40, max_tokens=20, speculation=drafted_by(tiny)))

    assert warm.report.outcome == "hit"
    assert warm.report.cached_tokens >= 70 + 20
    assert warm.num_guessed_right > 5
    assert warm.tokens == serial.generate(command(tiny, follow_up, system=40, max_tokens=20))[0].tokens


@pytest.mark.parametrize("stop_at", [5, 9, 14])
def test_what_is_kept_of_a_stopped_answer_has_no_token_that_was_not_given(
    stop_at: int, tiny: Path, drafting: LocalEngine, serial: LocalEngine
) -> None:
    (free,) = serial.generate(command(tiny, prompt(2, 60), max_tokens=30))
    stop = free.texts[0][stop_at * 3 : stop_at * 3 + 4]
    request = command(tiny, prompt(2, 60), max_tokens=30, stop=(stop,), speculation=LOOKUP, prediction=free.tokens)
    (answer,) = drafting.generate(request)

    kept = max(drafting.cache.entries(), key=lambda entry: entry.token_count)
    assert 60 <= kept.token_count <= 60 + len(answer.tokens)

    follow_up = [*request.prompt, *answer.tokens, *prompt(4, 9)]
    (warm,) = drafting.generate(command(tiny, follow_up, max_tokens=20))
    assert warm.report.cached_tokens == kept.token_count
    assert warm.tokens == serial.generate(command(tiny, follow_up, max_tokens=20))[0].tokens


def test_a_restart_finds_what_a_guessed_answer_has_kept(tiny: Path, tmp_path: Path, serial: LocalEngine) -> None:
    with local_engine(tmp_path) as engine:
        engine.load(spec_of(tiny))
        first = command(tiny, prompt(1, 70), system=40, max_tokens=21, speculation=drafted_by(tiny, 8))
        (answer,) = engine.generate(first)
        engine.land_writes()
        engine.restart()
        follow_up = [*first.prompt, *answer.tokens, *prompt(3, 12)]

        (warm,) = engine.generate(command(tiny, follow_up, system=40, max_tokens=20, speculation=LOOKUP))

    assert (warm.report.outcome, warm.report.tier) == ("hit", "disk")
    assert warm.tokens == serial.generate(command(tiny, follow_up, system=40, max_tokens=20))[0].tokens


def test_a_long_prompt_is_read_by_the_draft_a_chunk_a_turn(tiny: Path, drafting: LocalEngine, serial: LocalEngine) -> None:
    request = command(tiny, prompt(1, 300), max_tokens=40, speculation=drafted_by(tiny))
    book = drafting.begin(request)
    drafting.turn_until(lambda: book.chunks)
    drafting.turn()
    drafting.turn()

    assert len(book.chunks) <= 4  # Ten chunks of 32 tokens are to be read before the first guess.
    drafting.turn_until(lambda: book.is_done)
    assert book.answer().num_guessed_right > 10
    assert outcome(book.answer()) == outcome(serial.generate(plain(request))[0])


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize("kind", NO_GUESSES)
def test_state_that_cannot_be_taken_back_is_refused_to_who_asks(kind: str, kv_model: Maker, serial: LocalEngine) -> None:
    asked = msgspec.structs.replace(LOOKUP, is_asked=True)

    (answer,) = serial.generate(command(kv_model(kind), prompt(1, 20), speculation=asked))

    assert isinstance(answer.error, UnsupportedFieldError)
    assert "from which no token can be taken back" in answer.error.message
    assert "Cache" in answer.error.message


@pytest.mark.parametrize("kind", NO_GUESSES)
def test_state_that_cannot_be_taken_back_is_decoded_plainly_where_it_is_registered(
    kind: str, tiny: Path, kv_model: Maker, serial: LocalEngine
) -> None:
    model, speculation = kv_model(kind), msgspec.structs.replace(drafted_by(tiny), prompt_lookup=True)

    (answer,) = serial.generate(command(model, prompt(1, 100), max_tokens=20, speculation=speculation))

    assert answer.num_guessed == 0
    assert outcome(answer) == outcome(serial.generate(command(model, prompt(1, 100), max_tokens=20))[0])


@pytest.mark.parametrize("num_choices", [2, 4])
def test_several_choices_are_decoded_in_the_batch(num_choices: int, tiny: Path, pair: Pair) -> None:
    request = command(
        tiny, prompt(3, 30), max_tokens=12, num_choices=num_choices, temperature=1.0, seed=1, speculation=drafted_by(tiny)
    )

    answer, expected = pair.answers(request)

    assert outcome(answer) == outcome(expected)
    assert answer.num_guessed == 0
