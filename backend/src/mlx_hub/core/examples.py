"""All rows of a run, encoded and split: what the trainer will see, and what preflight reports."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from mlx_hub.core.data_prep import MAX_PROBLEMS, Problem, Row, read_rows, split_rows
from mlx_hub.core.run_config import RunSpec, TrainingError
from mlx_hub.core.tokens import EncodedRow, TokenEncoder

_CHUNK_ROWS = 512


@dataclass(slots=True)
class Examples:
    """Rows to train on, rows held out, and what became of the others."""

    train: list[EncodedRow] = field(default_factory=list)
    held_out: list[EncodedRow] = field(default_factory=list)
    num_rows: int = 0
    problems: list[Problem] = field(default_factory=list)
    problem_counts: Counter[str] = field(default_factory=Counter)
    num_dropped: int = 0
    num_truncated: int = 0
    num_cut_tokens: int = 0
    is_partial: bool = False
    """Whether there are more rows than were read."""

    def train_lengths(self) -> np.ndarray:
        return np.array([len(row.tokens) for row in self.train], np.int64)

    def note(self, problem: Problem) -> None:
        self.problem_counts[problem.code] += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)


class EnoughRowsError(Exception):
    """Raised by a `check` to go on with the rows that are read, as if the files ended there."""


def prepare_examples(spec: RunSpec, encoder: TokenEncoder, *, check: Callable[[], None] = lambda: None) -> Examples:
    """Read, encode and split the run's files. Rows that cannot be used are dropped and noted.

    `check` runs between chunks of rows and may raise to stop; with EnoughRowsError what is read is what there is. Raises
    TrainingError `bad_dataset` for a file that cannot be read.
    """
    examples = Examples()
    config = spec.config
    usable = list(_encode_files([Path(file) for file in spec.train_files], encoder, examples, check))
    if spec.validation_file is not None:
        examples.train = usable
        held_out = _encode_files([Path(spec.validation_file)], encoder, examples, check)
        examples.held_out = list(islice(held_out, config.max_validation_rows))
        return examples
    digests = [row.row.digest() for row in usable]
    trained, held_out_rows = split_rows(
        digests, share=config.validation_share, max_held_out=config.max_validation_rows, seed=config.seed
    )
    examples.train = [usable[index] for index in trained]
    examples.held_out = [usable[index] for index in held_out_rows]
    return examples


def refuse_unusable(examples: Examples) -> None:
    """Raises TrainingError when nothing is left to train on, or when tokens lie outside of the model's vocabulary."""
    if num_rows := examples.problem_counts["token_out_of_range"]:
        message = f"{num_rows} rows have tokens outside of the model's vocabulary: the tokenizer is not the model's."
        raise TrainingError("token_out_of_range", message)
    if not examples.train:
        reasons = ", ".join(f"{count} {code}" for code, count in examples.problem_counts.most_common()) or "the files are empty"
        raise TrainingError("no_rows", f"No row can be trained on: {reasons}.")


def _encode_files(
    paths: list[Path], encoder: TokenEncoder, examples: Examples, check: Callable[[], None]
) -> Iterator[EncodedRow]:
    try:
        items = read_rows(paths)
        while chunk := list(islice(items, _CHUNK_ROWS)):
            check()
            examples.num_rows += len(chunk)
            yield from _encode_chunk(chunk, encoder, examples)
    except EnoughRowsError:
        examples.is_partial = True
    except OSError as error:
        raise TrainingError("bad_dataset", f"The dataset cannot be read: {error}") from error


def _encode_chunk(chunk: list[Row | Problem], encoder: TokenEncoder, examples: Examples) -> Iterator[EncodedRow]:
    encoded = iter(encoder.encode([item for item in chunk if isinstance(item, Row)]))
    for item in chunk:
        result = item if isinstance(item, Problem) else next(encoded)
        if isinstance(result, Problem):
            examples.note(result)
            examples.num_dropped += 1
            continue
        if result.num_cut:
            examples.num_truncated += 1
            examples.num_cut_tokens += result.num_cut
            message = f"The last {result.num_cut} of {len(result.tokens) + result.num_cut} tokens are cut off."
            examples.note(Problem(item.line, "truncated", message, item.file_index))
        yield result
