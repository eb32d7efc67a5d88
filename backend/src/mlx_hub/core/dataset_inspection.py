"""A stored dataset with a model's eyes: rows that its template cannot format, empty masks, lengths, truncation, padding.

Rows are taken in blocks in random order, so that what is seen when the time is up is a fair sample. It runs the model's
chat template: call it in a process of its own.
"""

import time
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from mlx_hub.core.batches import PAD_TOKENS
from mlx_hub.core.data_prep import MAX_PROBLEMS, BatchPlan, Problem, Row, row_or_problem
from mlx_hub.core.dataset_preview import NO_LIMIT, cut_problem
from mlx_hub.core.model_files import read_model_files
from mlx_hub.core.row_index import num_indexed_rows, read_raw_rows
from mlx_hub.core.tokens import EncodedRow, TokenEncoder

COMMON_MAX_LENGTHS = (256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768)
NUM_BINS = 30
_BLOCK_ROWS = 128
_CHUNK_BYTES = 4 * 2**20
"""More of a block is not encoded at once."""
_ORDER_SEED = 0


class InspectionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`max_seconds` bounds the reading; what is seen by then is reported."""

    rows_path: str
    index_path: str
    model_path: str
    max_seq_length: int
    mask_prompt: bool
    batch_size: int
    max_seconds: float


class Bin(msgspec.Struct, frozen=True):
    """So many rows have `first` to `last` tokens, both included."""

    first: int
    last: int
    num_rows: int


class Truncation(msgspec.Struct, frozen=True, kw_only=True):
    """What a max_seq_length would cut: shares of all rows and of all tokens, and rows that would lose every answer token."""

    max_seq_length: int
    share_of_rows: float
    share_of_tokens: float
    num_rows_without_answer: int


class TokenStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Lengths are of whole rows before truncation, percentiles by nearest rank.

    `num_kept_tokens`, `num_learned_tokens` and `padding_waste` are of what is left within `max_seq_length`; the waste is
    the share of padding in an epoch.
    """

    p50: int
    p95: int
    p99: int
    max: int
    num_tokens: int
    num_kept_tokens: int
    num_learned_tokens: int
    padding_waste: float
    histogram: list[Bin]
    truncation: list[Truncation]


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """`num_inspected_rows` is less than `num_rows` when the time was up; all numbers are then of a random sample.

    `problems` are the first of those counted, in the order of lines. `statistics` are of the rows that the template can
    format; None when there is none.
    """

    num_rows: int
    num_inspected_rows: int
    num_usable_rows: int
    num_truncated_rows: int
    problem_counts: dict[str, int]
    problems: list[Problem]
    statistics: TokenStatistics | None


@dataclass(slots=True)
class _Findings:
    num_rows: int = 0
    lengths: "array[int]" = field(default_factory=lambda: array("i"))
    first_learned: "array[int]" = field(default_factory=lambda: array("i"))
    """Where the first answer token of each row stands."""
    num_learned: int = 0
    num_usable: int = 0
    problem_counts: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    def note(self, problem: Problem) -> None:
        self.problem_counts[problem.code] += 1
        self.problems.append(problem)
        if len(self.problems) >= 2 * MAX_PROBLEMS:
            self.problems = self.first_problems()

    def first_problems(self) -> list[Problem]:
        return sorted(self.problems, key=lambda problem: problem.line)[:MAX_PROBLEMS]


def inspect_dataset(request: InspectionRequest) -> Inspection:
    """Raises TrainingError for a model, tokenizer or dataset that cannot be read."""
    deadline = time.monotonic() + request.max_seconds
    model = read_model_files(Path(request.model_path))
    encoder = TokenEncoder(model, max_seq_length=NO_LIMIT, mask_prompt=request.mask_prompt)
    findings = _Findings()
    for block in _blocks(request):
        _note_block(block, encoder, findings, request.max_seq_length)
        if time.monotonic() > deadline:
            break
    return Inspection(
        num_rows=num_indexed_rows(Path(request.index_path)),
        num_inspected_rows=findings.num_rows,
        num_usable_rows=findings.num_usable,
        num_truncated_rows=findings.problem_counts["truncated"],
        problem_counts=dict(+findings.problem_counts),
        problems=findings.first_problems(),
        statistics=_statistics(findings, request),
    )


def _blocks(request: InspectionRequest) -> Iterator[list[Row | Problem]]:
    rows_path, index_path = Path(request.rows_path), Path(request.index_path)
    num_blocks = -(-num_indexed_rows(index_path) // _BLOCK_ROWS)
    for block in np.random.default_rng(_ORDER_SEED).permutation(num_blocks).tolist():
        rows: list[Row | Problem] = []
        num_bytes = 0
        for raw in read_raw_rows(rows_path, index_path, block * _BLOCK_ROWS, _BLOCK_ROWS):
            rows.append(row_or_problem(raw.content, raw.line))
            num_bytes += raw.num_bytes
            if num_bytes > _CHUNK_BYTES:
                yield rows
                rows, num_bytes = [], 0
        yield rows


def _note_block(block: list[Row | Problem], encoder: TokenEncoder, findings: _Findings, max_tokens: int) -> None:
    findings.num_rows += len(block)
    encoded = encoder.encode([item for item in block if isinstance(item, Row)])
    for result in (*(item for item in block if isinstance(item, Problem)), *encoded):
        if isinstance(result, Problem):
            findings.note(result)
        else:
            _note_row(result, findings, max_tokens)


def _note_row(row: EncodedRow, findings: _Findings, max_tokens: int) -> None:
    findings.lengths.append(len(row.tokens))
    findings.first_learned.append(1 + int(row.is_learned[1:].argmax()))
    if problem := cut_problem(row, max_tokens):
        findings.note(problem)
        if problem.code == "empty_mask":
            return
    findings.num_usable += 1
    findings.num_learned += int(row.is_learned[1:max_tokens].sum())


def _statistics(findings: _Findings, request: InspectionRequest) -> TokenStatistics | None:
    if not findings.lengths:
        return None
    lengths = np.array(findings.lengths, np.int64)
    first_learned = np.array(findings.first_learned, np.int64)
    p50, p95, p99 = (int(value) for value in np.percentile(lengths, [50, 95, 99], method="inverted_cdf"))
    kept = np.minimum(lengths[first_learned < request.max_seq_length], request.max_seq_length)
    # An epoch of a very large dataset is as one of its first part: rows are in random order.
    plan = BatchPlan(kept[:200_000], request.batch_size, 1, _ORDER_SEED)
    limits = sorted({*COMMON_MAX_LENGTHS, request.max_seq_length})
    return TokenStatistics(
        p50=p50,
        p95=p95,
        p99=p99,
        max=int(lengths.max()),
        num_tokens=int(lengths.sum()),
        num_kept_tokens=int(kept.sum()),
        num_learned_tokens=findings.num_learned,
        padding_waste=plan.padding_waste(PAD_TOKENS),
        histogram=histogram(lengths, p99),
        truncation=[_truncation(limit, lengths, first_learned) for limit in limits],
    )


def _truncation(limit: int, lengths: np.ndarray, first_learned: np.ndarray) -> Truncation:
    return Truncation(
        max_seq_length=limit,
        share_of_rows=float((lengths > limit).mean()),
        share_of_tokens=float(np.maximum(lengths - limit, 0).sum() / lengths.sum()),
        num_rows_without_answer=int((first_learned >= limit).sum()),
    )


def histogram(lengths: np.ndarray, p99: int) -> list[Bin]:
    """Bins of one width from the shortest row to `p99`; the few longer rows share the last bin."""
    shortest, longest = int(lengths.min()), int(lengths.max())
    width = max(-(-(p99 + 1 - shortest) // (NUM_BINS - 1)), 1)
    edges = [*range(shortest, p99 + 1, width)]
    if longest >= edges[-1] + width:
        edges.append(edges[-1] + width)
    places = np.minimum((lengths - shortest) // width, len(edges) - 1)
    counts = np.bincount(places, minlength=len(edges)).tolist()
    lasts = [*(edge - 1 for edge in edges[1:]), max(longest, edges[-1])]
    return [Bin(first, last, count) for first, last, count in zip(edges, lasts, counts, strict=True)]
