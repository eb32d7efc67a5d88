"""One base model for rows with different LoRA adapters: what each row adds to the base's projections. Engine process only.

A row carries its adapter itself, not its name, so an adapter that is replaced or unloaded stays what it was for the rows
that run on it. A pass in which all rows use the same adapter computes exactly what mlx-lm's `LoRALinear` does, and one without
adapters what the base model does; only a mixed pass pays for the mix.
"""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_unflatten
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.tuner.lora import LoRALinear

from unified_mlx_app.models.row_values import RowValues

Term = Callable[[mx.array], mx.array]
Terms = dict[str, tuple[Term, ...]]
"""What a pass adds to the output of a module, by the module's path."""

_NUM_PROBED_ROWS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """LoRA factors by module path: (in, rank) and (rank, out). Compared by identity and never changed."""

    factors: dict[str, tuple[mx.array, mx.array]]
    scale: float

    @property
    def num_bytes(self) -> int:
        return sum(a.nbytes + b.nbytes for a, b in self.factors.values())

    @property
    def is_finite(self) -> bool:
        """Whether all numbers are finite. Others would reach the neighbours of a row: zero times infinity is not a number."""
        return all(bool(mx.isfinite(array).all().item()) for pair in self.factors.values() for array in pair)


class SharedModel:
    """A model as batches call it. The modules it is given stay as they are. One thread at a time."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._adapted: set[str] = set()
        self._terms: Terms = {}
        self._mix: _Mix | None = None

    def __call__(self, tokens: mx.array, cache: list[Any]) -> mx.array:
        """Logits of a batch whose last cache is the RowValues of adapters, None for the base model."""
        *caches, adapters = cache
        return self._run(tokens, caches, self._terms_of(adapters.values))

    def run_alone(self, tokens: mx.array, caches: list[Any], adapter: Adapter | None) -> mx.array:
        """Logits of one prompt, bit for bit those of mlx-lm's model with this adapter alone."""
        return self._run(tokens, caches, _terms_alone(adapter) if adapter is not None else {})

    def states_alone(self, tokens: mx.array, caches: list[Any], adapter: Adapter | None) -> mx.array:
        """What the output layer would see of one prompt: (1, tokens, dim). Raises ValueError for a model that hides it."""
        return self._run(tokens, caches, _terms_alone(adapter) if adapter is not None else {}, part=body_of)

    def forget_rows(self) -> None:
        """The batch is empty: give up what was laid out for its rows."""
        self._mix = None

    def _run(
        self, tokens: mx.array, caches: list[Any], terms: Terms, part: Callable[[Any], Any] = lambda model: model
    ) -> mx.array:
        self._adapt(terms.keys() - self._adapted)
        self._terms.update(terms)
        try:
            return part(self._model)(tokens, cache=caches)
        finally:
            self._terms.clear()

    def _adapt(self, paths: Iterable[str]) -> None:
        """Let the modules at `paths` take terms. Graphs of earlier passes keep the arrays that they need."""
        if not paths:
            return
        if not self._adapted:
            self._model = copy.deepcopy(self._model)  # It shares the arrays.
        modules = dict(self._model.named_modules())
        adapted = [(path, _AdaptedLinear(modules[path], path, self._terms.get)) for path in paths]
        self._model.update_modules(tree_unflatten(adapted))
        self._adapted.update(paths)

    def _terms_of(self, rows: list[Adapter | None]) -> Terms:
        used = sorted({adapter for adapter in rows if adapter is not None}, key=id)
        if self._mix is not None and self._mix.adapters != used:
            self._mix = None
        if not used:
            return {}
        if len(used) == 1 and None not in rows:
            return _terms_alone(used[0])
        if self._mix is None:
            self._mix = _Mix(used)
        return self._mix.terms(rows)


class _AdaptedLinear(nn.Module):
    def __init__(self, linear: nn.Module, path: str, terms_at: Callable[[str, tuple[Term, ...]], tuple[Term, ...]]) -> None:
        super().__init__()
        self.linear = linear
        self._path = path
        self._terms_at = terms_at

    def __call__(self, x: mx.array) -> mx.array:
        y = self.linear(x)
        for term in self._terms_at(self._path, ()):
            y = y + term(x)
        return y


def _terms_alone(adapter: Adapter) -> Terms:
    """The operations of `LoRALinear.__call__` (mlx-lm 0.32.2) in its order, so that not one bit differs."""

    def term(a: mx.array, b: mx.array) -> Term:
        return lambda x: (adapter.scale * ((x @ a) @ b)).astype(x.dtype)

    return {path: (term(a, b),) for path, (a, b) in adapter.factors.items()}


@dataclass(frozen=True, slots=True)
class _Block:
    """Factors of several adapters side by side: a (in, ranks), b (ranks, out)."""

    owners: tuple[Adapter, ...]
    ranks: tuple[int, ...]
    a: mx.array
    b: mx.array


class _Mix:
    """Several adapters in one pass: all rows go through all of them at once, and each keeps what is its own.

    Two dense products a module, whatever the ranks, and every adapter is read once; gathering each row's factors would copy
    them for every row of every step. The price is one copy of the adapters for as long as they are mixed.
    """

    def __init__(self, adapters: list[Adapter]) -> None:
        self.adapters = adapters
        self._rows: list[Adapter | None] = []
        self._terms: Terms = {}
        paths = {path: None for adapter in adapters for path in adapter.factors}
        self._blocks = {path: _blocks([adapter for adapter in adapters if path in adapter.factors], path) for path in paths}

    def terms(self, rows: list[Adapter | None]) -> Terms:
        if rows != self._rows:
            scales = mx.array([adapter.scale if adapter is not None else 0.0 for adapter in rows])[:, None, None]
            masks: dict[tuple[tuple[Adapter, ...], tuple[int, ...]], mx.array] = {}
            for block in (block for blocks in self._blocks.values() for block in blocks):
                masks.setdefault((block.owners, block.ranks), _mask(block, rows))
            self._terms = {
                path: tuple(_masked_term(block, masks[block.owners, block.ranks], scales) for block in blocks)
                for path, blocks in self._blocks.items()
            }
            self._rows = list(rows)
        return self._terms


def _blocks(adapters: list[Adapter], path: str) -> list[_Block]:
    """One block for each number format: a mixed one would compute a row with more digits than it gets alone."""
    by_format: dict[tuple[mx.Dtype, mx.Dtype], list[Adapter]] = {}
    for adapter in adapters:
        a, b = adapter.factors[path]
        by_format.setdefault((a.dtype, b.dtype), []).append(adapter)
    return [_block(tuple(owners), [owner.factors[path] for owner in owners]) for owners in by_format.values()]


def _block(owners: tuple[Adapter, ...], factors: list[tuple[mx.array, mx.array]]) -> _Block:
    ranks = tuple(a.shape[1] for a, _ in factors)
    if len(factors) == 1:
        return _Block(owners, ranks, *factors[0])
    a = mx.concatenate([a for a, _ in factors], axis=1)
    b = mx.concatenate([b for _, b in factors], axis=0)
    return _Block(owners, ranks, a, b)


def _mask(block: _Block, rows: list[Adapter | None]) -> mx.array:
    """Which of a block's ranks are a row's own: (rows, 1, ranks)."""
    owner_of_rank = np.repeat(np.arange(len(block.owners)), block.ranks)
    owner_of_row = np.array([block.owners.index(row) if row in block.owners else -1 for row in rows])
    return mx.array(owner_of_row[:, None, None] == owner_of_rank)


def _masked_term(block: _Block, mask: mx.array, scales: mx.array) -> Term:
    def term(x: mx.array) -> mx.array:
        if x.ndim != 3 or x.shape[0] != mask.shape[0]:
            raise ValueError(f"rows of a batch were expected, not {x.shape}")
        # Selected, not multiplied by zero: what overflows in another adapter must not become this row's NaN.
        z = mx.where(mask, x @ block.a, 0.0) @ block.b
        return (scales.astype(z.dtype) * z).astype(x.dtype)

    return term


def adapter_of(view: Any, paths: Iterable[str]) -> Adapter | None:
    """The adapter that mlx-lm has loaded onto `view` at `paths`; None if one of them is more than LoRA on a plain projection."""
    modules = dict(view.named_modules())
    adapted = {path: modules[path] for path in paths}
    if not all(
        type(module) is LoRALinear and type(module.linear) in (nn.Linear, nn.QuantizedLinear) for module in adapted.values()
    ):
        return None
    scales = {module.scale for module in adapted.values()}
    factors = {path: (module.lora_a, module.lora_b) for path, module in adapted.items()}
    return Adapter(factors, float(scales.pop())) if len(scales) == 1 else None


def body_of(model: Any) -> Any:
    """`model` without its output layer, by the names that mlx-lm's models (0.32.2) use. Raises ValueError."""
    language_model = getattr(model, "language_model", model)
    for name in ("model", "backbone", "transformer"):
        if isinstance(body := getattr(language_model, name, None), nn.Module):
            return body
    raise ValueError("the model does not show the states before its output layer")


def can_mix(model: Any, adapter: Adapter) -> bool:
    """Whether rows with and without `adapter` can share a pass of `model`: tried, which leaves both as they are.

    Not so where a model calls an adapted projection with something else than (rows, tokens, dim).
    """
    caches = [*make_prompt_cache(model), RowValues([None, adapter, None])]
    try:
        mx.eval(SharedModel(model)(mx.zeros((_NUM_PROBED_ROWS, 1), mx.int32), caches))
    except ValueError:
        return False
    return True
