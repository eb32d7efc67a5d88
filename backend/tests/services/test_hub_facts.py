"""Sizes, quantisation and memory from what the hub tells; wrong types count as absent."""

import pytest
from mlx_hub.services.hub_facts import Fit, Quantization, count_parameters, find_quantization, fit, kv_cache_bytes

LLAMA_8B = {"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096}


def test_the_kv_cache_of_a_known_model() -> None:
    # 2 (keys and values) x 32 layers x 8 heads x 128 values x 2 bytes = 128 KiB for each token.
    assert kv_cache_bytes(LLAMA_8B, 4096) == 512 * 2**20


def test_latent_attention_keeps_one_vector_for_all_heads() -> None:
    config = LLAMA_8B | {"kv_lora_rank": 512, "qk_rope_head_dim": 64}

    assert kv_cache_bytes(config, 1000) == 32 * 1000 * 576 * 2


def test_a_nested_text_config_counts() -> None:
    assert kv_cache_bytes({"text_config": LLAMA_8B}) == kv_cache_bytes(LLAMA_8B)


@pytest.mark.parametrize(
    "config", [{}, LLAMA_8B | {"num_hidden_layers": "32"}, {"text_config": 5}, LLAMA_8B | {"hidden_size": -1}]
)
def test_a_config_that_says_too_little_has_no_estimate(config: dict[str, object]) -> None:
    assert kv_cache_bytes(config) is None


@pytest.mark.parametrize(
    ("repo_id", "tags", "config", "expected"),
    [
        ("a/b", [], {"quantization": {"bits": 8, "group_size": 32}}, Quantization(8, 32)),
        ("a/b-4bit", [], {"quantization": {"bits": 6, "group_size": 64}}, Quantization(6, 64)),
        ("a/b", ["mlx", "4-bit"], {}, Quantization(4)),
        ("a/Model-7B-Instruct-3bit", [], {}, Quantization(3)),
        ("a/Model-bf16", [], {}, None),
        ("a/Model-16bit", [], {}, None),
        ("a/8bitter", [], {"quantization": "4"}, None),
    ],
)
def test_quantization_is_found(repo_id: str, tags: list[str], config: dict[str, object], expected: object) -> None:
    assert find_quantization(repo_id, tags, config) == expected


def test_parameters_are_those_before_packing() -> None:
    # A matrix of 64 x 128 at 4 bits: 8 values in each U32, a scale and a bias for each group of 64; and 100 norms.
    info = {"safetensors": {"parameters": {"U32": 64 * 128 // 8, "BF16": 2 * 64 * 128 // 64 + 100}, "total": 1}}

    assert count_parameters(info, Quantization(4, 64)) == 64 * 128 + 100


@pytest.mark.parametrize(("share", "expected"), [(0.2, Fit.YES), (0.6, Fit.YES), (0.7, Fit.TIGHT), (0.76, Fit.NO), (3, Fit.NO)])
def test_fit_has_three_answers(share: float, expected: Fit) -> None:
    assert fit(int(share * 10**10), 10**10) == expected
