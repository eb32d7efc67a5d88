"""Safetensors files of adapters as raw arrays. Needs no MLX, and keeps bfloat16, which numpy does not know, as its bits."""

import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_NUMPY = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True, slots=True)
class RawTensor:
    """`values` are the bits of a BF16 tensor, else its numbers; `dtype` is safetensors' name of the type."""

    dtype: str
    values: np.ndarray

    def transposed(self) -> "RawTensor":
        return RawTensor(self.dtype, np.ascontiguousarray(self.values.T))

    def as_float(self) -> np.ndarray:
        """As float64."""
        if self.dtype != "BF16":
            return self.values.astype(np.float64)
        return (self.values.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def read_tensors(file: Path) -> dict[str, RawTensor]:
    """All tensors of a file whose header is known to be right. Raises ValueError for a type that is no float of 16 or 32 bits."""
    content = file.read_bytes()
    (header_bytes,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + header_bytes])
    header.pop("__metadata__", None)
    tensors: dict[str, RawTensor] = {}
    for name, entry in header.items():
        if entry["dtype"] not in _NUMPY:
            raise ValueError(f"{name} is of type {entry['dtype']}")
        first, last = (8 + header_bytes + offset for offset in entry["data_offsets"])
        values = np.frombuffer(content[first:last], _NUMPY[entry["dtype"]]).reshape(entry["shape"])
        tensors[name] = RawTensor(entry["dtype"], values)
    return tensors


def write_tensors(file: Path, tensors: dict[str, RawTensor]) -> None:
    """Write a safetensors file, in the order of the names."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in sorted(tensors.items()):
        start, end = end, end + tensor.values.nbytes
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.values.shape), "data_offsets": [start, end]}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with file.open("wb") as opened:
        opened.write(struct.pack("<Q", len(encoded)))
        opened.write(encoded)
        for _, tensor in sorted(tensors.items()):
            opened.write(tensor.values.tobytes())
