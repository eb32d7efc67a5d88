"""What of a model is trained: LoRA or DoRA layers, or the layers themselves. Uses MLX, so only trainer processes import it."""

from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear
from mlx_lm.tuner.trainer import grad_checkpoint
from mlx_lm.tuner.utils import linear_to_lora_layers

from mlx_hub.core.run_config import TrainingConfig, TrainingError

_LINEAR = (nn.Linear, nn.QuantizedLinear)
_EXPERTS = (SwitchLinear, QuantizedSwitchLinear)


@dataclass(frozen=True, slots=True)
class Adaptation:
    """Layers counted from the top, and the names of the adapted modules within a layer (empty for a full fine-tune)."""

    num_layers: int
    modules: list[str]


def make_trainable(model: nn.Module, config: TrainingConfig) -> Adaptation:
    """Freeze `model` but for what `config` trains; new LoRA weights follow from the seed.

    Raises TrainingError for modules the model lacks, and for what cannot be trained in a quantised model.
    """
    layers: list[Any] = list(model.layers or [])
    num_layers = min(config.num_layers or len(layers), len(layers))
    model.freeze()
    if config.gradient_checkpointing:
        for layer in {type(layer): layer for layer in layers}.values():
            grad_checkpoint(layer)
    if config.fine_tune_type == "full":
        _unfreeze(layers[-num_layers:])
        return Adaptation(num_layers, [])
    modules = _module_names(layers[-num_layers:], config)
    mx.random.seed(config.seed)
    parameters = {"rank": config.lora_rank, "scale": config.lora_scale, "dropout": config.lora_dropout, "keys": modules}
    linear_to_lora_layers(model, num_layers, parameters, use_dora=config.fine_tune_type == "dora")
    return Adaptation(num_layers, modules)


def trainable_weights(model: nn.Module) -> dict[str, mx.array]:
    """The trained arrays by name."""
    return dict(tree_flatten(model.trainable_parameters()))


def _unfreeze(layers: list[Any]) -> None:
    for layer in layers:
        if any(isinstance(module, nn.QuantizedLinear | QuantizedSwitchLinear) for _, module in layer.named_modules()):
            message = "A quantised model cannot be trained in full: choose LoRA, or the unquantised model."
            raise TrainingError("full_needs_unquantised", message)
        layer.unfreeze()


def _module_names(layers: list[Any], config: TrainingConfig) -> list[str]:
    """Adapted modules, relative to a layer, in a fixed order."""
    kinds = _LINEAR if config.fine_tune_type == "dora" else _LINEAR + _EXPERTS
    available = sorted({name for layer in layers for name, module in layer.named_modules() if _is_adaptable(module, kinds)})
    if config.target_modules is None:
        return available
    chosen = [name for name in available if any(_is_named(name, target) for target in config.target_modules)]
    unknown = [target for target in config.target_modules if not any(_is_named(name, target) for name in available)]
    if unknown:
        message = f"The model has no modules {', '.join(unknown)}; it has {', '.join(available)}."
        raise TrainingError("unknown_module", message)
    return chosen


def _is_adaptable(module: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(module, kinds) or (hasattr(module, "to_lora") and kinds != _LINEAR)


def _is_named(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")
