"""Joining, leaving and ending of requests, turn by turn, on a real tiny model."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from engine.conftest import prompt
from fixtures.answers import AnswerBook, command, spec_of
from fixtures.engine import poll
from fixtures.local_engine import LocalEngine, local_engine
from unified_mlx_app.engine.messages import Generate
from unified_mlx_app.errors import (
    DeadlineError,
    GenerationError,
    InvalidRequestError,
    MemoryBudgetError,
    ModelLoadError,
    ShuttingDownError,
)


def is_idle(engine: LocalEngine) -> bool:
    return engine.scheduler.num_running == engine.scheduler.num_waiting == engine.scheduler.kv_bytes == 0


# ------------------------------------------------------------------ batching


@pytest.mark.parametrize("num_requests", [8, 16, 40])
def test_requests_that_join_and_leave_at_any_step_get_their_serial_tokens(
    num_requests: int, tiny: Path, serial: LocalEngine
) -> None:
    chance = random.Random(num_requests)
    commands = [
        command(tiny, prompt(number, chance.choice([1, 3, 20, 33, 90])), max_tokens=chance.choice([1, 2, 7, 25]))
        for number in range(num_requests)
    ]
    with local_engine(enabled=False, max_rows=16) as engine:
        books: list[AnswerBook] = []
        for each in commands:
            books.append(engine.begin(each))
            for _ in range(chance.randrange(4)):
                engine.turn()
        engine.turn_until(lambda: all(book.is_done for book in books))

        assert is_idle(engine)

    for each, book in zip(commands, books, strict=True):
        (expected,) = serial.generate(each)
        answer = book.answer()
        assert (answer.tokens, answer.texts, answer.reasons) == (expected.tokens, expected.texts, expected.reasons)


def test_the_cache_changes_no_token_of_a_batch(tiny: Path, serial: LocalEngine) -> None:
    system = prompt(0, 70)
    commands = [command(tiny, [*system, *prompt(number % 6, 30)], system=70, max_tokens=10) for number in range(16)]
    with local_engine() as engine:
        answers = engine.generate(*commands)
        assert engine.cache.stats().total_hits >= 14

    for each, answer in zip(commands, answers, strict=True):
        assert answer.tokens == serial.generate(each)[0].tokens


def test_a_seeded_row_draws_the_same_alone_and_among_others(tiny: Path, serial: LocalEngine) -> None:
    seeded = [
        command(tiny, prompt(number, 20), max_tokens=20, temperature=1.0, seed=number, top_p=0.9, presence_penalty=0.4)
        for number in range(3)
    ]
    others = [command(tiny, prompt(9 + number, 25), max_tokens=30, temperature=1.2) for number in range(4)]
    with local_engine(enabled=False) as engine:
        together = engine.generate(*others, *seeded)[4:]

    for each, answer in zip(seeded, together, strict=True):
        assert answer.tokens == serial.generate(each)[0].tokens


def test_an_end_token_ends_a_row_and_its_text_is_not_shown(tiny: Path, serial: LocalEngine) -> None:
    (free,) = serial.generate(command(tiny, prompt(1, 30), max_tokens=6))
    end_token = serial.load(spec_of(tiny)).eos_token_ids[0]
    forced = {"logit_bias": {end_token: 100.0}, "max_tokens": 6}

    ended, went_on = serial.generate(
        command(tiny, prompt(1, 30), ignore_eos=False, **forced), command(tiny, prompt(1, 30), ignore_eos=True, **forced)
    )

    assert (ended.tokens, ended.texts, ended.reasons) == ([end_token], [""], ["stop"])
    assert (len(went_on.tokens), went_on.reasons) == (6, ["length"])
    assert free.texts[0] != ""


def test_a_stop_string_ends_the_row_before_its_text(tiny: Path, serial: LocalEngine) -> None:
    (free,) = serial.generate(command(tiny, prompt(2, 30), max_tokens=20))
    stop = free.texts[0][8:12]

    (stopped,) = serial.generate(command(tiny, prompt(2, 30), max_tokens=20, stop=(stop,)))

    assert stopped.texts[0] == free.texts[0][: free.texts[0].index(stop)]
    assert stopped.reasons == ["stop"]
    assert len(stopped.tokens) < 20
    assert is_idle(serial)


# -------------------------------------------------------------------- choices


def test_choices_share_one_prefill_and_the_first_equals_a_single_one(tiny: Path, serial: LocalEngine) -> None:
    drawn = {"temperature": 1.0, "seed": 5, "max_tokens": 12}
    with local_engine() as engine:
        (answer,) = engine.generate(command(tiny, prompt(3, 100), num_choices=4, **drawn))

        assert answer.progress == [32, 64, 96]
        assert engine.scheduler.totals.prompt_tokens == 100
        assert is_idle(engine)

    assert len({tuple(tokens) for tokens in answer.choices}) == 4
    (single,) = serial.generate(command(tiny, prompt(3, 100), **drawn))
    assert answer.tokens == single.tokens


def test_choices_do_not_change_the_state_they_share(tiny: Path) -> None:
    drawn = {"temperature": 1.5, "seed": 1, "max_tokens": 10}
    with local_engine() as engine:
        first, second = (engine.generate(command(tiny, prompt(3, 100), num_choices=3, **drawn))[0] for _ in range(2))

        assert second.report.cached_tokens == 96
        assert second.choices == first.choices


# ----------------------------------------------------------------- long prompts


def test_a_running_stream_gets_a_token_between_any_two_chunks_of_a_long_prompt(tiny: Path) -> None:
    with local_engine(chunk_tokens=32) as engine:
        stream = engine.begin(command(tiny, prompt(1, 10), max_tokens=100))
        engine.turn_until(lambda: stream.chunks)
        long_prompt = engine.begin(command(tiny, prompt(2, 1000)))
        tokens_at_chunk: list[int] = []
        while not long_prompt.chunks:
            before = len(long_prompt.progress)
            engine.turn()
            tokens_at_chunk += [len(stream.chunks)] * (len(long_prompt.progress) - before)

    # The last 8 tokens run in the pass that gives the answer's first token.
    assert len(tokens_at_chunk) == 31
    assert tokens_at_chunk == list(range(tokens_at_chunk[0], tokens_at_chunk[0] + 31))


def test_a_short_prompt_overtakes_a_long_one(tiny: Path) -> None:
    with local_engine(chunk_tokens=32) as engine:
        long_prompt = engine.begin(command(tiny, prompt(1, 2000), max_tokens=1))
        engine.turn_until(lambda: long_prompt.progress)
        short_prompt = engine.begin(command(tiny, prompt(2, 20), max_tokens=1))
        engine.turn_until(lambda: short_prompt.is_done)

        assert len(long_prompt.progress) < 10
        engine.turn_until(lambda: long_prompt.is_done)


def test_equal_prompts_that_arrive_together_are_computed_once(tiny: Path) -> None:
    with local_engine(chunk_tokens=32) as engine:
        first, *others = engine.generate(*(command(tiny, prompt(1, 300), max_tokens=5) for _ in range(6)))

        assert first.report.cached_tokens == 0
        assert [answer.report.cached_tokens for answer in others] == [288] * 5  # The rest runs with each one's last token.
        assert all(answer.tokens == first.tokens for answer in others)


def test_requests_beyond_the_rows_begin_when_a_row_is_free(tiny: Path) -> None:
    with local_engine(enabled=False, max_rows=2) as engine:
        engine.load(spec_of(tiny))
        books = [engine.begin(command(tiny, prompt(number, 10), max_tokens=4)) for number in range(5)]
        while not all(book.is_done for book in books):
            assert engine.scheduler.is_busy or engine.scheduler.num_running == 0
            engine.turn()
            assert engine.scheduler.num_running <= 2


def test_there_is_work_as_long_as_a_waiting_request_could_start(tiny: Path) -> None:
    with local_engine(enabled=False, max_rows=1) as engine:
        engine.generate(command(tiny, prompt(0, 10), max_tokens=1))
        first, second = (engine.begin(command(tiny, prompt(number, 10), max_tokens=2)) for number in (1, 2))
        while not first.is_done:
            engine.turn()

        # A loop that goes to sleep here wakes up at its next poll only.
        assert not second.is_done
        assert engine.scheduler.is_busy


# ---------------------------------------------------------------------- ends


def until_waiting(engine: LocalEngine, victim: Generate) -> AnswerBook:
    blocker = engine.begin(command(victim.model, prompt(8, 10), max_tokens=200))
    engine.turn_until(lambda: blocker.chunks)
    return engine.begin(victim)


def until_prefilling(engine: LocalEngine, victim: Generate) -> AnswerBook:
    book = engine.begin(victim)
    engine.turn_until(lambda: book.progress)
    return book


def until_decoding(engine: LocalEngine, victim: Generate) -> AnswerBook:
    book = engine.begin(victim)
    engine.turn_until(lambda: len(book.chunks) > 3)
    return book


def until_restoring(engine: LocalEngine, victim: Generate) -> AnswerBook:
    engine.generate(command(victim.model, victim.prompt, max_tokens=1, system=150))
    engine.restart()
    book = engine.begin(victim)
    poll(lambda: engine.scheduler.num_running, turn=engine.scheduler.turn)
    assert book.cache is None
    return book


@pytest.mark.parametrize("reach", [until_waiting, until_restoring, until_prefilling, until_decoding])
def test_a_cancelled_request_is_gone_at_once_and_leaves_nothing(
    reach: Callable[[LocalEngine, Generate], AnswerBook], tiny: Path, tmp_path: Path, serial: LocalEngine
) -> None:
    with local_engine(tmp_path / "cache", max_rows=1) as engine:
        victim = command(tiny, prompt(1, 200), max_tokens=100, system=150)
        book = reach(engine, victim)
        chunks, progress = len(book.chunks), len(book.progress)

        engine.cancel(victim)
        engine.turn_until(lambda: is_idle(engine))
        engine.turn()

        assert (len(book.chunks), len(book.progress), book.is_done) == (chunks, progress, False)
        assert all(resident.num_active == 0 for resident in engine.manager.residents())
        (again,) = engine.generate(command(tiny, victim.prompt, max_tokens=5, system=150))
        assert again.tokens == serial.generate(command(tiny, victim.prompt, max_tokens=5, system=150))[0].tokens


def test_cancelling_one_row_leaves_its_neighbours_alone(tiny: Path, serial: LocalEngine) -> None:
    commands = [command(tiny, prompt(number, 20), max_tokens=30) for number in range(4)]
    with local_engine(enabled=False) as engine:
        books = [engine.begin(each) for each in commands]
        engine.turn_until(lambda: all(len(book.chunks) > 4 for book in books))
        engine.cancel(commands[1])
        engine.turn_until(lambda: all(book.is_done for book in books if book is not books[1]))

    for index in (0, 2, 3):
        assert books[index].answer().tokens == serial.generate(commands[index])[0].tokens


@pytest.mark.parametrize("phase", ["waiting", "decoding"])
def test_a_deadline_ends_a_request_in_any_phase(phase: str, tiny: Path) -> None:
    with local_engine(max_rows=1) as engine:
        engine.load(spec_of(tiny))
        if phase == "waiting":
            blocker = engine.begin(command(tiny, prompt(8, 10), max_tokens=20_000))
            engine.turn_until(lambda: blocker.chunks)
        book = engine.begin(command(tiny, prompt(1, 20), max_tokens=20_000, deadline_seconds=0.2))
        engine.turn_until(lambda: book.is_done)

        assert isinstance(book.error, DeadlineError)
        assert bool(book.chunks) == (phase == "decoding")
        assert engine.scheduler.num_running == (phase == "waiting")


def test_draining_refuses_what_waits_and_finishes_what_runs(tiny: Path) -> None:
    with local_engine(max_rows=1) as engine:
        running = engine.begin(command(tiny, prompt(1, 10), max_tokens=10))
        engine.turn_until(lambda: running.chunks)
        waiting = engine.begin(command(tiny, prompt(2, 10)))
        engine.scheduler.drain()
        late = engine.begin(command(tiny, prompt(3, 10)))
        engine.turn_until(lambda: is_idle(engine))

        assert isinstance(waiting.error, ShuttingDownError)
        assert isinstance(late.error, ShuttingDownError)
        assert len(running.answer().tokens) == 10


# ------------------------------------------------------------------- refusals


@pytest.mark.parametrize("token_id", [2048 * 8, 2**31 - 1, 2**31, 2**63, -1])
def test_unknown_token_ids_are_refused_before_the_model_sees_them(token_id: int, tiny: Path, serial: LocalEngine) -> None:
    (answer,) = serial.generate(command(tiny, [5, 6, token_id, 7]))

    assert isinstance(answer.error, InvalidRequestError)
    assert answer.error.status == 400
    assert is_idle(serial)


def test_a_bias_on_an_unknown_token_id_is_refused(tiny: Path, serial: LocalEngine) -> None:
    (answer,) = serial.generate(command(tiny, [5, 6, 7], logit_bias={10**6: 1.0}))

    assert isinstance(answer.error, InvalidRequestError)


def test_an_empty_prompt_is_refused(tiny: Path, serial: LocalEngine) -> None:
    (answer,) = serial.generate(command(tiny, []))

    assert isinstance(answer.error, InvalidRequestError)


def test_a_request_that_can_never_fit_is_refused_and_others_go_on(tiny: Path) -> None:
    with local_engine(memory_limit_bytes=4 * 2**20) as engine:
        too_large, fitting = engine.generate(
            command(tiny, prompt(1, 100), max_tokens=100_000), command(tiny, prompt(2, 100), max_tokens=100)
        )

        assert isinstance(too_large.error, MemoryBudgetError)
        assert too_large.error.status == 413
        assert len(fitting.tokens) == 100


def test_a_refused_request_does_not_delay_the_next(tiny: Path) -> None:
    with local_engine(memory_limit_bytes=4 * 2**20) as engine:
        engine.load(spec_of(tiny))
        engine.begin(command(tiny, prompt(1, 100), max_tokens=100_000))
        engine.begin(command(tiny, prompt(2, 100)))
        engine.scheduler.turn()

        assert engine.scheduler.num_running == 1


def test_requests_that_fit_one_after_the_other_wait_for_each_other(tiny: Path) -> None:
    with local_engine() as engine:
        loaded = engine.load(spec_of(tiny))
        room = loaded.weight_bytes + int(loaded.kv_bytes(220) * 1.5)
    with local_engine(memory_limit_bytes=room) as engine:
        books = [engine.begin(command(tiny, prompt(number, 200), max_tokens=20)) for number in range(4)]
        most = 0
        while not all(book.is_done for book in books):
            engine.turn()
            most = max(most, engine.scheduler.num_running)
            assert engine.scheduler.kv_bytes + engine.cache.memory_bytes + engine.manager.weight_bytes <= room

        assert most == 1
        assert all(len(book.answer().tokens) == 20 for book in books)


def test_a_model_that_is_not_there_fails_its_requests_only(tiny: Path, tmp_path: Path, serial: LocalEngine) -> None:
    lost, fine = serial.generate(command(spec_of(tmp_path / "nothing"), [5, 6]), command(tiny, prompt(1, 10)))

    assert isinstance(lost.error, ModelLoadError)
    assert len(fine.tokens) == 8


# ------------------------------------------------------------- rows that fail


@pytest.mark.parametrize("num_choices", [1, 2])
@pytest.mark.parametrize("max_tokens", [1, 5])
def test_a_row_that_fails_fails_alone(num_choices: int, max_tokens: int, tiny: Path, serial: LocalEngine) -> None:
    # No API lets this value through: the sampler raises on it at every step.
    broken = command(tiny, prompt(9, 20), temperature=1.0, min_p=1.5, num_choices=num_choices, max_tokens=max_tokens)
    neighbours = [command(tiny, prompt(number, 20), max_tokens=12) for number in range(3)]
    with local_engine(enabled=False) as engine:
        failed, *fine = engine.generate(broken, *neighbours)
        (later,) = engine.generate(command(tiny, prompt(5, 20)))

        assert is_idle(engine)
        assert isinstance(failed.error, GenerationError)

    for each, answer in zip(neighbours, fine, strict=True):
        assert answer.tokens == serial.generate(each)[0].tokens
    assert later.tokens == serial.generate(command(tiny, prompt(5, 20)))[0].tokens


def test_log_probabilities_are_normalised_and_name_the_greedy_token_first(tiny: Path, serial: LocalEngine) -> None:
    (answer,) = serial.generate(command(tiny, prompt(1, 30), top_logprobs=5))

    for token_id, logprob in zip(answer.tokens, answer.logprobs[0], strict=True):
        assert logprob.token_id == token_id == logprob.top[0][0]
        values = [value for _, value in logprob.top]
        assert values == sorted(values, reverse=True)
        assert logprob.logprob == values[0] <= 0
