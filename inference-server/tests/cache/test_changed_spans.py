"""Short spans that change between a stored prompt and another one, and what they cost."""

import numpy as np
import pytest
from fixtures.prompt_caches import Cache, prompt
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from unified_mlx_app.cache.changed_spans import MAX_SPAN_TOKENS, MAX_SPANS, REJOIN_TOKENS, find_changes

HEAD = list(range(100, 130))
TAIL = list(range(200, 260))


def array(tokens: list[int]) -> NDArray[np.int32]:
    return np.asarray(tokens, np.int32)


def test_a_span_is_found_with_what_stood_there_and_what_follows_alike() -> None:
    changed = find_changes(array([*HEAD, 1, 2, 3, *TAIL]), array([*HEAD, 4, 5, *TAIL]))

    assert changed is not None
    (span,) = changed.spans
    assert (span.start_token, span.end_token, span.num_shared_after, changed.lost_tokens) == (30, 32, 60, 60)
    assert span.stored_tokens == (*HEAD[-8:], 1, 2, 3, *TAIL[:8])
    assert (span.num_before, span.num_after) == (8, 8)


@pytest.mark.parametrize(
    ("stored", "tokens"),
    [
        ([*HEAD, 1, *TAIL], [*HEAD, *TAIL]),
        ([*HEAD, *TAIL], [*HEAD, 1, *TAIL]),
        ([1, *TAIL], [2, *TAIL]),
    ],
    ids=["cut out", "put in", "at the start"],
)
def test_a_span_may_be_empty_or_first(stored: list[int], tokens: list[int]) -> None:
    changed = find_changes(array(stored), array(tokens))

    assert changed is not None
    assert changed.lost_tokens == 60


@pytest.mark.parametrize(
    ("stored", "tokens"),
    [
        ([*HEAD, *TAIL], [*HEAD, *TAIL, 7, 7]),
        ([*HEAD, 1, *TAIL], [*HEAD, 2, *range(300, 360)]),
        ([*HEAD, 1, *TAIL[:15]], [*HEAD, 2, *TAIL[:15]]),
        ([*HEAD, *[1] * (MAX_SPAN_TOKENS + 1), *TAIL], [*HEAD, *TAIL]),
        ([*HEAD], [*HEAD, *TAIL]),
    ],
    ids=["goes on", "another text", "little is lost", "a long text", "nothing behind"],
)
def test_what_is_no_changing_span_is_none(stored: list[int], tokens: list[int]) -> None:
    assert find_changes(array(stored), array(tokens)) is None


RUNS = st.lists(st.integers(0, 5), min_size=0, max_size=6)


@given(pieces=st.lists(st.tuples(RUNS, RUNS, st.lists(st.integers(10, 14), min_size=10, max_size=30)), min_size=1, max_size=12))
@settings(max_examples=300, deadline=None)
def test_spans_and_what_lies_between_them_are_the_prompt(pieces: list[tuple[list[int], list[int], list[int]]]) -> None:
    stored = [token for old, _, shared in pieces for token in (*old, *shared)]
    tokens = [token for _, new, shared in pieces for token in (*new, *shared)]

    changed = find_changes(array(stored), array(tokens))

    spans = changed.spans if changed else ()
    assert len(spans) <= MAX_SPANS
    rebuilt: list[int] = []
    at = 0
    for span in spans:
        rebuilt += tokens[at : span.start_token]
        rebuilt += span.stored_tokens[span.num_before : -span.num_after]
        at = span.end_token
        assert span.num_shared_after >= REJOIN_TOKENS
    if spans:
        rebuilt += tokens[at : at + spans[-1].num_shared_after]
        assert rebuilt == stored[: len(rebuilt)]


# --------------------------------------------------------------- in the cache


def test_a_miss_tells_the_span_and_is_no_cold_one_though_little_is_shared_before_it() -> None:
    cache = Cache(None)
    cache.insert([9, 9, 1, *TAIL])

    report = cache.ask(prompt([9, 9, 2, *TAIL, 5], shared=63))

    assert report.changed is not None
    assert (report.outcome, report.miss_reason, report.diverged_at_token) == ("miss", "diverged", 2)
    assert [(span.start_token, span.end_token) for span in report.changed.spans] == [(2, 3)]


def test_a_hit_that_could_be_longer_tells_the_span_as_well() -> None:
    cache = Cache(None)
    cache.insert(HEAD)
    cache.insert([*HEAD, 1, *TAIL], kind="conversation")

    report = cache.ask(prompt([*HEAD, 2, *TAIL, 5], shared=30))

    assert (report.outcome, report.miss_reason) == ("hit", None)
    assert report.changed is not None
    assert report.changed.lost_tokens == 60


def test_of_several_stored_prompts_the_one_that_lost_most_is_compared() -> None:
    cache = Cache(None)
    cache.insert([*HEAD, 1, *TAIL[:20]])
    cache.insert([*HEAD, 2, *TAIL])
    cache.insert([*HEAD, 3, *range(400, 460)])

    report = cache.ask(prompt([*HEAD, 4, *TAIL], shared=91))

    assert report.changed is not None
    assert (report.changed.lost_tokens, report.changed.spans[0].stored_tokens[8]) == (60, 2)


def test_a_prompt_that_was_evicted_is_still_known() -> None:
    cache = Cache(None, max_entries=1)
    cache.insert([*HEAD, 1, *TAIL])
    cache.insert(list(range(500, 560)))

    report = cache.ask(prompt([*HEAD, 2, *TAIL], shared=91))

    assert report.changed is not None
    assert report.changed.lost_tokens == 60


def test_another_question_is_no_changing_span() -> None:
    cache = Cache(None)
    cache.insert([*HEAD, *TAIL, 1, 2, 3, 4], kind="conversation")

    assert cache.ask(prompt([*HEAD, *TAIL, *range(600, 640)], shared=90)).changed is None


def test_a_warm_up_explains_nothing() -> None:
    cache = Cache(None)
    cache.insert([*HEAD, 1, *TAIL])

    assert cache.ask(prompt([*HEAD, 2, *TAIL], shared=91), is_counted=False).changed is None
