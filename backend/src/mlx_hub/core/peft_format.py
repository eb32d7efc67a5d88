"""LoRA and DoRA adapters from mlx-lm's form to that of PEFT, which llama.cpp, vLLM and transformers read. Needs no MLX.

mlx-lm: `<module>.lora_a` (in, rank), `.lora_b` (rank, out), `.m` (out,), and a scale. PEFT: `base_model.model.<module>` with
`.lora_A.weight` (rank, in), `.lora_B.weight` (out, rank), `.lora_magnitude_vector` (out,), and alpha = scale * rank.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlx_hub.core.adapters import WEIGHTS_FILE, AdapterInfo, read_adapter
from mlx_hub.core.run_config import TrainingError
from mlx_hub.core.tensor_file import RawTensor, read_tensors, write_tensors

PEFT_WEIGHTS_FILE = "adapter_model.safetensors"
PEFT_CONFIG_FILE = "adapter_config.json"
_PREFIX = "base_model.model."
_NAMES = {"lora_a": "lora_A.weight", "lora_b": "lora_B.weight", "m": "lora_magnitude_vector"}
_MODULE = re.compile(r"(?:model|backbone)\.layers\.(\d+)\.[\w.]+|lm_head")
"""Of the models that have the same module names in mlx-lm and in transformers, which PEFT finds its modules by."""
_NUM_PROBES = 4
_TOLERANCE = 1e-9
"""Both sides are computed in float64 from the same bits; only the order of sums differs."""


@dataclass(frozen=True, slots=True)
class PeftExport:
    """What was written; `max_difference` is between the outputs of both forms, relative to the largest."""

    num_modules: int
    rank: int
    alpha: float
    max_difference: float


def write_peft(adapter: Path, target: Path, *, base_model: str) -> PeftExport:
    """Write PEFT's two files into the folder `target`, and compare what they compute with the adapter.

    Raises TrainingError `unsupported_adapter` for what PEFT has no form for, `export_mismatch` when the comparison fails.
    """
    info = read_adapter(adapter)
    if info.fine_tune_type == "full":
        raise _unsupported("it is a full fine-tune, which is no low-rank update; export it as fused")
    assert info.rank is not None
    assert info.scale is not None
    tensors = _read(adapter / WEIGHTS_FILE)
    modules = _modules(tensors)
    write_tensors(target / PEFT_WEIGHTS_FILE, {_peft_name(name): _peft_tensor(name, value) for name, value in tensors.items()})
    config = _peft_config(info, modules, base_model=base_model)
    (target / PEFT_CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    difference = compare_peft(adapter, target)
    if not difference <= _TOLERANCE:
        message = f"The exported adapter computes something else than the trained one (relative difference {difference:.3g})."
        raise TrainingError("export_mismatch", message)
    return PeftExport(len(modules), info.rank, config["lora_alpha"], difference)


def compare_peft(adapter: Path, peft: Path) -> float:
    """The largest difference between what both adapters add to random inputs, relative to the largest output of a module.

    Everything is read from the files, PEFT's scaling and modules from its configuration.
    """
    info = read_adapter(adapter)
    config = json.loads((peft / PEFT_CONFIG_FILE).read_bytes())
    ours, theirs = read_tensors(adapter / WEIGHTS_FILE), read_tensors(peft / PEFT_WEIGHTS_FILE)
    generator = np.random.default_rng(0)
    worst = 0.0
    for module in _modules(ours):
        a, b = ours[f"{module}.lora_a"].as_float(), ours[f"{module}.lora_b"].as_float()
        inputs = generator.standard_normal((_NUM_PROBES, a.shape[0]))
        expected = (info.scale or 0.0) * (inputs @ a @ b)
        lora_a, lora_b = (theirs[f"{_PREFIX}{module}.{part}"].as_float() for part in ("lora_A.weight", "lora_B.weight"))
        found = config["lora_alpha"] / config["r"] * (inputs @ lora_a.T @ lora_b.T)
        worst = max(worst, _relative(found, expected))
        if config["use_dora"]:
            magnitudes = theirs[f"{_PREFIX}{module}.lora_magnitude_vector"].as_float(), ours[f"{module}.m"].as_float()
            worst = max(worst, _relative(*magnitudes))
    return worst


def _relative(found: np.ndarray, expected: np.ndarray) -> float:
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))


def _read(file: Path) -> dict[str, RawTensor]:
    try:
        return read_tensors(file)
    except ValueError as error:
        raise _unsupported(str(error)) from error


def _modules(tensors: dict[str, RawTensor]) -> list[str]:
    """Names of the adapted modules, in the order of layers. Raises TrainingError `unsupported_adapter`."""
    modules: dict[str, set[str]] = {}
    for name, tensor in tensors.items():
        module, _, part = name.rpartition(".")
        if part not in _NAMES:
            raise _unsupported(f"PEFT has no counterpart of {name}")
        if part != "m" and tensor.values.ndim != 2:
            raise _unsupported(f"{module} holds a mixture of experts in one tensor, which PEFT does not; export it as fused")
        if not _MODULE.fullmatch(module):
            raise _unsupported(f"transformers may know {module} by another name; export it as fused")
        modules.setdefault(module, set()).add(part)
    for module, parts in modules.items():
        if not {"lora_a", "lora_b"} <= parts:
            raise _unsupported(f"{module} lacks one of its two matrices")
    return sorted(modules, key=lambda module: (_layer(module) or 0, module))


def _layer(module: str) -> int | None:
    match = _MODULE.fullmatch(module)
    return int(match[1]) if match and match[1] else None


def _peft_name(name: str) -> str:
    module, _, part = name.rpartition(".")
    return f"{_PREFIX}{module}.{_NAMES[part]}"


def _peft_tensor(name: str, tensor: RawTensor) -> RawTensor:
    return tensor if name.endswith(".m") else tensor.transposed()


def _peft_config(info: AdapterInfo, modules: list[str], *, base_model: str) -> dict[str, Any]:
    assert info.rank is not None
    assert info.scale is not None
    alpha = info.scale * info.rank
    layers = sorted({layer for module in modules if (layer := _layer(module)) is not None})
    starts_at_first = layers == list(range(len(layers)))
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": info.rank,
        "lora_alpha": int(alpha) if alpha == int(alpha) else alpha,
        "lora_dropout": 0.0,
        "use_dora": info.fine_tune_type == "dora",
        "use_rslora": False,
        "target_modules": sorted({module.rpartition(".")[2] for module in modules}),
        # Adapted are the layers from one up to the last; when that one is the first, all are.
        "layers_to_transform": None if starts_at_first else layers,
        "layers_pattern": None if starts_at_first else "layers",
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "modules_to_save": None,
        "rank_pattern": {},
        "alpha_pattern": {},
    }


def _unsupported(reason: str) -> TrainingError:
    return TrainingError("unsupported_adapter", f"The adapter cannot be written in PEFT's format: {reason}.")
