"""An adapter put into its base model's weights, and proof that the result answers as both did. Uses MLX."""

import gc
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import msgspec
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.utils import dequantize_model

from mlx_hub.core.adapter_export import describe_export, finish_export, make_part
from mlx_hub.core.adapters import read_adapter
from mlx_hub.core.data_prep import Row
from mlx_hub.core.evaluate import load_adapter
from mlx_hub.core.logit_check import NUM_TOKENS, compare_logits, logits
from mlx_hub.core.model_card import fused_card
from mlx_hub.core.model_files import ModelFiles, read_model_files
from mlx_hub.core.model_loader import load_model_folder
from mlx_hub.core.model_writer import read_config, write_model
from mlx_hub.core.reference_text import REFERENCE_PARAGRAPHS
from mlx_hub.core.run_config import TrainingError
from mlx_hub.core.tokens import EncodedRow, TokenEncoder
from mlx_hub.core.tool import Tool
from mlx_hub.core.tool_files import FuseSpec

_QUANTISATION_KEYS = ("quantization", "quantization_config")


def fuse(spec: FuseSpec, tool: Tool) -> dict[str, Any]:
    """Make the folder `spec.output_path`, which appears when it is whole and checked; what it returns describes it.

    A quantised base is dequantised: quantising the sum again would lose most of the adapter. Raises TrainingError.
    """
    output = Path(spec.output_path)
    files = read_model_files(Path(spec.model_path))
    read_adapter(Path(spec.adapter_path))
    tool.begin("loading", 0.0)
    tokens = _sample_tokens(files)
    model = load_model_folder(files.path)
    tool.begin("comparing", 0.2)
    base = logits(model, tokens)
    load_adapter(model, Path(spec.adapter_path))
    expected = logits(model, tokens)
    tool.begin("fusing", 0.4)
    config = read_config(files.path)
    model = fuse_adapter(model)
    if files.quantization is not None:
        model = _dequantise(model, config)
    part = make_part(output)
    tool.begin("writing", 0.45)
    write_model(part, model, config, source=files.path, report=tool.part(0.45, 0.8).report)
    del model
    gc.collect()
    mx.clear_cache()
    tool.begin("verifying", 0.8)
    # What is compared is the folder on the disk, read as a user will.
    check = msgspec.to_builtins(compare_logits(logits(load_model_folder(part), tokens), expected, base=base))
    tool.begin("publishing", 0.95)
    manifest = finish_export(part, output, spec.lineage, card=fused_card(spec.lineage, check))
    return {**describe_export(manifest), "is_dequantised": files.quantization is not None, "check": check}


def fuse_adapter(model: nn.Module) -> nn.Module:
    """Replace each adapted layer by a plain one with the sum of its weights, in the type of the base's weights."""
    fused: list[tuple[str, nn.Module]] = []
    for name, module in model.named_modules():
        if hasattr(module, "fuse"):
            plain = module.fuse(dequantize=True)
            plain.weight = plain.weight.astype(_weight_type(module))
            fused.append((name, plain))
    if fused:
        model.update_modules(tree_unflatten(fused))
    left = [name for name, _ in tree_flatten(model.parameters()) if name.rpartition(".")[2] in {"lora_a", "lora_b"}]
    if left:
        raise TrainingError("cannot_fuse", f"The adapter's {left[0]} is of a kind that cannot be fused; export it as adapter.")
    return model


def _weight_type(module: Any) -> mx.Dtype:
    """The type of the layer below an adapted one; a quantised one computes in that of its scales."""
    layer = getattr(module, "linear", None) or module.embedding
    return layer.scales.dtype if "scales" in layer else layer.weight.dtype


def _dequantise(model: nn.Module, config: dict[str, Any]) -> nn.Module:
    for settings in (config, config.get("text_config") or {}):
        for key in _QUANTISATION_KEYS:
            settings.pop(key, None)
    model = dequantize_model(model)
    left = [name for name, _ in tree_flatten(model.parameters()) if name.endswith(".scales")]
    if left:
        message = f"The base model's {left[0]} is quantised in a way that cannot be undone; fuse into an unquantised base."
        raise TrainingError("cannot_dequantise", message)
    return model


def _sample_tokens(files: ModelFiles) -> np.ndarray:
    encoder = TokenEncoder(files, max_seq_length=NUM_TOKENS, mask_prompt=False)
    (encoded,) = encoder.encode([Row(1, text="\n\n".join(REFERENCE_PARAGRAPHS))])
    if not isinstance(encoded, EncodedRow):
        raise TrainingError("bad_tokenizer", f"The model cannot be tried: {encoded.message}")
    return encoded.tokens
