"""The test models: each loads in mlx-lm, has the caches it stands for, and heeds its whole context."""

import hashlib
import inspect
import itertools
import textwrap
from pathlib import Path

import mlx.core as mx
import model_factory
import pytest
from fixtures.models import ModelMaker
from mlx_lm import load
from mlx_lm.models.cache import make_prompt_cache

CACHES = {
    "qwen3": ["KVCache", "KVCache"],
    "llama": ["KVCache", "KVCache"],
    "gemma3_text": ["RotatingKVCache", "KVCache"],
    "mamba2": ["ArraysCache", "ArraysCache"],
    "qwen3_next": ["ArraysCache", "KVCache"],
}
WEATHER_TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}


def greedy_tokens(folder: Path, prompt: list[int], *, num_tokens: int = 24) -> list[int]:
    model, _ = load(str(folder))
    cache = make_prompt_cache(model)
    tokens, inputs = [], mx.array(prompt)[None]
    for _ in range(num_tokens):
        token = mx.argmax(model(inputs, cache=cache)[0, -1])
        tokens.append(int(token.item()))
        inputs = token[None, None]
    return tokens


def long_prompt(folder: Path, *, num_tokens: int = 200) -> list[int]:
    _, tokenizer = load(str(folder))
    return tokenizer.encode(inspect.getsource(textwrap))[:num_tokens]


@pytest.mark.parametrize("arch", CACHES)
def test_each_architecture_loads_with_its_kind_of_cache(tiny_models: ModelMaker, arch: str) -> None:
    model, _ = load(str(tiny_models(arch)))

    assert [type(layer).__name__ for layer in make_prompt_cache(model)] == CACHES[arch]


@pytest.mark.parametrize("bits", [None, 4, 8])
@pytest.mark.parametrize("arch", CACHES)
def test_one_changed_token_of_the_context_changes_the_output(tiny_models: ModelMaker, arch: str, bits: int | None) -> None:
    folder = tiny_models(arch, bits=bits)
    prompt = long_prompt(folder)
    outputs = [greedy_tokens(folder, prompt)]

    for position in (0, 90, 190):
        changed = list(prompt)
        changed[position] = (changed[position] + 77) % 2000
        outputs.append(greedy_tokens(folder, changed))

    assert len({tuple(output) for output in outputs}) == len(outputs)
    assert len(set(outputs[0])) >= 12


def test_equal_arguments_give_equal_files_and_another_seed_other_weights(tmp_path: Path) -> None:
    digests = []
    for name, seed in (("first", 5), ("second", 5), ("third", 6)):
        model_factory.make_model(tmp_path / name, arch="qwen3_next", seed=seed)
        digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / name).iterdir()})

    assert digests[0] == digests[1]
    assert digests[0]["model.safetensors"] != digests[2]["model.safetensors"]


@pytest.mark.parametrize("arch", CACHES)
def test_quantised_weights_are_smaller_by_their_bits(tiny_models: ModelMaker, arch: str) -> None:
    sizes = {bits: (tiny_models(arch, bits=bits) / "model.safetensors").stat().st_size for bits in (None, 8, 4)}

    assert sizes[8] < sizes[None] * 0.35
    assert sizes[4] < sizes[8] * 0.7


def test_unknown_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown architecture 'rwkv'"):
        model_factory.make_model(tmp_path / "model", arch="rwkv")


def test_template_renders_earlier_turns_as_a_prefix_of_later_ones(tiny_models: ModelMaker) -> None:
    _, tokenizer = load(str(tiny_models()))
    call = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Rome"}}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather in Rome?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "sunny"},
        {"role": "assistant", "content": "It is sunny."},
        {"role": "user", "content": "Thanks"},
    ]

    renderings = [
        tokenizer.apply_chat_template(messages[:end], tools=[WEATHER_TOOL], tokenize=False) for end in range(1, len(messages) + 1)
    ]

    for shorter, longer in itertools.pairwise(renderings):
        assert longer.startswith(shorter)
    assert '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>' in renderings[-1]


def test_tokenizer_is_seen_as_calling_tools_and_thinking_only_when_asked(tiny_models: ModelMaker) -> None:
    _, plain = load(str(tiny_models()))
    _, thinking = load(str(tiny_models(think=True)))

    assert (plain.has_tool_calling, plain.has_thinking) == (True, False)
    assert (thinking.has_tool_calling, thinking.has_thinking) == (True, True)
    assert thinking.tool_parser('{"name": "get_weather", "arguments": {}}') == {"name": "get_weather", "arguments": {}}


def test_thinking_template_drops_thoughts_of_finished_turns(tiny_models: ModelMaker) -> None:
    _, tokenizer = load(str(tiny_models(think=True)))
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "<think>\nA greeting.\n</think>\n\nHi!"},
    ]

    unfinished = tokenizer.apply_chat_template(messages, tokenize=False)
    finished = tokenizer.apply_chat_template([*messages, {"role": "user", "content": "Bye"}], tokenize=False)

    assert "A greeting." in unfinished
    assert "A greeting." not in finished
    assert "<|im_start|>assistant\nHi!<|im_end|>" in finished
