"""The data that both trainers are run on: how long its rows are, how many tokens they hold, and how much padding each adds."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dialogues import log_normal_lengths, write_dialogues
from held_out import read_examples
from mlx_hub.core.batches import PAD_TOKENS
from mlx_hub.core.data_prep import BatchPlan
from mlx_lm.tuner.datasets import CacheDataset, ChatDataset
from mlx_lm.tuner.trainer import iterate_batches
from mlx_lm.utils import load_tokenizer
from trainers import Task

_NUM_HELD_OUT = 16
_SIGMA = 0.9
"""Of the lengths' logarithm: the longest of 50 rows has about eight times the median."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Rows of about `lengths` tokens, learned whole or, with `mask_prompt`, in their answers alone."""

    name: str
    lengths: tuple[int, ...]
    held_out_lengths: tuple[int, ...]
    mask_prompt: bool = False

    def write(self, folder: Path, model: Path) -> None:
        """Make `folder` with `train.jsonl` and `valid.jsonl`, as both trainers read them."""
        folder.mkdir(parents=True)
        write_dialogues(folder / "train.jsonl", model, self.lengths, seed=1)
        write_dialogues(folder / "valid.jsonl", model, self.held_out_lengths, seed=2)


@dataclass(frozen=True, slots=True)
class EpochSize:
    """True tokens of an epoch, counted once by our encoder, and the share of each trainer's positions that are padding."""

    num_tokens: int
    ours_padding: float
    peer_padding: float


def workloads(*, num_rows: int, median_tokens: int, max_seq_length: int) -> list[Workload]:
    """Mixed lengths, the same with masked prompts, and half as many rows of one length."""
    longest = max_seq_length - PAD_TOKENS
    mixed, held_out = (
        tuple(log_normal_lengths(count, median=median_tokens, sigma=_SIGMA, longest=longest, seed=seed))
        for count, seed in ((num_rows, 1), (_NUM_HELD_OUT, 2))
    )
    # Between two widths that both trainers pad to, so that a token more or less in a row changes nothing.
    uniform = median_tokens // PAD_TOKENS * PAD_TOKENS + PAD_TOKENS // 2
    return [
        Workload("mixed lengths", mixed, held_out),
        Workload("mixed lengths, answers only", mixed, held_out, mask_prompt=True),
        Workload("one length", (uniform,) * (num_rows // 2), held_out),
    ]


def epoch_size(task: Task) -> EpochSize:
    """Raises RuntimeError unless an epoch is the task's steps, with every row in it, for both trainers."""
    rows = read_examples(task.model, task.data / "train.jsonl", max_seq_length=task.max_seq_length, mask_prompt=task.mask_prompt)
    lengths = np.array([len(row.tokens) for row in rows])
    if len(lengths) != task.num_steps * task.batch_size:
        raise RuntimeError(f"{len(lengths)} usable rows do not fill {task.num_steps} batches of {task.batch_size}")
    num_tokens = int(lengths.sum())
    ours = BatchPlan(lengths, task.batch_size, 1, task.seed).padding_waste(PAD_TOKENS)
    return EpochSize(num_tokens, ours, 1 - num_tokens / _peer_positions(task))


def _peer_positions(task: Task) -> int:
    """Positions of the batches that mlx-lm's own functions make."""
    rows = [json.loads(line) for line in (task.data / "train.jsonl").read_text().splitlines()]
    dataset = ChatDataset(rows, load_tokenizer(task.model), mask_prompt=task.mask_prompt)
    batches = iterate_batches(CacheDataset(dataset), task.batch_size, task.max_seq_length)
    # A batch has one token more than positions, as the last one is only a target.
    return sum(len(batch) * (batch.shape[1] - 1) for batch, _ in batches)
