#!/usr/bin/env python
"""Train the demo chat model that the inference server carries, from nothing but Python's own texts.

    OPENBLAS_NUM_THREADS=1 LD_PRELOAD=libopenblas.so.0 python scripts/demo_model.py OUT

Takes about six minutes on two cores. Prints its progress, then how many answers are exact, and
writes them to OUT/evaluation.json. The result is committed; nothing trains it at build or test time.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from chat_tokenizer import train_tokenizer
from demo_dialogues import (
    ANSWERS,
    CITIES,
    LAST_NUMBER,
    WORDS,
    Dialogue,
    DialogueSampler,
    count_to,
    question_and_answer,
    tool_call,
    weather_tool,
)
from mlx.utils import tree_flatten
from mlx_lm import load
from mlx_lm.tokenizer_utils import TokenizerWrapper
from model_factory import Size, build_model, model_config, write_model

SIZE = Size(hidden=128, layers=2, intermediate=256, heads=4, kv_heads=2, head_dim=32, vocab_size=1100)
MAX_CONTEXT_TOKENS = 8192
_BATCH_TOKENS = 2304
_POOL_BATCHES = 16
_PEAK_LEARNING_RATE = 3e-3
_NOISE_STAGES = ((0.45, 2), (0.75, 12), (1.0, 48))
"""Share of the steps done, and lines of noise around a codeword until then. Looking for the codeword is learned among little
noise; with much from the start the model never learns to look at all."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a conversation, and for each whether it belongs to an answer (its end mark included)."""

    tokens: np.ndarray
    is_answer: np.ndarray


class Encoder:
    """Renders conversations with the model's own template and marks the answers."""

    def __init__(self, tokenizer: TokenizerWrapper) -> None:
        self._tokenizer = tokenizer
        self._answer_start = tokenizer.encode("<|im_start|>assistant\n")
        self._answer_end = tokenizer.encode("<|im_end|>")[0]

    def encode(self, dialogue: Dialogue) -> Encoded:
        tokens = self._tokenizer.apply_chat_template(dialogue.messages, tools=dialogue.tools, tokenize=True)
        is_answer = np.zeros(len(tokens), bool)
        width = len(self._answer_start)
        for start in range(len(tokens) - width):
            if tokens[start : start + width] == self._answer_start:
                first = start + width
                is_answer[first : tokens.index(self._answer_end, first) + 1] = True
        return Encoded(np.array(tokens, np.int32), is_answer)


def untrained_model(out: Path, seed: int) -> tuple[nn.Module, TokenizerWrapper]:
    """Write the model with random weights to `out` and load it."""
    sampler = DialogueSampler(seed)
    dialogues = [sampler.sample(max_noise_lines=2) for _ in range(12_000)]
    texts = [" ".join(message["content"] for message in dialogue.messages) for dialogue in dialogues]
    tokenizer = train_tokenizer(SIZE.vocab_size, extra_texts=texts)
    config = model_config("qwen3", SIZE, tokenizer, max_position_embeddings=MAX_CONTEXT_TOKENS)
    config["tie_word_embeddings"] = True
    mx.random.seed(seed)
    write_model(out, build_model(config), config, tokenizer)
    model, wrapper, *_ = load(str(out))
    return model, wrapper


def batches(encoder: Encoder, sampler: DialogueSampler, *, num_steps: int, seed: int) -> Iterator[list[Encoded]]:
    """Batches of about `_BATCH_TOKENS` tokens of similar length, in the stages of `_NOISE_STAGES`."""
    order = np.random.default_rng(seed)
    step = 0
    while step < num_steps:
        max_noise_lines = next(lines for share, lines in _NOISE_STAGES if step < share * num_steps)
        pool: list[Encoded] = []
        while sum(len(item.tokens) for item in pool) < _BATCH_TOKENS * _POOL_BATCHES:
            pool.append(encoder.encode(sampler.sample(max_noise_lines=max_noise_lines)))
        pool.sort(key=lambda item: len(item.tokens))
        cut = cut_by_tokens(pool)
        for index in order.permutation(len(cut))[: num_steps - step]:
            yield cut[index]
            step += 1


def cut_by_tokens(items: list[Encoded]) -> list[list[Encoded]]:
    """Cut `items`, sorted by length, so that each part padded to its longest holds at most `_BATCH_TOKENS` tokens."""
    parts: list[list[Encoded]] = [[]]
    for item in items:
        if (len(parts[-1]) + 1) * len(item.tokens) > _BATCH_TOKENS and parts[-1]:
            parts.append([])
        parts[-1].append(item)
    return parts


def padded(batch: list[Encoded]) -> tuple[mx.array, mx.array, mx.array]:
    """Inputs (batch, tokens), and flat positions in them of the tokens before each answer token, with that token."""
    width = -(-max(len(item.tokens) for item in batch) // 32) * 32
    tokens = np.zeros((len(batch), width + 1), np.int32)
    learn = np.zeros((len(batch), width), bool)
    for row, item in enumerate(batch):
        tokens[row, : len(item.tokens)] = item.tokens
        learn[row, : len(item.tokens) - 1] = item.is_answer[1:]
    positions = np.flatnonzero(learn)
    return mx.array(tokens[:, :-1]), mx.array(positions), mx.array(tokens[:, 1:].reshape(-1)[positions])


def answer_logits(model: nn.Module, inputs: mx.array, positions: mx.array) -> mx.array:
    """Logits at the answer positions only: the softmax over the vocabulary is the dearest part of a step on CPU."""
    hidden = model.model(inputs)
    return model.model.embed_tokens.as_linear(hidden.reshape(-1, hidden.shape[-1])[positions])


def answer_loss(model: nn.Module, inputs: mx.array, positions: mx.array, targets: mx.array) -> mx.array:
    return nn.losses.cross_entropy(answer_logits(model, inputs, positions), targets, reduction="mean")


def train(model: nn.Module, encoder: Encoder, *, num_steps: int, seed: int) -> None:
    """Fit the model to freshly drawn conversations: warm-up over 5 % of the steps, then linear decay."""
    optimizer = optim.AdamW(learning_rate=_PEAK_LEARNING_RATE, weight_decay=0.01)
    loss_and_gradients = nn.value_and_grad(model, answer_loss)
    start, smooth_loss = time.perf_counter(), None
    model.train()
    for step, batch in enumerate(batches(encoder, DialogueSampler(seed + 1), num_steps=num_steps, seed=seed)):
        done = step / num_steps
        optimizer.learning_rate = _PEAK_LEARNING_RATE * min(1.0, done * 20) * max(0.02, 1 - done)
        loss, gradients = loss_and_gradients(model, *padded(batch))
        gradients, _ = optim.clip_grad_norm(gradients, 1.0)
        optimizer.update(model, gradients)
        mx.eval(model.state, optimizer.state, loss)
        smooth_loss = loss.item() if smooth_loss is None else 0.95 * smooth_loss + 0.05 * loss.item()
        if step % 25 == 24:
            print(f"step {step + 1}/{num_steps}  {time.perf_counter() - start:.0f} s  loss {smooth_loss:.4f}", flush=True)
    model.eval()


def exact_answers(model: nn.Module, encoded: Encoded) -> list[bool]:
    """For each answer, whether greedy decoding gives exactly it when the turns before went as written.

    One forward pass decides: the answer is exact when each of its tokens is the likeliest after the ones before.
    """
    inputs, positions, targets = padded([encoded])
    right = np.array(mx.argmax(answer_logits(model, inputs, positions), axis=-1) == targets)
    places = np.array(positions)
    starts = np.flatnonzero(np.diff(places, prepend=-2) > 1)
    return [bool(part.all()) for part in np.split(right, starts[1:])]


def evaluate(model: nn.Module, encoder: Encoder, *, seed: int) -> dict[str, object]:
    """Shares of exact answers on unseen conversations, by task, and the values that were not always right."""
    sampler = DialogueSampler(seed + 2)
    fresh = [exact for _ in range(400) for exact in exact_answers(model, encoder.encode(sampler.sample(max_noise_lines=12)))]
    results: dict[str, dict[str, bool]] = defaultdict(dict)

    def probe(task: str, value: str, dialogue: Dialogue) -> None:
        results[task][value] = exact_answers(model, encoder.encode(dialogue))[-1]

    for question, answer in ANSWERS.items():
        probe("questions", question, question_and_answer(question, answer))
    probe("count", str(LAST_NUMBER), question_and_answer(f"Count to {LAST_NUMBER}", count_to(LAST_NUMBER)))
    for word in WORDS:
        probe("repeat", word, question_and_answer(f"Repeat: {word}", word))
        for num_lines in (0, 5, 12, 40, 80):
            probe(f"codeword among {num_lines} lines", word, sampler.codeword_probe(word, num_noise_lines=num_lines))
    for city in CITIES:
        question = f"What is the weather in {city}?"
        probe("weather", city, question_and_answer(question, tool_call(city), tools=[weather_tool()]))
    misses = {task: sorted(value for value, is_right in values.items() if not is_right) for task, values in results.items()}
    return {
        "fresh_conversations": {"answers": len(fresh), "exact": round(float(np.mean(fresh)), 4)},
        "exact_by_task": {task: round(float(np.mean(list(values.values()))), 4) for task, values in results.items()},
        "misses": {task: values for task, values in misses.items() if values},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write; files of a model in it are replaced")
    parser.add_argument("--steps", type=int, default=1700)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model, tokenizer = untrained_model(options.out, options.seed)
    encoder = Encoder(tokenizer)
    train(model, encoder, num_steps=options.steps, seed=options.seed)
    mx.save_safetensors(str(options.out / "model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "mlx"})
    evaluation = evaluate(model, encoder, seed=options.seed)
    (options.out / "evaluation.json").write_text(json.dumps(evaluation, indent=2) + "\n")
    print(json.dumps(evaluation, indent=2))


if __name__ == "__main__":
    main()
