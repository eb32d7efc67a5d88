"""Adapter folders as mlx-lm reads them: `adapters.safetensors` and `adapter_config.json`. Needs no MLX."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_hub.core.durable_files import publish_folder
from mlx_hub.core.model_files import read_tensor_infos
from mlx_hub.core.run_config import TrainingConfig, TrainingError

ADAPTER = "adapter"
WEIGHTS_FILE = "adapters.safetensors"
CONFIG_FILE = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """An adapter folder. `rank` and `scale` are None for a full fine-tune; `sha256` is of the weights' file."""

    fine_tune_type: str
    num_layers: int
    rank: int | None
    scale: float | None
    modules: tuple[str, ...]
    num_parameters: int
    size_bytes: int
    sha256: str


def adapter_config(config: TrainingConfig, *, num_layers: int, modules: list[str]) -> dict[str, Any]:
    """Content of `adapter_config.json`; `modules` are the adapted ones' names within a layer."""
    parameters = {
        "rank": config.lora_rank,
        "scale": config.lora_scale,
        "dropout": config.lora_dropout,
        "keys": modules,
    }
    return {
        "fine_tune_type": config.fine_tune_type,
        "num_layers": num_layers,
        "lora_parameters": {} if config.fine_tune_type == "full" else parameters,
    }


def publish_adapter(run_dir: Path, checkpoint: Path, config: dict[str, Any]) -> Path:
    """Make the run's adapter folder from the weights of a checkpoint."""
    part = run_dir / f".{ADAPTER}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    shutil.copyfile(checkpoint / WEIGHTS_FILE, part / WEIGHTS_FILE)
    (part / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    publish_folder(part, run_dir / ADAPTER)
    return run_dir / ADAPTER


def read_adapter(folder: Path) -> AdapterInfo:
    """Raises TrainingError `bad_adapter` for a folder that mlx-lm could not load."""
    try:
        config = json.loads((folder / CONFIG_FILE).read_bytes())
        parameters = config["lora_parameters"]
        weights = folder / WEIGHTS_FILE
        tensors = read_tensor_infos(weights)
        with weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return AdapterInfo(
            fine_tune_type=config.get("fine_tune_type", "lora"),
            num_layers=config["num_layers"],
            rank=parameters.get("rank"),
            scale=parameters.get("scale"),
            modules=tuple(parameters.get("keys") or ()),
            num_parameters=sum(tensor.num_values for tensor in tensors.values()),
            size_bytes=weights.stat().st_size,
            sha256=digest,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError("bad_adapter", f"The adapter folder {folder} cannot be read: {error!r}") from error
