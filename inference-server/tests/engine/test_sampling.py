"""What one row draws: supports of the filters exactly, frequencies statistically, penalties against slow loops."""

import math

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from unified_mlx_app.engine.sampling import (
    LogitsProcessor,
    greedy,
    guard_processor,
    guard_sampler,
    make_processors,
    make_sampler,
    token_logprob,
)
from unified_mlx_app.types import SamplingParams

_PROBABILITIES = np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.04])


def params(**fields: object) -> SamplingParams:
    return SamplingParams(**{"max_tokens": 8, "temperature": 1.0, "seed": 11, **fields})  # pyright: ignore[reportArgumentType]


def logprobs_of(probabilities: NDArray[np.float64]) -> mx.array:
    return mx.array(np.log(probabilities)[None].astype(np.float32))


def draws(sampling: SamplingParams, probabilities: NDArray[np.float64], count: int = 2000) -> list[int]:
    """`count` draws at one step: the same logprobs over and over as rows of one call, which is quick."""
    logprobs = mx.repeat(logprobs_of(probabilities), count, axis=0)
    return make_sampler(sampling, 0)(logprobs).tolist()  # pyright: ignore[reportReturnType]


def assert_frequencies(drawn: list[int], expected: NDArray[np.float64]) -> None:
    """Within five standard deviations at each token; the keys are fixed, so this never flickers."""
    for token, probability in enumerate(expected):
        deviation = math.sqrt(len(drawn) * probability * (1 - probability))
        assert abs(drawn.count(token) - len(drawn) * probability) <= 5 * deviation, token


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_frequencies_follow_the_temperature(temperature: float) -> None:
    drawn = draws(params(temperature=temperature), _PROBABILITIES)

    scaled = _PROBABILITIES ** (1 / temperature)
    assert_frequencies(drawn, scaled / scaled.sum())


def test_successive_draws_of_one_row_are_independent() -> None:
    sampler, logprobs = make_sampler(params(seed=12), 0), logprobs_of(_PROBABILITIES)
    drawn = [token for _ in range(1200) for token in sampler(logprobs).tolist()]

    expected = np.outer(_PROBABILITIES, _PROBABILITIES).ravel() * 600
    pairs = np.bincount([6 * a + b for a, b in zip(drawn[::2], drawn[1::2], strict=True)], minlength=36)
    assert ((pairs - expected) ** 2 / expected).sum() < 80  # 35 degrees of freedom: exceeded once in 50,000 seeds.


def kept(sampling: SamplingParams) -> list[int]:
    """The support that the documentation of the parameters prescribes: temperature, then top_k, top_p, min_p."""
    probabilities = _PROBABILITIES ** (1 / sampling.temperature)
    probabilities /= probabilities.sum()
    order = list(np.argsort(-probabilities))
    if sampling.top_k:
        order = order[: sampling.top_k]
    mass = probabilities[order] / probabilities[order].sum()
    if sampling.top_p < 1:
        order = [token for token, before in zip(order, np.cumsum(mass) - mass, strict=True) if before < sampling.top_p]
    return [int(token) for token in order if probabilities[token] >= sampling.min_p * probabilities.max()]


@pytest.mark.parametrize(
    "fields",
    [
        {"top_k": 1},
        {"top_k": 3},
        {"top_k": 50},
        {"top_p": 0.05},
        {"top_p": 0.6},
        {"top_p": 0.82},
        {"min_p": 0.2},
        {"min_p": 1.0},
        {"top_k": 4, "top_p": 0.75},
        {"top_k": 2, "top_p": 0.9, "temperature": 2.0},
        {"top_p": 0.95, "min_p": 0.3},
        {"top_k": 3, "top_p": 0.9, "min_p": 0.5, "temperature": 0.6},
    ],
)
def test_filters_keep_exactly_the_tokens_they_promise(fields: dict[str, float]) -> None:
    sampling = params(**fields)
    support = kept(sampling)

    drawn = draws(sampling, _PROBABILITIES)

    assert sorted(set(drawn)) == sorted(support)
    expected = np.zeros(len(_PROBABILITIES))
    expected[support] = _PROBABILITIES[support] ** (1 / sampling.temperature)
    assert_frequencies(drawn, expected / expected.sum())


def test_top_k_and_top_p_of_a_flat_distribution_never_leave_their_support() -> None:
    # The likeliest five of 2,048 tokens hold 2 % of the mass: a top_p over all of it would keep nothing.
    probabilities = np.full(2048, 1.0)
    probabilities[[3, 500, 999, 1500, 2000]] = 8.0

    drawn = draws(params(top_k=5, top_p=0.5, temperature=2.0), probabilities / probabilities.sum(), 300)

    assert set(drawn) <= {3, 500, 999, 1500, 2000}


def test_the_smallest_temperature_draws_the_likeliest_token() -> None:
    assert set(draws(params(temperature=1e-6), _PROBABILITIES, 50)) == {0}


def test_temperature_zero_is_the_one_shared_greedy_sampler() -> None:
    assert make_sampler(params(temperature=0.0), 0) is greedy
    assert guard_sampler(greedy, pytest.fail) is greedy


def test_a_seed_fixes_what_is_drawn_and_choices_differ() -> None:
    logprobs = logprobs_of(_PROBABILITIES)

    def run(seed: int, choice: int) -> list[int]:
        sampler = make_sampler(params(seed=seed), choice)
        return mx.concatenate([sampler(logprobs) for _ in range(40)]).tolist()  # pyright: ignore[reportReturnType]

    assert run(5, 0) == run(5, 0)
    assert len({tuple(run(seed, choice)) for seed in (5, 6) for choice in (0, 1, 2)}) == 6


def test_another_rows_draws_do_not_move_the_key() -> None:
    logprobs = logprobs_of(_PROBABILITIES)
    lonely, sampler, neighbour = (make_sampler(params(seed=seed), 0) for seed in (11, 11, 99))
    alone = [token for _ in range(30) for token in lonely(logprobs).tolist()]

    together: list[int] = []
    for _ in range(30):
        neighbour(logprobs)
        mx.random.normal((3,))
        together += sampler(logprobs).tolist()

    assert together == alone


@pytest.mark.parametrize("seed", [0, 2**63 - 1, 2**64 - 1])
def test_the_largest_seeds_are_keys(seed: int) -> None:
    assert len(draws(params(seed=seed), _PROBABILITIES, 3)) == 3


def apply_all(processors: list[LogitsProcessor], prompt: list[int], answer: list[int], logits: mx.array) -> mx.array:
    """Call processors as the batch does: first with the prompt's last token, then with each token of the answer."""
    result = logits
    for size in range(len(answer) + 1):
        tokens = mx.array([prompt[-1], *answer[:size]])
        result = logits
        for processor in processors:
            result = processor(tokens, result)
    return result


def slow_penalties(sampling: SamplingParams, prompt: list[int], answer: list[int], logits: list[float]) -> list[float]:
    result = list(logits)
    for token, value in sampling.logit_bias.items():
        result[token] += value
    for token in range(len(result)):
        if token in prompt or token in answer:
            factor = sampling.repetition_penalty
            result[token] = result[token] / factor if result[token] > 0 else result[token] * factor
        if token in answer:
            result[token] -= sampling.presence_penalty + sampling.frequency_penalty * answer.count(token)
    return result


tokens_of_8 = st.integers(0, 7)


@given(
    prompt=st.lists(tokens_of_8, min_size=1, max_size=6),
    answer=st.lists(tokens_of_8, max_size=8),
    logits=st.lists(st.floats(-5, 5, width=32), min_size=8, max_size=8),
    presence=st.sampled_from([0.0, 0.5, -2.0]),
    frequency=st.sampled_from([0.0, 0.7, -1.0]),
    repetition=st.sampled_from([1.0, 1.3, 0.8]),
    bias=st.dictionaries(tokens_of_8, st.sampled_from([-100.0, 1.5, 100.0]), max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_bias_and_penalties_equal_the_slow_reference(
    prompt: list[int],
    answer: list[int],
    logits: list[float],
    presence: float,
    frequency: float,
    repetition: float,
    bias: dict[int, float],
) -> None:
    sampling = params(presence_penalty=presence, frequency_penalty=frequency, repetition_penalty=repetition, logit_bias=bias)

    result = apply_all(make_processors(sampling, prompt), prompt, answer, mx.array([logits]))

    np.testing.assert_allclose(result[0].tolist(), slow_penalties(sampling, prompt, answer, logits), rtol=1e-5, atol=1e-4)


def test_processors_of_a_plain_request_are_none_at_all() -> None:
    assert make_processors(params(), [1, 2, 3]) == []


@pytest.mark.parametrize(("bias", "expected"), [(100.0, {4}), (-100.0, {0, 1, 2, 3, 5})])
def test_a_bias_of_100_forces_or_bans_a_token(bias: float, expected: set[int]) -> None:
    (processor,) = make_processors(params(logit_bias={4: bias}), [1])
    biased = np.asarray(processor(mx.array([1]), logprobs_of(_PROBABILITIES))[0])

    probabilities = np.exp(biased - biased.max()).astype(np.float64)

    assert set(draws(params(), probabilities / probabilities.sum(), 1000)) == expected


@pytest.mark.parametrize("num_top", [0, 1, 3, 6])
def test_log_probabilities_are_those_of_the_model_best_first(num_top: int) -> None:
    logprobs = logprobs_of(_PROBABILITIES[::-1])[0]

    found = token_logprob(logprobs, 2, num_top)

    assert found.logprob == pytest.approx(math.log(0.1), abs=1e-6)
    assert [token for token, _ in found.top] == [5, 4, 3, 2, 1, 0][:num_top]
    assert sum(math.exp(value) for _, value in found.top) == pytest.approx(sum(_PROBABILITIES[:num_top]), abs=1e-5)


def test_guards_turn_an_exception_into_a_report_and_a_harmless_value() -> None:
    errors: list[str] = []

    def broken(*_: mx.array) -> mx.array:
        raise ZeroDivisionError("row")

    logprobs = logprobs_of(_PROBABILITIES)
    drawn = guard_sampler(broken, lambda error: errors.append(str(error)))(logprobs)
    processed = guard_processor(broken, lambda error: errors.append(str(error)))(mx.array([1]), logprobs)

    assert drawn.tolist() == [0]
    assert mx.array_equal(processed, logprobs)
    assert errors == ["row", "row"]
