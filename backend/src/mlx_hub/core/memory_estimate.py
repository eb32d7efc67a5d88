"""How much memory a run will need, from the model's headers and the settings, before anything is loaded.

The formula is for planning; the trainer's `--probe` measures. Buffers that are freed and kept for reuse come on top.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from mlx_hub.core.batches import MAX_LOGITS_BYTES
from mlx_hub.core.model_files import ModelFiles, TensorInfo
from mlx_hub.core.run_config import TrainingConfig

_LAYER = re.compile(r"\blayers\.(\d+)\.(.+)$")
_OPTIMIZER_COPIES = {"adam": 2.0, "adamw": 2.0, "sgd": 1.0, "muon": 1.0, "lion": 1.0, "adafactor": 0.05}
_ADAPTER_VALUE_BYTES = 4
"""LoRA weights are float32 whatever the base is."""
# Found by measuring peaks of qwen3 models with 2 to 8 layers and 64 to 640 tokens on MLX's CPU build; compiled steps need less.
_LOGITS_COPIES = 5
_PARTS_AT_ONCE = 3
"""MLX allocates ahead of what it has computed, so logits of several parts lie in memory together."""
_ACTIVATION_COPIES = 1.5
_SCORE_COPIES = 2
_HALF_BYTES, _FULL_BYTES = 2, 4


class MemoryEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """Peak bytes by purpose, for batches of the longest rows. `num_trained_values` counts the trained numbers."""

    weights_bytes: int
    adapter_bytes: int
    optimizer_bytes: int
    gradient_bytes: int
    activation_bytes: int
    logits_bytes: int
    num_trained_values: int

    @property
    def total_bytes(self) -> int:
        return (
            self.weights_bytes
            + self.adapter_bytes
            + self.optimizer_bytes
            + self.gradient_bytes
            + self.activation_bytes
            + self.logits_bytes
        )


@dataclass(frozen=True, slots=True)
class _Linear:
    """A linear layer, or `num_experts` of one shape."""

    layer: int
    name: str
    inputs: int
    outputs: int
    num_experts: int


def estimate_memory(model: ModelFiles, config: TrainingConfig, *, num_tokens: int) -> MemoryEstimate:
    """Estimate for rows of at most `num_tokens` tokens, before truncation to the configured length."""
    width = min(num_tokens, config.max_seq_length)
    linears = list(_linears(model))
    is_full = config.fine_tune_type == "full"
    num_values = _num_layer_values(model, config) if is_full else _num_adapter_values(linears, config)
    value_bytes = _value_bytes(model) if is_full else _ADAPTER_VALUE_BYTES
    trained_bytes = num_values * value_bytes
    gradient_copies = 2 if config.gradient_accumulation > 1 else 1
    return MemoryEstimate(
        weights_bytes=model.weights_bytes,
        adapter_bytes=0 if is_full else trained_bytes,
        optimizer_bytes=int(trained_bytes * _OPTIMIZER_COPIES[config.optimizer]),
        gradient_bytes=trained_bytes * gradient_copies,
        activation_bytes=_activation_bytes(model, config, linears, width),
        logits_bytes=_logits_bytes(model, config, width),
        num_trained_values=num_values,
    )


def _activation_bytes(model: ModelFiles, config: TrainingConfig, linears: list[_Linear], width: int) -> int:
    """What the backward pass needs: for each layer its linear layers' inputs and outputs, norms, and attention scores."""
    hidden = int(model.config.get("hidden_size", 0))
    num_layers = len({linear.layer for linear in linears}) or 1
    experts = int(model.config.get("num_experts_per_tok") or 1)
    through = sum((item.inputs + item.outputs) * (experts if item.num_experts > 1 else 1) for item in linears) // num_layers
    heads = int(model.config.get("num_attention_heads") or 0)
    token_values = int(_ACTIVATION_COPIES * (through + 4 * hidden)) + _SCORE_COPIES * heads * width
    layer_values = config.batch_size * width * token_values
    boundary_values = config.batch_size * width * hidden
    if config.gradient_checkpointing:
        return (layer_values + num_layers * boundary_values) * _value_bytes(model)
    return layer_values * num_layers * _value_bytes(model)


def _logits_bytes(model: ModelFiles, config: TrainingConfig, width: int) -> int:
    """The trainer computes logits in parts once they exceed a bound."""
    whole = config.batch_size * width * (model.vocab_size or 0) * _FULL_BYTES
    return min(whole, _PARTS_AT_ONCE * MAX_LOGITS_BYTES) * _LOGITS_COPIES


def _num_adapter_values(linears: list[_Linear], config: TrainingConfig) -> int:
    chosen = [item for item in _in_top_layers(linears, config) if _is_target(item.name, config)]
    magnitudes = sum(item.outputs for item in chosen) if config.fine_tune_type == "dora" else 0
    return magnitudes + sum(config.lora_rank * (item.inputs + item.outputs) * item.num_experts for item in chosen)


def _in_top_layers(linears: list[_Linear], config: TrainingConfig) -> list[_Linear]:
    num_layers = max((item.layer for item in linears), default=-1) + 1
    first = num_layers - min(config.num_layers or num_layers, num_layers)
    return [item for item in linears if item.layer >= first]


def _is_target(name: str, config: TrainingConfig) -> bool:
    targets = config.target_modules
    return targets is None or any(name == target or name.endswith(f".{target}") for target in targets)


def _num_layer_values(model: ModelFiles, config: TrainingConfig) -> int:
    sizes: dict[int, int] = {}
    for name, tensor in model.tensors.items():
        if found := _LAYER.search(name):
            layer = int(found[1])
            sizes[layer] = sizes.get(layer, 0) + tensor.num_values
    top = sorted(sizes)[-(config.num_layers or len(sizes)) :]
    return sum(sizes[layer] for layer in top)


def _linears(model: ModelFiles) -> Iterator[_Linear]:
    for name, tensor in model.tensors.items():
        found = _LAYER.search(name)
        if not found or not name.endswith(".weight") or len(tensor.shape) not in (2, 3) or "conv" in name:
            continue
        num_experts = tensor.shape[0] if len(tensor.shape) == 3 else 1
        inputs = _num_inputs(model, name.removesuffix(".weight"), tensor)
        yield _Linear(int(found[1]), found[2].removesuffix(".weight"), inputs, tensor.shape[-2], num_experts)


def _num_inputs(model: ModelFiles, module: str, weight: TensorInfo) -> int:
    """A quantised matrix packs its inputs; its scales have one column for each group of them."""
    scales = model.tensors.get(f"{module}.scales")
    if scales is None or not model.quantization:
        return weight.shape[-1]
    settings = model.quantization.get(module)
    group_size = (settings if isinstance(settings, dict) else model.quantization).get("group_size", 64)
    return scales.shape[-1] * group_size


def _value_bytes(model: ModelFiles) -> int:
    """Of activations: those of unquantised tensors, norms for example."""
    types = {tensor.dtype for tensor in model.tensors.values()}
    return _HALF_BYTES if types & {"BF16", "F16"} else _FULL_BYTES
