"""Checks an adapter folder before it is registered: files, header, names, ranks, numbers, fit to the base model.

It blocks on the disk and reads every byte of the adapter; no MLX is involved, whose own reader accepts files it should not.
"""

import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, deserialize

from unified_mlx_app.errors import InvalidRequestError, NotFoundError
from unified_mlx_app.models.local_models import UnusableModelError, read_json_object

WEIGHTS_FILE = "adapters.safetensors"
CONFIG_FILE = "adapter_config.json"
MAX_HEADER_BYTES = 25 * 2**20
MAX_ADAPTER_BYTES = 4 * 2**30

# Masks of the exponent's bits: all of them set means infinite or not a number.
_EXPONENTS: dict[str, tuple[Any, int]] = {
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
    "F32": (np.uint32, 0x7F80_0000),
}
_LAYER = re.compile(r"(?:^|\.)(?:layers|blocks|h)\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class _AdapterConfig:
    rank: int
    leaves: frozenset[str]
    """What the last part of a tensor's name may be."""


def check_adapter(adapter_path: Path, base_path: Path) -> None:
    """Refuse an adapter that the engine could not load onto the base model, or that would answer with nonsense.

    Raises NotFoundError when the folder or a file is missing, InvalidRequestError with param `adapter_path` for what is wrong
    with the adapter, and UnusableModelError when the base model itself cannot be read.
    """
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        if not (adapter_path / name).is_file():
            raise NotFoundError(f"The adapter folder has no {name}.", param="adapter_path")
    config = _read_config(adapter_path / CONFIG_FILE)
    tensors = _read_tensors(adapter_path / WEIGHTS_FILE)
    shapes = {name: tuple(tensor["shape"]) for name, tensor in tensors.items()}
    _check_names(shapes, config)
    for name, tensor in tensors.items():
        _check_numbers(name, tensor)
    _check_fit(shapes, base_path)


def _refuse(reason: str) -> InvalidRequestError:
    return InvalidRequestError(f"The adapter cannot be used: {reason}.", param="adapter_path")


def _read_config(file: Path) -> _AdapterConfig:
    try:
        config = read_json_object(file)
    except UnusableModelError as error:
        raise _refuse(str(error)) from error
    kind = config.get("fine_tune_type", "lora")
    if kind not in ("lora", "dora"):
        raise _refuse(f"{CONFIG_FILE} has fine_tune_type {str(kind)[:40]!r}, and only lora and dora can be served")
    parameters = config.get("lora_parameters")
    rank = parameters.get("rank") if isinstance(parameters, dict) else None
    if not isinstance(rank, int) or isinstance(rank, bool) or not 1 <= rank <= 4096:
        raise _refuse(f"{CONFIG_FILE} has no lora_parameters.rank from 1 to 4096")
    if not isinstance(config.get("num_layers"), int):
        raise _refuse(f"{CONFIG_FILE} has no num_layers")
    return _AdapterConfig(rank, frozenset({"lora_a", "lora_b"} | ({"m"} if kind == "dora" else set())))


def _read_tensors(file: Path) -> dict[str, dict[str, Any]]:
    """Tensors by name, from bytes that the strict reader of safetensors accepts."""
    if file.stat().st_size > MAX_ADAPTER_BYTES:
        raise _refuse(f"{WEIGHTS_FILE} is larger than {MAX_ADAPTER_BYTES} bytes")
    content = file.read_bytes()
    if len(content) < 8 or struct.unpack("<Q", content[:8])[0] > MAX_HEADER_BYTES:
        raise _refuse(f"{WEIGHTS_FILE} is not a safetensors file")
    try:
        tensors = dict(deserialize(content))
    except SafetensorError as error:
        raise _refuse(f"{WEIGHTS_FILE} is not a sound safetensors file") from error
    if not tensors:
        raise _refuse(f"{WEIGHTS_FILE} holds no tensors")
    return tensors


def _check_names(shapes: dict[str, tuple[int, ...]], config: _AdapterConfig) -> None:
    """Each adapted module has both halves, of the rank that the config says."""
    for name, shape in shapes.items():
        module, _, leaf = name.rpartition(".")
        if not module or leaf not in config.leaves:
            raise _refuse(f"{WEIGHTS_FILE} holds the tensor {name[:120]!r}, which is no part of a LoRA adapter")
        if f"{module}.lora_a" not in shapes or f"{module}.lora_b" not in shapes:
            raise _refuse(f"{module[:120]!r} has not both lora_a and lora_b")
        if leaf != "m" and _rank(leaf, shape) != config.rank:
            raise _refuse(f"{name[:120]!r} has the shape {list(shape)}, which is not of rank {config.rank}")


def _rank(leaf: str, shape: tuple[int, ...]) -> int | None:
    """Shapes are (in, rank) and (rank, out); for experts (experts, rank, in) and (experts, out, rank)."""
    match leaf, shape:
        case ("lora_a", (_, rank)) | ("lora_a", (_, rank, _)) | ("lora_b", (rank, _)) | ("lora_b", (_, _, rank)):
            return rank
        case _:
            return None


def _check_numbers(name: str, tensor: dict[str, Any]) -> None:
    if tensor["dtype"] not in _EXPONENTS:
        raise _refuse(f"{name[:120]!r} is of type {tensor['dtype']}; F16, BF16 and F32 can be served")
    word, exponent = _EXPONENTS[tensor["dtype"]]
    words: npt.NDArray[Any] = np.frombuffer(tensor["data"], dtype=word)
    if np.any((words & exponent) == exponent):
        raise _refuse(f"{name[:120]!r} holds numbers that are infinite or not numbers")


def _check_fit(shapes: dict[str, tuple[int, ...]], base_path: Path) -> None:
    """Layers exist, and where the base model has a weight of the same name, inputs and outputs agree.

    mlx-lm renames some weights while loading, so one missing name proves nothing; that no name is found does.
    """
    config = read_json_object(base_path / "config.json")
    base = _base_shapes(base_path)
    modules = {name.rpartition(".")[0] for name in shapes}
    num_layers = config.get("num_hidden_layers")
    for module in sorted(modules):
        layer = _LAYER.search(module)
        if layer and isinstance(num_layers, int) and int(layer[1]) >= num_layers:
            raise _refuse(f"it adapts layer {layer[1]}, and the base model has {num_layers}")
        weight = base.get(f"{module}.weight")
        if weight and len(weight) == 2 and len(shapes[f"{module}.lora_a"]) == 2:
            _check_module(module, shapes, weight, _bits(config, module, is_packed=f"{module}.scales" in base))
    if base and not any(f"{module}.weight" in base for module in modules):
        raise _refuse("none of the modules it adapts is in the base model")


def _check_module(module: str, shapes: dict[str, tuple[int, ...]], weight: tuple[int, ...], bits: int | None) -> None:
    """`weight` is (out, in), with 32 / bits numbers in a word when quantized; an embedding is adapted transposed."""
    inputs = weight[1] if bits is None else weight[1] * 32 // bits
    fits = (shapes[f"{module}.lora_a"][0], shapes[f"{module}.lora_b"][-1])
    expected = (inputs, weight[0])
    if fits not in (expected, expected[::-1]):
        raise _refuse(f"{module[:120]!r} maps {fits[0]} to {fits[1]} numbers, and the base model's {inputs} to {weight[0]}")


def _bits(config: dict[str, Any], module: str, *, is_packed: bool) -> int | None:
    """Bits of a quantized module; None when it is not quantized. A config may give a module its own."""
    quantization = config.get("quantization")
    if not is_packed or not isinstance(quantization, dict):
        return None
    own = quantization.get(module)
    bits = (own if isinstance(own, dict) else quantization).get("bits")
    return bits if isinstance(bits, int) and bits > 0 else None


def _base_shapes(base_path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of all weights, from the headers alone. Raises UnusableModelError."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in base_path.glob("model*.safetensors"):
        try:
            with file.open("rb") as stream:
                (num_bytes,) = struct.unpack("<Q", stream.read(8))
                header = json.loads(stream.read(min(num_bytes, MAX_HEADER_BYTES)))
            shapes.update({name: tuple(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__"})
        except (OSError, struct.error, ValueError, RecursionError, AttributeError, KeyError, TypeError) as error:
            raise UnusableModelError(f"{file.name} is not a safetensors file") from error
    return shapes
