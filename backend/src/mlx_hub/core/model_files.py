"""What a model folder says about the model, read from `config.json` and the safetensors headers without loading a weight."""

import hashlib
import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mlx_hub.core.run_config import TrainingError

_MAX_HEADER_BYTES = 100 * 2**20
_EMBEDDINGS = ("embed_tokens", "embeddings", "word_embeddings", "tok_embeddings", "wte")


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Shape as stored (a quantised matrix packs its last dimension), safetensors' name of the type, bytes in the file."""

    shape: tuple[int, ...]
    dtype: str
    num_bytes: int

    @property
    def num_values(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """`config` is that of the text model where one is nested in `text_config`."""

    path: Path
    config: dict[str, Any]
    tensors: dict[str, TensorInfo]
    quantization: dict[str, Any] | None
    eos_token_ids: frozenset[int]

    @property
    def weights_bytes(self) -> int:
        return sum(tensor.num_bytes for tensor in self.tensors.values())

    @property
    def vocab_size(self) -> int | None:
        """Rows of the embedding, which bound the token ids: MLX reads outside of the matrix beyond them."""
        for name, tensor in self.tensors.items():
            parts = name.split(".")
            if parts[-1] == "weight" and len(parts) > 1 and parts[-2] in _EMBEDDINGS:
                return tensor.shape[0]
        return self.config.get("vocab_size")

    @property
    def fingerprint(self) -> str:
        """Digest of the architecture and of the names, shapes and types of all tensors."""
        listing = [[name, tensor.shape, tensor.dtype] for name, tensor in sorted(self.tensors.items())]
        return hashlib.sha256(json.dumps([self.config, listing], sort_keys=True).encode()).hexdigest()


def read_model_files(path: Path) -> ModelFiles:
    """Raises TrainingError `bad_model` for a folder that holds no readable model."""
    try:
        config = json.loads((path / "config.json").read_bytes())
        files = sorted(path.glob("model*.safetensors"))
        tensors = {name: info for file in files for name, info in read_tensor_infos(file).items()}
    except (OSError, ValueError) as error:
        raise TrainingError("bad_model", f"The model folder {path} cannot be read: {error}") from error
    if not tensors:
        raise TrainingError("bad_model", f"The model folder {path} has no safetensors weights.")
    quantization = config.get("quantization") or config.get("quantization_config")
    return ModelFiles(path, config.get("text_config") or config, tensors, quantization, _eos_token_ids(path, config))


def read_tensor_infos(file: Path) -> dict[str, TensorInfo]:
    """Tensors of a safetensors file by name. Raises OSError, or ValueError when the header or the file's size is wrong."""
    with file.open("rb") as opened:
        start = opened.read(8)
        if len(start) < 8:
            raise ValueError(f"{file.name} is cut short")
        (header_bytes,) = struct.unpack("<Q", start)
        if header_bytes > _MAX_HEADER_BYTES:
            raise ValueError(f"{file.name} has a header of {header_bytes} bytes")
        try:
            header = msgspec.json.decode(opened.read(header_bytes), type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise ValueError(f"{file.name} has a broken header: {error}") from error
    infos: dict[str, TensorInfo] = {}
    end = 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        first, last = entry["data_offsets"]
        end = max(end, last)
        infos[name] = TensorInfo(tuple(entry["shape"]), entry["dtype"], last - first)
    if file.stat().st_size != 8 + header_bytes + end:
        raise ValueError(f"{file.name} has not the size that its header tells")
    return infos


def _eos_token_ids(path: Path, config: dict[str, Any]) -> frozenset[int]:
    ids: set[int] = set()
    generation_file = path / "generation_config.json"
    generation = json.loads(generation_file.read_bytes()) if generation_file.exists() else {}
    for source in (config, config.get("text_config") or {}, generation):
        value = source.get("eos_token_id")
        ids.update(value if isinstance(value, list) else [] if value is None else [value])
    return frozenset(ids)
