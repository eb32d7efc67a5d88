"""Whole model folders, written shard by shard. Uses MLX, so only processes of their own import it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import msgspec
from mlx.utils import tree_flatten, tree_map
from mlx_lm.utils import get_total_parameters, save_config

MAX_SHARD_BYTES = 5 * 2**30
INDEX_FILE = "model.safetensors.index.json"
_NOT_COPIED = frozenset({"config.json", INDEX_FILE, "hf_quant_config.json"})
_COPIED_SUFFIXES = (".json", ".jinja", ".txt", ".model", ".tiktoken")


def read_config(path: Path) -> dict[str, Any]:
    """`config.json` as it stands there."""
    return msgspec.json.decode((path / "config.json").read_bytes(), type=dict[str, Any])


def write_model(
    target: Path,
    model: nn.Module,
    config: dict[str, Any],
    *,
    source: Path,
    report: Callable[[float], None],
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write weights, `config` and what belongs to the tokenizer of the folder `source` into the folder `target`.

    `report` is told the share that is written, and may raise between shards. `model` loses its weights as they are written.
    """
    weights: dict[str, mx.array] = dict(tree_flatten(model.parameters()))
    num_parameters: int = get_total_parameters(model)
    num_bytes = sum(weight.nbytes for weight in weights.values())
    # Only the dictionary holds them from here on, so that each shard's memory is free once it is written.
    model.update(tree_map(lambda _: mx.array([]), model.parameters()))
    shards = _shards(weights, max_shard_bytes)
    places: dict[str, str] = {}
    written = 0
    for number, names in enumerate(shards, 1):
        report(written / num_bytes)
        file = "model.safetensors" if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        shard = {name: weights.pop(name) for name in names}
        written += sum(weight.nbytes for weight in shard.values())
        mx.save_safetensors(str(target / file), shard, metadata={"format": "mlx"})
        places |= dict.fromkeys(names, file)
        del shard
    index = {"metadata": {"total_size": num_bytes, "total_parameters": num_parameters}, "weight_map": places}
    (target / INDEX_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(index, order="sorted"), indent=2) + b"\n")
    save_config(config, target / "config.json", keep_vision_config="vision_tower" in getattr(model, "model", {}))
    _copy_others(source, target)


def _shards(weights: dict[str, mx.array], max_bytes: int) -> list[list[str]]:
    shards: list[list[str]] = []
    size = 0
    for name, weight in weights.items():
        if not shards or size + weight.nbytes > max_bytes:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += weight.nbytes
    return shards


def _copy_others(source: Path, target: Path) -> None:
    for file in sorted(source.iterdir()):
        if file.is_file() and file.name.endswith(_COPIED_SUFFIXES) and file.name not in _NOT_COPIED:
            shutil.copyfile(file, target / file.name)
