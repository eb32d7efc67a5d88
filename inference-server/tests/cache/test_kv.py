"""KV state captured, trimmed, restored and taken through the file format, for every kind of cache, bit for bit."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from fixtures.kv_models import KV_KINDS
from mlx_lm.models.cache import ChunkedKVCache, KVCache, RotatingKVCache, make_prompt_cache
from unified_mlx_app.cache.keys import entry_key
from unified_mlx_app.cache.kv import (
    KVState,
    LayerState,
    UnsupportedCacheError,
    capture,
    from_segments,
    layout_of,
    restore,
    to_tensors,
)
from unified_mlx_app.cache.segment import LoadedSegment, Segment, decode_segment, encode_segment
from unified_mlx_app.models.loader import LoadedModel

Load = Callable[[str], LoadedModel]

_TRIMMABLE = ("qwen3", "llama", "qwen3-4bit", "qwen3-8bit", "qwen3-bfloat16")
_MAC_KEY = b"k" * 32
_PROMPT = [(number * 37) % 500 + 5 for number in range(160)]
_NUM_TOKENS = 6


def advance(model: Any, caches: list[Any], tokens: Sequence[int]) -> mx.array:
    """Logits (vocab,) after `tokens`."""
    logits = model(mx.array([list(tokens)]), cache=caches)[0, -1]
    mx.eval(logits, [cache.state for cache in caches])
    return logits


def continued(model: Any, caches: list[Any], last_token: int) -> tuple[list[int], bytes]:
    """Greedy tokens after the prompt, and the bits of all their logits."""
    tokens, bits = [last_token], b""
    for _ in range(_NUM_TOKENS):
        logits = advance(model, caches, tokens[-1:])
        bits += bytes_of(logits)
        tokens.append(int(mx.argmax(logits).item()))
    return tokens[1:], bits


def bytes_of(array: mx.array) -> bytes:
    return np.asarray(array.reshape(-1).view(mx.uint8)).tobytes()


def prefilled(model: Any, cuts: Sequence[int]) -> list[Any]:
    """Caches after a prefill of the prompt cut at `cuts`."""
    caches = make_prompt_cache(model)
    for start, end in zip([0, *cuts], cuts, strict=False):
        advance(model, caches, _PROMPT[start:end])
    return caches


def fingerprint(state: KVState) -> str:
    def arrays(layers: Sequence[LayerState]) -> list[mx.array]:
        own = [array for layer in layers for array in layer.arrays if array is not None]
        return own + [array for layer in layers for array in arrays(layer.parts)]

    return hashlib.sha256(b"".join(bytes_of(array) for array in arrays(state.layers))).hexdigest()


# 40 tokens are inside gemma's sliding window of 64, 63 to 65 at its edge, 130 beyond twice of it.
@pytest.mark.parametrize(
    ("kind", "at"), [*((kind, at) for kind in KV_KINDS for at in (40, 100)), *(("gemma3_text", at) for at in (63, 64, 65, 130))]
)
def test_a_restored_state_continues_as_the_uninterrupted_run_bit_for_bit(kind: str, at: int, loaded_model: Load) -> None:
    model = loaded_model(kind).model
    caches = prefilled(model, [30, at])
    state = capture(caches, at)
    advance(model, caches, _PROMPT[at:-1])
    expected = continued(model, caches, _PROMPT[-1])

    restored = restore(state, at)
    advance(model, restored, _PROMPT[at:-1])

    assert continued(model, restored, _PROMPT[-1]) == expected


@pytest.mark.parametrize("at", [45, 64, 96])
@pytest.mark.parametrize("kind", _TRIMMABLE)
def test_a_trimmed_state_equals_the_run_that_was_cut_there(kind: str, at: int, loaded_model: Load) -> None:
    model = loaded_model(kind).model
    state = capture(prefilled(model, [at, 120]), 120)
    caches = prefilled(model, [at, 159])
    expected = continued(model, caches, _PROMPT[-1])

    restored = restore(state, at)
    advance(model, restored, _PROMPT[at:-1])

    assert continued(model, restored, _PROMPT[-1]) == expected


def test_a_sliding_window_that_is_not_full_can_be_trimmed(loaded_model: Load) -> None:
    model = loaded_model("gemma3_text").model
    state = capture(prefilled(model, [20, 50]), 50)
    expected = continued(model, prefilled(model, [20, 159]), _PROMPT[-1])

    restored = restore(state, 20)
    advance(model, restored, _PROMPT[20:-1])

    assert state.is_trimmable
    assert continued(model, restored, _PROMPT[-1]) == expected


@pytest.mark.parametrize("kind", ["gemma3_text", "mamba2", "qwen3_next"])
def test_a_state_that_cannot_be_trimmed_says_so_and_refuses(kind: str, loaded_model: Load) -> None:
    state = capture(prefilled(loaded_model(kind).model, [100]), 100)

    assert not state.is_trimmable
    with pytest.raises(AssertionError):
        restore(state, 99)


@pytest.mark.parametrize("kind", KV_KINDS)
def test_what_one_request_does_is_never_seen_by_another(kind: str, loaded_model: Load) -> None:
    model = loaded_model(kind).model
    state = capture(prefilled(model, [100]), 100)
    before = fingerprint(state)

    first, second = restore(state, 100), restore(state, 100)
    other = continued(model, first, 7)
    again = continued(model, second, 7)
    continued(model, restore(state, 100), 8)
    if state.is_trimmable:
        continued(model, restore(state, 50), 9)

    assert other == again
    assert fingerprint(state) == before


@pytest.mark.parametrize("kind", KV_KINDS)
def test_the_cache_that_was_captured_may_go_on(kind: str, loaded_model: Load) -> None:
    model = loaded_model(kind).model
    caches = prefilled(model, [100])
    state = capture(caches, 100)
    before = fingerprint(state)

    advance(model, caches, _PROMPT[100:150])

    assert fingerprint(state) == before


@pytest.mark.parametrize("kind", _TRIMMABLE)
def test_bytes_are_those_of_the_rows_in_use(kind: str, loaded_model: Load) -> None:
    loaded = loaded_model(kind)

    state = capture(prefilled(loaded.model, [100]), 100)

    assert state.num_bytes == loaded.kv_bytes_per_token * 100 == loaded.kv_bytes(100)


def chain_of(loaded: LoadedModel, states: Sequence[KVState]) -> list[LoadedSegment]:
    """The states as segments that add to each other, written and read back."""
    segments: list[LoadedSegment] = []
    start, parent_key = 0, None
    for state in states:
        tokens = np.asarray(_PROMPT[: state.num_tokens], np.int32)
        layers, tensors = to_tensors(state, start)
        key = entry_key(loaded.namespace.digest, tokens)
        encoded = encode_segment(
            Segment(
                key, parent_key, loaded.namespace, "turn", "", 0.0, start, state.num_tokens, tokens[start:], layers, tensors,
                state.is_trimmable,
            ),
            _MAC_KEY,
        )  # fmt: skip
        data = b"".join(bytes(memoryview(buffer)) for buffer in encoded.buffers)
        segments.append(read_back(key, data))
        start, parent_key = state.num_tokens, key
    return segments


def read_back(key: str, data: bytes) -> LoadedSegment:
    position = 0

    def read_exactly(size: int) -> bytes:
        nonlocal position
        position += size
        return data[position - size : position]

    return decode_segment(read_exactly, key=key, num_bytes=len(data), last_used=0, mac_key=_MAC_KEY)


@pytest.mark.parametrize(
    ("kind", "ends"),
    [*((kind, ends) for kind in KV_KINDS for ends in ([40, 100], [30, 64, 100])), ("gemma3_text", [70, 90, 130])],
)
def test_the_file_format_gives_the_same_bits_back(kind: str, ends: list[int], loaded_model: Load) -> None:
    loaded = loaded_model(kind)
    caches, states = make_prompt_cache(loaded.model), list[KVState]()
    for start, end in zip([0, *ends], ends, strict=False):
        advance(loaded.model, caches, _PROMPT[start:end])
        states.append(capture(caches, end))

    state = from_segments(chain_of(loaded, states))

    assert fingerprint(state) == fingerprint(states[-1])
    assert state.is_trimmable == states[-1].is_trimmable
    assert state.num_tokens == ends[-1]
    assert [layer.meta for layer in state.layers] == [layer.meta for layer in states[-1].layers]
    assert continued(loaded.model, restore(state, ends[-1]), 7) == continued(loaded.model, restore(states[-1], ends[-1]), 7)


def test_a_chain_with_rows_missing_is_refused(loaded_model: Load) -> None:
    loaded = loaded_model("qwen3")
    states = [capture(prefilled(loaded.model, [end]), end) for end in (40, 70, 100)]
    segments = chain_of(loaded, states)

    with pytest.raises(ValueError, match="rows"):
        from_segments([segments[0], segments[2]])


def test_a_delta_holds_only_its_own_rows(loaded_model: Load) -> None:
    state = capture(prefilled(loaded_model("qwen3").model, [100]), 100)

    _, tensors = to_tensors(state, 90)

    assert {tensor.shape[2] for tensor in tensors} == {10}
    assert sum(memoryview(tensor.data).nbytes for tensor in tensors) == state.num_bytes // 10


@pytest.mark.parametrize(
    "cache", [ChunkedKVCache(16), KVCache()], ids=["an unknown class", "a cache of another length than its tokens"]
)
def test_what_cannot_be_stored_is_refused(cache: Any) -> None:
    cache.update_and_fetch(mx.zeros((1, 1, 3, 4)), mx.zeros((1, 1, 3, 4)))

    with pytest.raises(UnsupportedCacheError):
        capture([cache], 4)


def test_the_layout_names_the_classes() -> None:
    assert layout_of([KVCache(), RotatingKVCache(8)]) == "KVCache,RotatingKVCache"
