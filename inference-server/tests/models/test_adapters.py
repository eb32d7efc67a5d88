"""A sound adapter passes; whatever the engine could not load, or would answer nonsense with, is refused in words."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.model_folders import HIDDEN, Q_PROJ, RANK, adapter_tensors, write_adapter, write_model
from fixtures.models import ModelMaker
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import linear_to_lora_layers
from mlx_lm.utils import load_model
from unified_mlx_app.errors import InvalidRequestError, NotFoundError
from unified_mlx_app.models.adapters import check_adapter


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_model(tmp_path / "base")


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_sound_adapter_passes(tmp_path: Path, base: Path, dtype: Any) -> None:
    check_adapter(write_adapter(tmp_path / "adapter", adapter_tensors(dtype=dtype)), base)


@pytest.mark.parametrize("options", [{}, {"bits": 4}, {"arch": "mamba2"}, {"arch": "gemma3_text", "bits": 8}], ids=str)
@pytest.mark.parametrize("use_dora", [False, True])
def test_adapters_that_mlx_lm_makes_pass(
    tmp_path: Path, tiny_models: ModelMaker, options: dict[str, Any], use_dora: bool
) -> None:
    path = tiny_models(**options)
    model, _ = load_model(path)
    linear_to_lora_layers(model, 2, {"rank": 8, "scale": 20.0, "dropout": 0.0}, use_dora=use_dora)
    leaves = dict(tree_flatten(model.parameters()))
    tensors = {name: np.array(leaf) for name, leaf in leaves.items() if name.endswith((".lora_a", ".lora_b", ".m"))}
    kind = "dora" if use_dora else "lora"
    adapter = write_adapter(tmp_path / "adapter", tensors, fine_tune_type=kind, lora_parameters={"rank": 8})

    check_adapter(adapter, path)


@pytest.mark.parametrize("name", ["adapters.safetensors", "adapter_config.json"])
def test_a_missing_file_is_not_found(tmp_path: Path, base: Path, name: str) -> None:
    adapter = write_adapter(tmp_path / "adapter")
    (adapter / name).unlink()

    with pytest.raises(NotFoundError, match=name):
        check_adapter(adapter, base)


def _with_number(value: float) -> dict[str, Any]:
    tensors = adapter_tensors()
    tensors[f"{Q_PROJ}.lora_b"][RANK - 1, -1] = value
    return tensors


@pytest.mark.parametrize(
    ("tensors", "config", "words"),
    [
        (adapter_tensors(rank=5), {}, "rank 4"),
        (_with_number(float("nan")), {}, "not numbers"),
        (_with_number(float("-inf")), {}, "infinite"),
        ({f"{Q_PROJ}.lora_a": np.ones((HIDDEN, RANK), np.float32)}, {}, "not both"),
        ({**adapter_tensors(), f"{Q_PROJ}.weight": np.ones((1,), np.float32)}, {}, "no part of a LoRA"),
        ({**adapter_tensors(), f"{Q_PROJ}.m": np.ones((32,), np.float32)}, {}, "no part of a LoRA"),
        ({f"{Q_PROJ}.m": np.ones((32,), np.float32)}, {"fine_tune_type": "dora"}, "not both"),
        (adapter_tensors(dtype=np.int32), {}, "I32"),
        (adapter_tensors("model.layers.7.self_attn.q_proj"), {}, "layer 7"),
        (adapter_tensors("model.layers.1.nothing"), {}, "none of the modules"),
        ({f"{Q_PROJ}.lora_a": np.ones((9, 4), np.float32), f"{Q_PROJ}.lora_b": np.ones((4, 32), np.float32)}, {}, "maps 9"),
        ({f"{Q_PROJ}.lora_a": np.ones((16, 4), np.float32), f"{Q_PROJ}.lora_b": np.ones((4, 9), np.float32)}, {}, "to 9"),
        ({}, {}, "no tensors"),
        (adapter_tensors(), {"fine_tune_type": "full"}, "full"),
        (adapter_tensors(), {"lora_parameters": {"rank": True}}, "rank"),
        (adapter_tensors(), {"lora_parameters": None}, "rank"),
        (adapter_tensors(), {"num_layers": None}, "num_layers"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, base: Path, tensors: dict[str, Any], config: dict[str, Any], words: str
) -> None:
    adapter = write_adapter(tmp_path / "adapter", tensors, **config)

    with pytest.raises(InvalidRequestError, match=words) as caught:
        check_adapter(adapter, base)

    assert caught.value.param == "adapter_path"


def test_a_bfloat16_infinity_is_seen(tmp_path: Path, base: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter")
    words = {
        f"{Q_PROJ}.lora_a": np.full((HIDDEN, RANK), 0x3F80, np.uint16),
        f"{Q_PROJ}.lora_b": np.full((RANK, 32), 0x7F80, np.uint16),
    }
    header = {
        name: {"dtype": "BF16", "shape": list(value.shape), "data_offsets": [128 * index, 128 * index + 2 * value.size]}
        for index, (name, value) in enumerate(words.items())
    }
    _write_raw(adapter, json.dumps(header).encode(), b"".join(value.tobytes() for value in words.values()))

    with pytest.raises(InvalidRequestError, match="infinite"):
        check_adapter(adapter, base)


def _write_raw(adapter: Path, header: bytes, data: bytes) -> None:
    (adapter / "adapters.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)


def _tensor(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"a": _tensor([2], 0, 8), "b": _tensor([2], 0, 8)}, b"\0" * 8),
        ({"a": _tensor([2], 8, 16)}, b"\0" * 16),
        ({"a": _tensor([2], 0, 8)}, b"\0" * 8 + b"JUNK"),
        ({"a": _tensor([-2], 0, 8)}, b"\0" * 8),
        ({"a": _tensor([2**32, 2**32], 0, 0)}, b""),
        ({"a": _tensor([2], 8, 0)}, b"\0" * 8),
        ({"a": _tensor([2], 0, 8, "X9")}, b"\0" * 8),
        ([], b""),
    ],
    ids=["overlap", "hole", "trailing", "negative", "overflow", "backwards", "unknown type", "no object"],
)
def test_hostile_headers_are_refused(tmp_path: Path, base: Path, header: Any, data: bytes) -> None:
    adapter = write_adapter(tmp_path / "adapter")
    _write_raw(adapter, json.dumps(header).encode(), data)

    with pytest.raises(InvalidRequestError, match="safetensors"):
        check_adapter(adapter, base)


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\0" * 64, struct.pack("<Q", 30 * 2**20) + b"{}"])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, base: Path, content: bytes) -> None:
    adapter = write_adapter(tmp_path / "adapter")
    (adapter / "adapters.safetensors").write_bytes(content)

    with pytest.raises(InvalidRequestError, match="safetensors"):
        check_adapter(adapter, base)
