"""The loss on learned tokens equals the plain one, for every kind of model, at less memory."""

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from fixtures.training import ModelMaker, completion_rows
from mlx.utils import tree_flatten
from mlx_hub.core import loss as loss_module
from mlx_hub.core.batches import Batch, make_batch
from mlx_hub.core.data_prep import parse_row
from mlx_hub.core.loss import AnswerLoss, batch_arrays
from mlx_hub.core.model_files import read_model_files
from mlx_hub.core.tokens import EncodedRow, TokenEncoder
from mlx_lm.utils import load_model

ARCHITECTURES = ["qwen3", "llama", "gemma3_text", "mamba2", "qwen3_next"]


def encoded_rows(tiny_models: ModelMaker, count: int = 3) -> list[EncodedRow]:
    encoder = TokenEncoder(read_model_files(tiny_models()), max_seq_length=512, mask_prompt=True)
    rows = encoder.encode([parse_row(row, line=1) for row in completion_rows(count)])
    return [row for row in rows if isinstance(row, EncodedRow)]


def trained_top_layer(model: nn.Module) -> nn.Module:
    model.freeze()
    model.layers[-1].unfreeze()
    model.eval()
    return model


def plain_loss(model: nn.Module, batch: Batch) -> mx.array:
    logits = model(mx.array(batch.inputs)).astype(mx.float32)
    flat = logits.reshape(-1, logits.shape[-1])
    places = mx.array(batch.positions[: batch.num_learned])
    return nn.losses.cross_entropy(flat[places], mx.array(batch.targets[: batch.num_learned]), reduction="sum")


def assert_equal(model: nn.Module, loss: Callable[..., mx.array], batch: Batch) -> None:
    expected, expected_gradients = nn.value_and_grad(model, lambda: plain_loss(model, batch))()
    found, gradients = nn.value_and_grad(model, lambda *arrays: loss(model, *arrays))(*batch_arrays(batch))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    expected_by_name: dict[str, Any] = dict(tree_flatten(expected_gradients))
    for name, gradient in tree_flatten(gradients):
        assert np.allclose(np.array(gradient), np.array(expected_by_name[name]), rtol=1e-3, atol=1e-5), name


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_loss_and_gradients_equal_those_of_all_logits(tiny_models: ModelMaker, arch: str) -> None:
    model = trained_top_layer(load_model(tiny_models(arch))[0])
    batch = make_batch(encoded_rows(tiny_models))

    loss = AnswerLoss(model, 2048)

    assert not loss.needs_all_logits
    assert_equal(model, loss, batch)


def test_logits_in_parts_give_the_same_loss(tiny_models: ModelMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_module, "MAX_LOGITS_BYTES", 64 * 4 * 2048)
    model = trained_top_layer(load_model(tiny_models())[0])
    batch = make_batch(encoded_rows(tiny_models, 30))
    assert batch.num_learned > 128
    loss = AnswerLoss(model, 2048)

    assert_equal(model, loss, batch)
    assert_equal(model, loss.for_training, batch)


def test_gradients_by_parts_hold_the_logits_of_one_part(tiny_models: ModelMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_module, "MAX_LOGITS_BYTES", 64 * 4 * 2048)
    model = trained_top_layer(load_model(tiny_models())[0])
    batch = make_batch(encoded_rows(tiny_models, 30))
    loss = AnswerLoss(model, 2048)

    held = peak_bytes(lambda: nn.value_and_grad(model, lambda *arrays: loss(model, *arrays))(*batch_arrays(batch)))
    made = peak_bytes(lambda: nn.value_and_grad(model, lambda *arrays: loss.for_training(model, *arrays))(*batch_arrays(batch)))

    assert held - made > batch.num_learned * 2048 * 4 / 2


def peak_bytes(work: Callable[[], Any]) -> int:
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    mx.eval(work())
    return mx.get_peak_memory() - before


class OtherwiseBuilt(nn.Module):
    """Its backbone's positions are mixed after it, so its logits need all hidden states."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.model = inner.model

    @property
    def layers(self) -> list[nn.Module]:
        return self.inner.layers

    def __call__(self, inputs: mx.array) -> mx.array:
        return mx.cumsum(self.inner(inputs), axis=1) / 10


def test_model_of_another_build_gets_all_logits(tiny_models: ModelMaker) -> None:
    model = trained_top_layer(OtherwiseBuilt(load_model(tiny_models())[0]))

    loss = AnswerLoss(model, 2048)

    assert loss.needs_all_logits
    assert_equal(model, loss, make_batch(encoded_rows(tiny_models)))


def test_logits_of_prompts_take_no_memory(tiny_models: ModelMaker) -> None:
    model = trained_top_layer(load_model(tiny_models())[0])
    encoder = TokenEncoder(read_model_files(tiny_models()), max_seq_length=512, mask_prompt=True)
    (row,) = encoder.encode([parse_row({"prompt": "word " * 10, "completion": "yes"}, line=1)])
    assert isinstance(row, EncodedRow)
    batch = make_batch([row] * 40)
    loss = AnswerLoss(model, 2048)

    logits_bytes = batch.inputs.size * 2048 * 4
    whole = peak_bytes(lambda: nn.value_and_grad(model, lambda: plain_loss(model, batch))())
    parted = peak_bytes(lambda: nn.value_and_grad(model, lambda *arrays: loss(model, *arrays))(*batch_arrays(batch)))

    assert whole - parted > 0.9 * logits_bytes


def test_batch_marks_the_positions_before_learned_tokens(tiny_models: ModelMaker) -> None:
    rows = encoded_rows(tiny_models)

    batch = make_batch(rows)

    width = batch.inputs.shape[1]
    expected = [
        (index * width + place - 1, int(row.tokens[place]))
        for index, row in enumerate(rows)
        for place in range(1, len(row.tokens))
        if row.is_learned[place]
    ]
    found = list(zip(batch.positions.tolist(), batch.targets.tolist(), strict=True))[: batch.num_learned]
    assert found == expected
    assert width % 32 == 0
    assert batch.weights.sum() == batch.num_learned == len(expected)
    assert batch.num_tokens == sum(len(row.tokens) for row in rows)


def test_batches_of_one_width_have_few_shapes(tiny_models: ModelMaker) -> None:
    (row,) = encoded_rows(tiny_models, 1)
    tokens = np.resize(row.tokens, 96)

    shapes = {make_batch([EncodedRow(row.row, tokens, np.arange(96) >= first, 0)] * 4).positions.shape for first in range(1, 96)}

    assert len(shapes) <= 5
