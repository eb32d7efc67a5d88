"""What a trainer found out beside the training: `probe.json` and `evaluation.json`. Needs no MLX: the worker reads them here."""

from pathlib import Path
from typing import TypeVar

import msgspec

PROBE_FILE, EVALUATION_FILE = "probe.json", "evaluation.json"

T = TypeVar("T", bound=msgspec.Struct)


class ProbeReport(msgspec.Struct, frozen=True, kw_only=True):
    """`probe.json`: what real steps on the longest batch took. Seconds are of the last step.

    `device_memory_bytes` is what the GPU, or the machine where there is none, gives to a run.
    """

    peak_memory_bytes: int
    seconds_per_step: float
    num_rows: int
    num_tokens: int
    needs_all_logits: bool
    device_memory_bytes: int


class Score(msgspec.Struct, frozen=True):
    """Mean loss in nats a learned token, and its exponential."""

    loss: float
    perplexity: float


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Greedy answers to one row's prompt. `line` is of the row's file."""

    line: int
    prompt: str
    expected: str
    base: str
    adapter: str


class EvaluationReport(msgspec.Struct, frozen=True, kw_only=True):
    """`evaluation.json`. Without held-out rows the training rows were used, which says less."""

    is_held_out: bool
    num_rows: int
    num_tokens: int
    base: Score
    adapter: Score
    samples: list[Sample]


def read_report(file: Path, shape: type[T]) -> T | None:
    """None when the file is absent or not whole."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=shape)
    except (OSError, msgspec.DecodeError):
        return None
