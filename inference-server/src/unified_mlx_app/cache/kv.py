"""KV state of one sequence as immutable values: captured from mlx-lm's caches, trimmed, restored, and as tensors for disk.

Engine thread only. MLX arrays are values, so a captured array may be lent to any number of requests: a cache that grows
writes into a copy. Containers are not, so `restore` builds fresh ones. Only classes in the closed map below are known;
state of any other class is never stored (mlx-lm's own loader looks class names up in its globals).
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import ArraysCache, CacheList, KVCache, RotatingKVCache

from unified_mlx_app.cache.segment import LoadedSegment, Tensor

_ROWS_AXIS = 2  # keys and values are (batch 1, heads, tokens, dim)

# numpy has no bfloat16, so tensors travel as bytes beside their safetensors name.
_DTYPE_NAMES = {
    mx.float32: "F32",
    mx.float16: "F16",
    mx.bfloat16: "BF16",
    mx.uint8: "U8",
    mx.uint32: "U32",
    mx.int32: "I32",
    mx.int64: "I64",
}


class UnsupportedCacheError(Exception):
    """The model keeps its state in a cache class that cannot be stored."""


@dataclass(frozen=True, slots=True)
class LayerState:
    """State of one layer. With `has_rows` the arrays hold one row a token on axis 2 and any prefix of them is valid."""

    class_name: str
    has_rows: bool
    arrays: tuple[mx.array | None, ...] = ()
    meta: tuple[int, ...] = ()
    parts: tuple["LayerState", ...] = ()


@dataclass(frozen=True, slots=True)
class KVState:
    """State of all layers after `num_tokens` tokens; never mutated."""

    layers: tuple[LayerState, ...]
    num_tokens: int
    cuts: tuple[int, ...] = ()
    """Where the prefill that made it was cut, ascending: decides whether it is bit for bit what another prefill makes."""

    @property
    def is_trimmable(self) -> bool:
        """Whether every shorter prefix of the tokens can be restored from this state."""
        return all(layer.has_rows for layer in self.layers)

    @property
    def num_bytes(self) -> int:
        """Bytes really held: arrays are compact copies, not views of larger buffers."""
        return sum(array.nbytes for array in _arrays_of(self.layers))


def capture(caches: Sequence[Any], num_tokens: int, cuts: Sequence[int] = ()) -> KVState:
    """The state of a batch-1 cache list as compact, evaluated arrays. Raises UnsupportedCacheError."""
    state = KVState(tuple(_capture_layer(cache, num_tokens) for cache in caches), num_tokens, tuple(cuts))
    mx.eval(_arrays_of(state.layers))
    return state


def restore(state: KVState, num_tokens: int) -> list[Any]:
    """Fresh mlx-lm caches holding the first `num_tokens` tokens of `state`, which stays as it is."""
    assert num_tokens == state.num_tokens or (state.is_trimmable and 0 < num_tokens < state.num_tokens)
    return [_restore_layer(layer, num_tokens) for layer in state.layers]


def layout_of(caches: Sequence[Any]) -> str:
    """The cache classes of a model, as part of a namespace's identity."""
    names = [
        f"CacheList({layout_of(cache.caches)})" if isinstance(cache, CacheList) else type(cache).__name__ for cache in caches
    ]
    return ",".join(names)


def to_tensors(state: KVState, start_tokens: int) -> tuple[list[dict[str, Any]], tuple[Tensor, ...]]:
    """Layer descriptions and tensors of what `state` adds to its first `start_tokens` tokens.

    Layers with rows give rows [start_tokens, num_tokens), others their whole state. The tensors share
    memory with MLX's arrays where the device allows; they stay valid as long as they are held.
    """
    tensors: list[Tensor] = []
    return [_describe(layer, start_tokens, f"{i}", tensors) for i, layer in enumerate(state.layers)], tuple(tensors)


def from_segments(segments: Sequence[LoadedSegment]) -> KVState:
    """The state after the last of a chain of verified segments, evaluated. Raises ValueError if they do not fit together."""
    loaded = [_load(segment.payload) for segment in segments]
    chains = list(zip(*(segment.layers for segment in segments), strict=True))
    state = KVState(
        tuple(_join(list(zip(chain, loaded, strict=True))) for chain in chains),
        segments[-1].info.end_tokens,
        segments[-1].info.cuts,
    )
    mx.eval(_arrays_of(state.layers))
    for layer in state.layers:
        _check_rows(layer, state.num_tokens)
    return state


def _load(payload: bytes) -> dict[str, mx.array]:
    arrays = mx.load(io.BytesIO(payload), format="safetensors")
    assert isinstance(arrays, dict)
    return arrays


def _arrays_of(layers: Sequence[LayerState]) -> list[mx.array]:
    own = [array for layer in layers for array in layer.arrays if array is not None]
    return own + [array for layer in layers if layer.parts for array in _arrays_of(layer.parts)]


def _rows(array: Any, start: int, end: int) -> mx.array:
    return mx.contiguous(array[:, :, start:end])


def _capture_layer(cache: Any, num_tokens: int) -> LayerState:
    if type(cache) is KVCache and cache.offset == num_tokens:
        return LayerState("KVCache", True, (_rows(cache.keys, 0, num_tokens), _rows(cache.values, 0, num_tokens)))
    if type(cache) is RotatingKVCache and cache.offset == num_tokens:
        return _capture_rotating(cache)
    if type(cache) is ArraysCache and cache.lengths is None:
        # Left padding of a batch of one that started empty is zero and says nothing.
        arrays = tuple(None if array is None else mx.contiguous(array) for array in cache.cache)
        return LayerState("ArraysCache", False, arrays)
    if type(cache) is CacheList:
        parts = tuple(_capture_layer(part, num_tokens) for part in cache.caches)
        return LayerState("CacheList", all(part.has_rows for part in parts), parts=parts)
    raise UnsupportedCacheError(f"{type(cache).__name__} cannot be stored at {num_tokens} tokens")


def _capture_rotating(cache: Any) -> LayerState:
    """Before its window is full a rotating cache is a plain one; afterwards it is opaque."""
    has_rows = cache.offset < cache.max_size and cache._idx == cache.offset
    end = cache.offset if has_rows else cache.keys.shape[_ROWS_AXIS]
    meta = (cache.offset, cache.keep, cache.max_size, cache._idx)
    return LayerState("RotatingKVCache", has_rows, (_rows(cache.keys, 0, end), _rows(cache.values, 0, end)), meta)


def _restore_layer(layer: LayerState, num_tokens: int) -> Any:
    arrays = layer.arrays
    if layer.has_rows and not layer.parts and arrays[0] is not None and arrays[0].shape[_ROWS_AXIS] > num_tokens:
        arrays = tuple(None if array is None else array[:, :, :num_tokens] for array in arrays)
    match layer.class_name:
        case "KVCache":
            return KVCache.from_state((arrays[0], arrays[1], num_tokens))
        case "RotatingKVCache":
            offset, keep, max_size, index = layer.meta
            if layer.has_rows:
                offset = index = num_tokens
            return RotatingKVCache.from_state((arrays[0], arrays[1], offset, keep, max_size, index))
        case "ArraysCache":
            return ArraysCache.from_state((list(arrays), None, None))
        case _:
            return CacheList(*(_restore_layer(part, num_tokens) for part in layer.parts))


def _describe(layer: LayerState, start_tokens: int, name: str, tensors: list[Tensor]) -> dict[str, Any]:
    if layer.parts:
        parts = [_describe(part, start_tokens, f"{name}.{i}", tensors) for i, part in enumerate(layer.parts)]
        return {"class": layer.class_name, "rows": layer.has_rows, "meta": list(layer.meta), "arrays": [], "parts": parts}
    names: list[str | None] = []
    for i, array in enumerate(layer.arrays):
        if array is None:
            names.append(None)
            continue
        part = _rows(array, start_tokens, array.shape[_ROWS_AXIS]) if layer.has_rows and start_tokens else array
        names.append(f"{name}.{i}")
        tensors.append(Tensor(f"{name}.{i}", _DTYPE_NAMES[part.dtype], tuple(part.shape), _bytes_of(part)))
    return {"class": layer.class_name, "rows": layer.has_rows, "meta": list(layer.meta), "arrays": names, "parts": []}


def _bytes_of(array: mx.array) -> memoryview:
    view = array.reshape(-1).view(mx.uint8)
    mx.eval(view)
    return np.asarray(view).data


def _join(chain: Sequence[tuple[dict[str, Any], dict[str, mx.array]]]) -> LayerState:
    """One layer from its descriptions in a chain of segments: rows one after the other, or the last whole state."""
    last, arrays = chain[-1]
    if last["class"] not in {"KVCache", "RotatingKVCache", "ArraysCache", "CacheList"}:
        raise ValueError(f"unknown cache class {last['class']!r}")
    if last["parts"]:
        parts = tuple(_join([(layer["parts"][i], loaded) for layer, loaded in chain]) for i in range(len(last["parts"])))
        return LayerState(last["class"], last["rows"], (), tuple(last["meta"]), parts)
    if not last["rows"]:
        whole = tuple(None if name is None else arrays[name] for name in last["arrays"])
        return LayerState(last["class"], False, whole, tuple(last["meta"]))
    joined = tuple(
        mx.concatenate([loaded[layer["arrays"][i]] for layer, loaded in chain], axis=_ROWS_AXIS)
        if len(chain) > 1
        else arrays[last["arrays"][i]]
        for i in range(len(last["arrays"]))
    )
    return LayerState(last["class"], True, joined, tuple(last["meta"]))


def _check_rows(layer: LayerState, num_tokens: int) -> None:
    for part in layer.parts:
        _check_rows(part, num_tokens)
    if layer.has_rows and any(array is None or array.shape[_ROWS_AXIS] != num_tokens for array in layer.arrays):
        raise ValueError(f"a layer does not hold {num_tokens} rows")
