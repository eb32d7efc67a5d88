"""What a pass adds for rows with adapters: mlx-lm's own bits where all rows use one, and nobody's numbers for a neighbour."""

import copy
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx_lm
import pytest
from fixtures.adapters import write_adapter
from fixtures.models import ModelMaker
from mlx_lm.models.cache import BatchKVCache, KVCache, make_prompt_cache
from mlx_lm.utils import load_adapters
from unified_mlx_app.models.multi_lora import Adapter, SharedModel, adapter_of, can_mix
from unified_mlx_app.models.row_values import RowValues

TOKENS = mx.array([[5], [900], [77]])


@pytest.fixture(scope="module", params=[None, 4], ids=["f32", "4-bit"])
def base(request: pytest.FixtureRequest, tiny_models: ModelMaker) -> Path:
    return tiny_models(bits=request.param)


def load(base: Path) -> Any:
    model = mlx_lm.load(str(base))[0]
    model.eval()
    return model


def view_of(model: Any, adapter: Path) -> Any:
    view = load_adapters(copy.deepcopy(model), str(adapter))
    view.eval()
    return view


def taken(view: Any, adapter: Path) -> Adapter:
    names: Any = mx.load(str(adapter / "adapters.safetensors"))
    found = adapter_of(view, {name.rpartition(".")[0] for name in names})
    assert found is not None
    return found


def batch_of(model: Any) -> list[Any]:
    return [BatchKVCache([0, 0, 0]) for _ in make_prompt_cache(model)]


def test_rows_of_one_adapter_and_rows_of_none_have_the_bits_of_mlx_lm(base: Path, tmp_path: Path) -> None:
    model = load(base)
    adapter_path = write_adapter(base, tmp_path / "adapter", seed=1)
    view = view_of(model, adapter_path)
    adapter, shared = taken(view, adapter_path), SharedModel(model)

    for used, reference in ((adapter, view), (None, model), (adapter, view)):
        logits = shared(TOKENS, [*batch_of(model), RowValues([used] * 3)])
        assert mx.array_equal(logits, reference(TOKENS, cache=batch_of(model)))
    long_prompt = mx.arange(200)[None]
    alone = shared.run_alone(long_prompt, make_prompt_cache(model), adapter)
    assert mx.array_equal(alone, view(long_prompt, cache=make_prompt_cache(model)))


def test_what_overflows_in_one_row_stays_in_that_row(base: Path, tmp_path: Path) -> None:
    model = load(base)
    paths = [write_adapter(base, tmp_path / f"{seed}", seed=seed, rank=seed + 2) for seed in range(2)]
    wild, tame = (taken(view_of(model, path), path) for path in paths)
    wild = Adapter({path: (a * 1e30, b * 1e30) for path, (a, b) in wild.factors.items()}, wild.scale)
    shared = SharedModel(model)
    assert wild.is_finite

    logits = shared(TOKENS, [*batch_of(model), RowValues([None, wild, tame])])
    quiet = shared(TOKENS, [*batch_of(model), RowValues([None, None, tame])])

    assert mx.isnan(logits[1]).any()
    assert mx.allclose(logits[0], quiet[0], atol=1e-4)
    assert mx.allclose(logits[2], quiet[2], atol=1e-4)


class _FoldingModel(nn.Module):
    """Calls its projection with all rows folded into one, as some architectures do."""

    def __init__(self, *, folds: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(8, 16)
        self.layers = [nn.Linear(16, 16)]
        self._folds = folds

    def __call__(self, tokens: mx.array, cache: list[KVCache]) -> mx.array:
        x = self.embed(tokens)
        return self.layers[0](x.reshape(1, -1, 16)).reshape(x.shape) if self._folds else self.layers[0](x)


@pytest.mark.parametrize("folds", [True, False])
def test_a_model_whose_projections_do_not_see_rows_cannot_mix(folds: bool) -> None:
    adapter = Adapter({"layers.0": (mx.ones((16, 2)), mx.ones((2, 16)))}, 1.0)

    assert can_mix(_FoldingModel(folds=folds), adapter) is not folds
