"""Adapters in PEFT's format: its names and shapes, the same numbers, and a clear refusal of what it has no form for."""

import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from fixtures.tasks import AdapterMaker
from mlx_hub.core.peft_format import PEFT_CONFIG_FILE, PEFT_WEIGHTS_FILE, compare_peft, write_peft
from mlx_hub.core.run_config import TrainingError
from mlx_hub.core.tensor_file import read_tensors
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

MODULE = "model.layers.0.self_attn.q_proj"


def export(adapter: Path, target: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    target.mkdir()
    write_peft(adapter, target, base_model="org/base")
    return load_file(target / PEFT_WEIGHTS_FILE), json.loads((target / PEFT_CONFIG_FILE).read_text())


def test_lora_adds_the_same_to_the_weights(tmp_path: Path, trained_adapter: AdapterMaker) -> None:
    ours = load_file(trained_adapter() / "adapters.safetensors")

    theirs, config = export(trained_adapter(), tmp_path / "peft")

    assert len(theirs) == len(ours) == 2 * 14
    lora_a, lora_b = (theirs[f"base_model.model.{MODULE}.lora_{part}.weight"] for part in "AB")
    # Hidden 64, four heads of 32, rank 4.
    assert (lora_a.shape, lora_b.shape) == ((4, 64), (128, 4))
    expected = 10 / 4 * (ours[f"{MODULE}.lora_a"] @ ours[f"{MODULE}.lora_b"])
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(config["lora_alpha"] / config["r"] * (lora_b @ lora_a), expected.T, rtol=1e-5, atol=1e-7)


def test_config_is_what_peft_reads(tmp_path: Path, trained_adapter: AdapterMaker) -> None:
    _, config = export(trained_adapter(), tmp_path / "peft")

    assert config["peft_type"] == "LORA"
    assert config["task_type"] == "CAUSAL_LM"
    assert config["base_model_name_or_path"] == "org/base"
    assert (config["r"], config["lora_alpha"], config["use_dora"], config["use_rslora"]) == (4, 10, False, False)
    projections = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
    assert config["target_modules"] == projections
    assert config["layers_to_transform"] is None


def test_upper_layers_alone_are_named(tmp_path: Path, trained_adapter: AdapterMaker) -> None:
    adapter = trained_adapter(num_layers=1, target_modules=("q_proj", "v_proj"))

    theirs, config = export(adapter, tmp_path / "peft")

    assert all(name.startswith("base_model.model.model.layers.1.self_attn.") for name in theirs)
    assert (config["layers_to_transform"], config["layers_pattern"]) == ([1], "layers")
    assert config["target_modules"] == ["q_proj", "v_proj"]


def test_dora_keeps_its_magnitudes(tmp_path: Path, trained_adapter: AdapterMaker) -> None:
    adapter = trained_adapter(fine_tune_type="dora")
    ours = load_file(adapter / "adapters.safetensors")

    theirs, config = export(adapter, tmp_path / "peft")

    assert config["use_dora"] is True
    name = f"base_model.model.{MODULE}.lora_magnitude_vector"
    np.testing.assert_array_equal(theirs[name], ours[f"{MODULE}.m"])
    assert theirs[name].shape == (128,)


def test_bfloat16_keeps_its_bits(tmp_path: Path, trained_adapter: AdapterMaker) -> None:
    adapter = shutil.copytree(trained_adapter(), tmp_path / "bf16")
    weights = {name: value.astype(mx.bfloat16) for name, value in dict(mx.load(str(adapter / "adapters.safetensors"))).items()}
    mx.save_safetensors(str(adapter / "adapters.safetensors"), weights, {"format": "mlx"})
    (tmp_path / "peft").mkdir()

    write_peft(adapter, tmp_path / "peft", base_model="org/base")

    found = read_tensors(tmp_path / "peft" / PEFT_WEIGHTS_FILE)[f"base_model.model.{MODULE}.lora_A.weight"]
    assert found.dtype == "BF16"
    np.testing.assert_array_equal(found.as_float(), np.array(weights[f"{MODULE}.lora_a"].astype(mx.float32)).T)
    with safe_open(tmp_path / "peft" / PEFT_WEIGHTS_FILE, framework="np") as strict_reader:
        assert len(strict_reader.keys()) == 28


def test_another_number_is_noticed(tmp_path: Path, trained_adapter: AdapterMaker) -> None:
    theirs, _ = export(trained_adapter(), tmp_path / "peft")
    theirs[f"base_model.model.{MODULE}.lora_B.weight"][3, 2] += 0.01
    save_file(theirs, tmp_path / "peft" / PEFT_WEIGHTS_FILE)

    assert compare_peft(trained_adapter(), tmp_path / "peft") > 1e-6


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"fine_tune_type": "full"}, "full fine-tune"), ({"arch": "qwen3_next", "bits": 4}, "mixture of experts")],
    ids=["full", "experts"],
)
def test_what_peft_has_no_form_for_is_refused(
    tmp_path: Path, trained_adapter: AdapterMaker, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(TrainingError, match=reason) as caught:
        write_peft(trained_adapter(**settings), tmp_path, base_model="org/base")

    assert caught.value.code == "unsupported_adapter"


def test_a_module_that_transformers_calls_otherwise_is_refused(tmp_path: Path, trained_adapter: AdapterMaker) -> None:
    adapter = shutil.copytree(trained_adapter(), tmp_path / "nested")
    weights = {f"language_model.{name}": value for name, value in load_file(adapter / "adapters.safetensors").items()}
    save_file(weights, adapter / "adapters.safetensors")

    with pytest.raises(TrainingError, match="by another name"):
        write_peft(adapter, tmp_path, base_model="org/base")
