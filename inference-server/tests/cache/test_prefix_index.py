"""The radix tree against a dictionary of sequences, and what a look-up costs."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unified_mlx_app.cache import prefix_index
from unified_mlx_app.cache.prefix_index import PrefixIndex, Tokens, common_prefix_length

# Few different tokens and short sequences make shared starts, splits and whole prefixes frequent.
sequences = st.lists(st.integers(0, 2), min_size=1, max_size=8).map(tuple)
operations = st.lists(st.tuples(st.sampled_from(["insert", "insert", "remove"]), sequences), max_size=40)


def tokens(values: Sequence[int]) -> Tokens:
    return np.asarray(values, np.int32)


def build(history: list[tuple[str, tuple[int, ...]]]) -> tuple[PrefixIndex[str], dict[tuple[int, ...], str]]:
    """The index and the dictionary after the same operations; each insertion stores another value."""
    index, model = PrefixIndex[str](max_continuations=1000), dict[tuple[int, ...], str]()
    for number, (operation, sequence) in enumerate(history):
        if operation == "insert":
            index.insert(tokens(sequence), f"value {number}")
            model[sequence] = f"value {number}"
        else:
            index.remove(tokens(sequence))
            model.pop(sequence, None)
    return index, model


def shared(a: Sequence[int], b: Sequence[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


@given(operations, sequences)
@settings(max_examples=150, deadline=None)
def test_match_finds_what_a_search_of_all_sequences_finds(
    history: list[tuple[str, tuple[int, ...]]], query: tuple[int, ...]
) -> None:
    index, model = build(history)

    found = index.match(tokens(query))

    longest = max((shared(query, stored) for stored in model), default=0)
    assert found.num_tokens == longest
    assert found.prefixes == [model[query[:size]] for size in range(1, len(query) + 1) if query[:size] in model]
    beyond = {value for stored, value in model.items() if shared(query, stored) == longest and len(stored) > longest}
    assert set(found.continuations) == beyond
    assert len(found.continuations) == len(beyond)


@given(operations, sequences)
@settings(max_examples=100, deadline=None)
def test_values_under_are_those_that_begin_with_the_sequence(
    history: list[tuple[str, tuple[int, ...]]], query: tuple[int, ...]
) -> None:
    index, model = build([*history, ("insert", query)])

    under = index.values_under(tokens(query))

    assert sorted(under) == sorted(value for stored, value in model.items() if stored[: len(query)] == query)


@given(operations)
@settings(max_examples=100, deadline=None)
def test_the_tree_is_as_small_as_what_it_stores(history: list[tuple[str, tuple[int, ...]]]) -> None:
    index, model = build(history)

    for sequence in model:
        index.remove(tokens(sequence))

    assert index.match(tokens([0])).num_tokens == 0
    assert not index._root.children, "nodes of removed sequences are left"


@given(operations)
@settings(max_examples=100, deadline=None)
def test_every_inner_node_holds_a_value_or_a_fork(history: list[tuple[str, tuple[int, ...]]]) -> None:
    index, _ = build(history)

    pending = list(index._root.children.values())
    while pending:
        node = pending.pop()
        assert len(node.edge) > 0
        assert node.value is not None or len(node.children) > 1
        pending.extend(node.children.values())


def test_continuations_are_bounded() -> None:
    index = PrefixIndex[int](max_continuations=4)
    for last in range(100):
        index.insert(tokens([7, 8, 100 + last]), last)

    found = index.match(tokens([7, 8, 9]))

    assert found.num_tokens == 2
    assert len(found.continuations) == 4


@pytest.mark.parametrize("diverges_at", [0, 1, 50_000, 99_999])
def test_a_diverging_look_up_in_100_000_tokens_costs_a_few_comparisons(diverges_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = np.arange(100_000, dtype=np.int32)
    index = PrefixIndex[str]()
    index.insert(stored, "long")
    # A chat of 100 turns on the same tokens: many edges, which a look-up of another prompt must not touch.
    for end in range(1000, 100_000, 1000):
        index.insert(stored[:end], f"turn {end}")
    query = stored.copy()
    query[diverges_at] = -1
    compared: list[int] = []

    def counting(a: Tokens, b: Tokens) -> int:
        compared.append(min(len(a), len(b)))
        return common_prefix_length(a, b)

    monkeypatch.setattr(prefix_index, "common_prefix_length", counting)
    found = index.match(query)

    assert found.num_tokens == diverges_at
    assert sum(compared) <= diverges_at + 1000
    assert len(compared) <= diverges_at // 1000 + 1
