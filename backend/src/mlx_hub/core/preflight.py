"""What a run would do, before it is started: unusable rows with their lines, lengths, steps, and memory.

It reads and encodes the dataset, which takes minutes for a large one unless the time is limited, and runs the model's chat
template: call it in a process of its own. Needs no MLX.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from mlx_hub.core.batches import PAD_TOKENS
from mlx_hub.core.data_prep import BatchPlan, Problem
from mlx_hub.core.examples import MAX_PROBLEMS, EnoughRowsError, Examples, prepare_examples, refuse_unusable
from mlx_hub.core.memory_estimate import MemoryEstimate, estimate_memory
from mlx_hub.core.model_files import ModelFiles, read_model_files
from mlx_hub.core.run_config import RunSpec, TrainingConfig, TrainingError
from mlx_hub.core.tokens import EncodedRow, TokenEncoder

_MAX_DROPPED_SHARE = 0.5
"""Who loses more rows than that has the wrong dataset or the wrong model."""
_MAX_NAMED_LINES = 10
_MEANINGS = {
    "truncated": "longer than max_seq_length, cut at the end",
    "duplicate": "the same as an earlier row",
    "empty_mask": "no answer to learn within max_seq_length, left out",
    "template_error": "refused by the model's chat template, left out",
}


class RunWarning(msgspec.Struct, frozen=True, kw_only=True):
    """Something to look at before the run; `lines` are the first it is about."""

    code: str
    message: str
    count: int
    lines: list[int]


class LengthStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of the usable rows before truncation, and of how many the loss is taken."""

    p50: int = 0
    p95: int = 0
    p99: int = 0
    max: int = 0
    total: int = 0
    learned: int = 0


class PreflightReport(msgspec.Struct, frozen=True, kw_only=True):
    """`refusal` says why the run cannot start; `problems` holds the first of those counted, in the order of lines.

    When `is_partial`, the time was over before the rows were: all counts are of the rows read.
    """

    refusal_code: str | None
    refusal: str | None
    is_partial: bool
    warnings: list[RunWarning]
    num_rows: int
    num_train_rows: int
    num_held_out_rows: int
    num_dropped_rows: int
    num_truncated_rows: int
    problem_counts: dict[str, int]
    problems: list[Problem]
    lengths: LengthStatistics
    padding_waste: float
    steps_per_epoch: int
    num_steps: int
    memory: MemoryEstimate
    total_memory_bytes: int


def run_preflight(spec: RunSpec, max_seconds: float | None = None) -> PreflightReport:
    """Report on a run, after `max_seconds` on the rows read by then.

    Raises TrainingError for a model, tokenizer or dataset that cannot be read at all.
    """
    model = read_model_files(Path(spec.model_path))
    config = spec.config
    encoder = TokenEncoder(model, max_seq_length=config.max_seq_length, mask_prompt=config.mask_prompt)
    examples = prepare_examples(spec, encoder, check=_until(max_seconds))
    _note_duplicates(examples)
    return _report(model, config, examples, _refusal(examples))


def _report(model: ModelFiles, config: TrainingConfig, examples: Examples, refusal: TrainingError | None) -> PreflightReport:
    plan = BatchPlan(examples.train_lengths(), config.batch_size, config.gradient_accumulation, config.seed)
    lengths = length_statistics([*examples.train, *examples.held_out])
    memory = estimate_memory(model, config, num_tokens=lengths.max)
    return PreflightReport(
        refusal_code=refusal.code if refusal else None,
        refusal=refusal.message if refusal else None,
        is_partial=examples.is_partial,
        warnings=_warnings(examples),
        num_rows=examples.num_rows,
        num_train_rows=len(examples.train),
        num_held_out_rows=len(examples.held_out),
        num_dropped_rows=examples.num_dropped,
        num_truncated_rows=examples.num_truncated,
        problem_counts=dict(examples.problem_counts),
        problems=sorted(examples.problems, key=lambda problem: (problem.file_index, problem.line))[:MAX_PROBLEMS],
        lengths=lengths,
        padding_waste=plan.padding_waste(PAD_TOKENS),
        steps_per_epoch=plan.steps_per_epoch,
        num_steps=config.steps or config.epochs * plan.steps_per_epoch,
        memory=memory,
        total_memory_bytes=memory.total_bytes,
    )


def length_statistics(rows: Sequence[EncodedRow]) -> LengthStatistics:
    """Nearest-rank percentiles of the rows' whole lengths."""
    if not rows:
        return LengthStatistics()
    lengths = np.array([len(row.tokens) + row.num_cut for row in rows])
    p50, p95, p99 = (int(value) for value in np.percentile(lengths, [50, 95, 99], method="inverted_cdf"))
    learned = sum(row.num_learned for row in rows)
    return LengthStatistics(p50=p50, p95=p95, p99=p99, max=int(lengths.max()), total=int(lengths.sum()), learned=learned)


def _until(max_seconds: float | None) -> Callable[[], None]:
    """A check that lets the first rows pass in any case."""
    deadline = float("inf") if max_seconds is None else time.monotonic() + max_seconds
    num_checks = 0

    def check() -> None:
        nonlocal num_checks
        num_checks += 1
        if num_checks > 1 and time.monotonic() > deadline:
            raise EnoughRowsError

    return check


def _refusal(examples: Examples) -> TrainingError | None:
    try:
        refuse_unusable(examples)
    except TrainingError as error:
        return error
    if examples.num_dropped > examples.num_rows * _MAX_DROPPED_SHARE:
        lines = sorted(problem.line for problem in examples.problems)[:_MAX_NAMED_LINES]
        message = f"{examples.num_dropped} of {examples.num_rows} rows cannot be used, the first in line {lines[0]}."
        return TrainingError("too_many_bad_rows", message)
    return None


def _warnings(examples: Examples) -> list[RunWarning]:
    lines: dict[str, list[int]] = {}
    for problem in examples.problems:
        lines.setdefault(problem.code, []).append(problem.line)
    return [
        RunWarning(
            code=code,
            message=f"{count} {'row' if count == 1 else 'rows'}: {_MEANINGS.get(code, code.replace('_', ' ') + ', left out')}.",
            count=count,
            lines=sorted(lines.get(code, []))[:_MAX_NAMED_LINES],
        )
        for code, count in examples.problem_counts.most_common()
    ]


def _note_duplicates(examples: Examples) -> None:
    """Duplicates are trained on all the same; the report names the first row of each."""
    first: dict[bytes, tuple[int, int]] = {}
    rows = sorted((row.row for row in (*examples.train, *examples.held_out)), key=lambda row: (row.file_index, row.line))
    for row in rows:
        place = (row.file_index, row.line)
        earlier = first.setdefault(row.digest(), place)
        if earlier != place:
            examples.note(Problem(row.line, "duplicate", f"The same row stands in line {earlier[1]}.", row.file_index))
