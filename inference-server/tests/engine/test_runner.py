"""Rows of one real model: what joins, what leaves, and what a broken row costs its neighbours."""

from collections.abc import Callable
from typing import cast

import mlx.core as mx
import numpy as np
import pytest
from engine.conftest import prompt
from fixtures.kv_models import KV_KINDS
from unified_mlx_app.cache.kv import capture
from unified_mlx_app.engine.runner import Runner
from unified_mlx_app.engine.sampling import Draw, LogitsProcessor, Sampler, TokenMask, greedy, guard_processor, guard_sampler
from unified_mlx_app.models.grammars import GrammarRow
from unified_mlx_app.models.loader import LoadedModel

Load = Callable[[str], LoadedModel]


def join(
    runner: Runner,
    number: int,
    *,
    max_tokens: int = 10,
    sampler: Sampler = greedy,
    processor: LogitsProcessor | None = None,
    mask: TokenMask | None = None,
) -> int:
    tokens = prompt(number, 12)
    caches = runner.start()
    runner.prefill(caches, np.asarray(tokens[:-1], np.int32))
    draw = Draw(sampler, [processor] if processor else [], mask)
    return runner.join(caches, tokens[-1], max_tokens=max_tokens, draw=draw, ignore_eos=True)


def finish(runner: Runner) -> dict[int, list[int]]:
    """Tokens of each row until none is left."""
    tokens: dict[int, list[int]] = {}
    while runner.num_rows:
        for sampled in runner.step():
            tokens.setdefault(sampled.row_id, []).append(sampled.token_id)
    return tokens


def alone(loaded: LoadedModel, number: int) -> list[int]:
    runner = Runner(loaded, max_rows=4)
    row_id = join(runner, number)
    return finish(runner)[row_id]


def broken(*_: mx.array) -> mx.array:
    raise ArithmeticError("this row only")


class _BrokenGrammar:
    """A grammar that its row's tokens do not follow."""

    def advance(self, token_id: int) -> None:
        broken()

    mask = broken


@pytest.mark.parametrize("part", ["sampler", "processor", "mask"])
def test_neighbours_of_a_row_that_raises_get_their_serial_tokens(part: str, loaded_model: Load) -> None:
    loaded, errors = loaded_model("qwen3"), list[Exception]()
    runner = Runner(loaded, max_rows=4)
    parts = {
        "sampler": {"sampler": guard_sampler(broken, errors.append)},
        "processor": {"processor": guard_processor(broken, errors.append)},
        "mask": {"mask": TokenMask(cast(GrammarRow, _BrokenGrammar()), errors.append)},
    }
    rows = [join(runner, 0), join(runner, 1, **parts[part]), join(runner, 2)]

    tokens = finish(runner)

    assert tokens[rows[0]] == alone(loaded, 0)
    assert tokens[rows[2]] == alone(loaded, 2)
    assert len(errors) >= 10


def test_a_row_that_leaves_twice_or_after_its_end_is_counted_once(loaded_model: Load) -> None:
    runner = Runner(loaded_model("qwen3"), max_rows=4)
    ended, left, stays = join(runner, 0, max_tokens=1), join(runner, 1), join(runner, 2)
    while runner.num_rows == 3:
        runner.step()

    runner.leave(ended)
    runner.leave(left)
    runner.leave(left)

    assert runner.num_rows == 1
    assert list(finish(runner)) == [stays]


def test_a_reset_forgets_all_rows_and_the_runner_goes_on(loaded_model: Load) -> None:
    loaded = loaded_model("qwen3")
    runner = Runner(loaded, max_rows=4)
    join(runner, 0)
    runner.step()

    runner.reset()

    assert runner.num_rows == 0
    row_id = join(runner, 1)
    assert finish(runner)[row_id] == alone(loaded, 1)


@pytest.mark.parametrize("kind", KV_KINDS)
def test_caches_of_a_row_hold_its_prompt_and_every_token_it_gave(kind: str, loaded_model: Load) -> None:
    runner = Runner(loaded_model(kind), max_rows=4)
    row_id = join(runner, 0)
    join(runner, 1)
    given: list[int] = []
    while len(given) < 4:
        given += [sampled.token_id for sampled in runner.step() if sampled.row_id == row_id]

    state = capture(runner.caches_of(row_id), 12 + 4)

    assert state.num_tokens == 16
    caches = runner.start(state, 16)
    runner.prefill(caches, np.asarray([1], np.int32))
    follow_up = join_with(runner, caches)
    reference = runner.start()
    runner.prefill(reference, np.asarray([*prompt(0, 12), *given, 1], np.int32))
    expected = join_with(runner, reference)
    tokens = finish(runner)
    assert tokens[follow_up] == tokens[expected]


def join_with(runner: Runner, caches: list[object]) -> int:
    return runner.join(caches, 2, max_tokens=6, draw=Draw(greedy, []), ignore_eos=True)
