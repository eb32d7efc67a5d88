"""Whether what was fetched is a model that can be served: no code of its own, whole and well-formed weights."""

from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError, safe_open

from mlx_hub.errors import UpstreamError
from mlx_hub.services.hub_facts import as_dict, as_int, find_quantization, text_list

_MAX_JSON_BYTES = 64 * 2**20
_INDEX = "model.safetensors.index.json"


def check_config(folder: Path) -> dict[str, Any]:
    """The config. Raises UpstreamError when it names no architecture or asks to run code of its own."""
    config = _read_object(folder / "config.json")
    for key in ("auto_map", "model_file"):
        if config.get(key):
            raise UpstreamError(f"The model's config.json asks to run code of its own ({key}), which is never done.")
    if not isinstance(config.get("model_type"), str):
        raise UpstreamError("The model's config.json names no model_type.")
    return config


def check_weights(folder: Path) -> None:
    """Raises UpstreamError unless all weight files that the index names are there and the strict reader accepts each."""
    files = {file.name for file in folder.glob("*.safetensors")}
    index = folder / _INDEX
    wanted = {str(name) for name in as_dict(_read_object(index).get("weight_map")).values()} if index.exists() else set[str]()
    if missing := wanted - files:
        raise UpstreamError(f"The model's index names weight files that it does not have: {', '.join(sorted(missing)[:3])}.")
    for name in sorted(files):
        try:
            # Checks the header against the size, as MLX's own reader does not (holes, overlaps, wrong dimensions).
            with safe_open(folder / name, framework="np"):
                pass
        except (SafetensorError, OSError, ValueError) as error:
            raise UpstreamError(f"{name} is not a well-formed safetensors file.") from error


def describe_model(repo_id: str, folder: Path) -> dict[str, Any]:
    """What the row of a ready model tells: architecture, quantisation, bytes of weights, longest context."""
    config = _read_object(folder / "config.json")
    architectures = text_list(config.get("architectures"))
    quantization = find_quantization(repo_id, [], config)
    text_config = as_dict(config.get("text_config"))
    return {
        "architecture": architectures[0] if architectures else None,
        "model_type": config.get("model_type"),
        "quantization": quantization.label if quantization else None,
        "group_size": quantization.group_size if quantization else None,
        "weight_bytes": sum(file.stat().st_size for file in folder.glob("*.safetensors")),
        "max_context_tokens": as_int((config | text_config).get("max_position_embeddings")),
    }


def _read_object(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _MAX_JSON_BYTES:
            raise UpstreamError(f"{file.name} is larger than {_MAX_JSON_BYTES} bytes.")
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        raise UpstreamError(f"{file.name} is not a JSON object.") from error
