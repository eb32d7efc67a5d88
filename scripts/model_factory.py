#!/usr/bin/env python
"""Make small random models that mlx-lm loads, one for each kind of KV cache, without a network.

The weights are random but not arbitrary: every token of the context moves the logits, and greedy
decoding never ends by itself, so a wrong prefix shows in the text. Equal arguments on one Python
give equal files.

    python scripts/model_factory.py OUT --arch qwen3 --size tiny
"""

import argparse
import json
import math
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
from chat_tokenizer import END_OF_TEXT, END_OF_TURN, cached_tokenizer, write_tokenizer
from mlx.utils import tree_flatten
from mlx_lm.utils import _get_classes, quantize_model
from tokenizers import Tokenizer

ARCHITECTURES = ("qwen3", "llama", "gemma3_text", "mamba2", "qwen3_next")
WINDOW_TOKENS = 64
_QUANTISED_ROW = 64  # `quantize_model` wants last dimensions that a group divides.


class Size(NamedTuple):
    """Dimensions of a model; `heads` and `kv_heads` are of width `head_dim`.

    `model_vocab_size`, when it is more than the tokenizer's, gives the output layer the cost of a real model's.
    """

    hidden: int
    layers: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab_size: int
    model_vocab_size: int = 0
    dtype: str = "float32"


SIZES = {
    "tiny": Size(64, 2, 128, 4, 2, 32, 2048),
    "bench": Size(512, 8, 1536, 8, 4, 64, 4096),
    # The shapes of Llama 3.2 1B, Qwen2.5 3B and Qwen2.5 7B: for GPUs, with --bits 4.
    "1b": Size(2048, 16, 8192, 32, 8, 64, 4096, 128_256, "bfloat16"),
    "3b": Size(2048, 36, 11008, 16, 2, 128, 4096, 151_936, "bfloat16"),
    "7b": Size(3584, 28, 18944, 28, 4, 128, 4096, 152_064, "bfloat16"),
}


def make_model(
    out: Path,
    *,
    arch: str,
    size: str = "tiny",
    seed: int = 0,
    bits: int | None = None,
    group_size: int = 64,
    think: bool = False,
    max_position_embeddings: int = 32768,
) -> None:
    """Write a random model folder to `out`, replacing it, perhaps quantised to `bits` (4 or 8)."""
    dimensions = SIZES[size]
    tokenizer = cached_tokenizer(dimensions.vocab_size, think=think)
    config = model_config(arch, dimensions, tokenizer, max_position_embeddings=max_position_embeddings)
    mx.random.seed(seed)
    model = build_model(config)
    _make_context_count(model, tokenizer)
    if bits is not None:
        model, config = quantize_model(model, config, group_size, bits)
    shutil.rmtree(out, ignore_errors=True)
    write_model(out, model, config, tokenizer, think=think)


def model_config(arch: str, size: Size, tokenizer: Tokenizer, *, max_position_embeddings: int) -> dict[str, Any]:
    """The `config.json` of architecture `arch`. Raises ValueError for one that is not in ARCHITECTURES."""
    if arch not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {arch!r}; known: {', '.join(ARCHITECTURES)}")
    common = {
        "model_type": arch,
        "hidden_size": size.hidden,
        "num_hidden_layers": size.layers,
        "intermediate_size": size.intermediate,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "head_dim": size.head_dim,
        "rms_norm_eps": 1e-6,
        "vocab_size": max(size.model_vocab_size, -(-tokenizer.get_vocab_size() // _QUANTISED_ROW) * _QUANTISED_ROW),
        "max_position_embeddings": max_position_embeddings,
        "rope_theta": 1e6,
        # An untied output layer: with a tied one a random model repeats the last token of its input.
        "tie_word_embeddings": False,
        "eos_token_id": tokenizer.token_to_id(END_OF_TURN),
        "bos_token_id": None,
        "torch_dtype": size.dtype,
    }
    return common | _architecture_config(arch, size)


def _architecture_config(arch: str, size: Size) -> dict[str, Any]:
    configs: dict[str, dict[str, Any]] = {
        "qwen3": {"architectures": ["Qwen3ForCausalLM"]},
        "llama": {"architectures": ["LlamaForCausalLM"], "attention_bias": False, "mlp_bias": False},
        "gemma3_text": {
            "architectures": ["Gemma3ForCausalLM"],
            "sliding_window": WINDOW_TOKENS,
            "sliding_window_pattern": 2,
            "query_pre_attn_scalar": size.head_dim,
            "rope_local_base_freq": 1e4,
        },
        "mamba2": {
            "architectures": ["Mamba2ForCausalLM"],
            "num_heads": 8,
            "head_dim": size.intermediate // 8,
            "state_size": 16,
            "layer_norm_epsilon": 1e-5,
            "conv_kernel": 4,
            "n_groups": 1,
            "use_bias": False,
            "use_conv_bias": True,
            "time_step_limit": [0.0, 1e9],
            "time_step_rank": 8,
        },
        "qwen3_next": {
            "architectures": ["Qwen3NextForCausalLM"],
            "full_attention_interval": 2,
            "linear_num_value_heads": 4,
            "linear_num_key_heads": 2,
            "linear_key_head_dim": 32,
            "linear_value_head_dim": 32,
            "linear_conv_kernel_dim": 4,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "decoder_sparse_step": 1,
            "moe_intermediate_size": 64,
            "shared_expert_intermediate_size": 64,
            "mlp_only_layers": [],
            "partial_rotary_factor": 0.25,
            "norm_topk_prob": True,
        },
    }
    return configs[arch]


def build_model(config: dict[str, Any]) -> nn.Module:
    """The mlx-lm model of `config` with its default random weights, drawn from MLX's current seed."""
    model_class, args_class = _get_classes(config)
    model = model_class(args_class.from_dict(config))
    model.set_dtype(getattr(mx, config["torch_dtype"]))
    mx.eval(model.parameters())
    return model


def _make_context_count(model: nn.Module, tokenizer: Tokenizer) -> None:
    """Replace the weights whose defaults let a random model forget its context or end its turn.

    The factors were found by changing one token of 200 and asking that the next 24 greedy tokens change.
    """
    replaced: list[tuple[str, mx.array]] = []
    for name, weight in tree_flatten(model.parameters()):
        if name.endswith(("q_norm.weight", "q_proj.weight")):
            replaced.append((name, weight * 8))
        elif name.endswith(("v_proj.weight", "o_proj.weight")):
            replaced.append((name, weight * 3))
        elif name.endswith(".A_log"):
            replaced.append((name, weight + math.log(0.001)))
        elif name.endswith(".dt_bias"):
            replaced.append((name, mx.zeros_like(weight)))
        elif name == "lm_head.weight":
            weight[mx.array(_end_tokens(tokenizer))] = 0
            weight[tokenizer.get_vocab_size() :] = 0
            replaced.append((name, weight))
    model.load_weights(replaced, strict=False)


def _end_tokens(tokenizer: Tokenizer) -> list[int]:
    return [tokenizer.token_to_id(END_OF_TURN), tokenizer.token_to_id(END_OF_TEXT)]


def write_model(out: Path, model: nn.Module, config: dict[str, Any], tokenizer: Tokenizer, *, think: bool = False) -> None:
    """Write config, weights and tokenizer to the folder `out`; other files in it stay."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (out / "generation_config.json").write_text(json.dumps({"eos_token_id": _end_tokens(tokenizer)}) + "\n")
    write_tokenizer(out, tokenizer, think=think, max_tokens=config["max_position_embeddings"])
    mx.save_safetensors(str(out / "model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "mlx"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write; replaced if it exists")
    parser.add_argument("--arch", choices=ARCHITECTURES, default="qwen3")
    parser.add_argument("--size", choices=sorted(SIZES), default="tiny")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bits", type=int, choices=(4, 8), help="quantise")
    parser.add_argument("--group-size", type=int, choices=(32, 64), default=64)
    parser.add_argument("--think", action="store_true", help="vocabulary and template of a thinking model")
    parser.add_argument("--max-position-embeddings", type=int, default=32768)
    options = parser.parse_args()
    make_model(
        options.out,
        arch=options.arch,
        size=options.size,
        seed=options.seed,
        bits=options.bits,
        group_size=options.group_size,
        think=options.think,
        max_position_embeddings=options.max_position_embeddings,
    )
    print(options.out)


if __name__ == "__main__":
    main()
