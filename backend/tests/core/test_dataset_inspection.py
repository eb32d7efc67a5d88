"""Statistics and problems of a dataset with a model's eyes, whole and as a sample, and the texts of single tokens."""

import json
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from fixtures.training import ModelMaker
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_hub.core.dataset_inspection import NUM_BINS, Inspection, InspectionRequest, histogram, inspect_dataset
from mlx_hub.core.dataset_scan import scan_dataset
from mlx_hub.core.model_files import read_model_files
from mlx_hub.core.tokens import TokenEncoder


def inspect(folder: Path, rows: list[dict[str, str]], model: Path, **options: float) -> Inspection:
    (folder / "rows").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scan_dataset(str(folder / "rows"), str(folder / "index"), str(folder / "problems"), 1_000_000)
    values = {"max_seq_length": 2048, "mask_prompt": True, "batch_size": 4, "max_seconds": 600.0, **options}
    request = InspectionRequest(rows_path=str(folder / "rows"), index_path=str(folder / "index"), model_path=str(model), **values)
    return inspect_dataset(request)


def test_lengths_are_those_of_the_rows(tmp_path: Path, tiny_models: ModelMaker) -> None:
    rows = [{"text": "a" + " b" * number} for number in range(100)]
    random.Random(0).shuffle(rows)

    found = inspect(tmp_path, rows, tiny_models(), max_seq_length=51)
    tokens = found.statistics

    # A token for each word and the end; nothing predicts the first.
    assert tokens is not None
    assert (tokens.p50, tokens.p95, tokens.p99, tokens.max) == (51, 96, 100, 101)
    assert tokens.num_tokens == sum(range(2, 102))
    assert tokens.num_kept_tokens == sum(min(length, 51) for length in range(2, 102))
    assert tokens.num_learned_tokens == tokens.num_kept_tokens - 100
    assert found.problem_counts == {"truncated": 50}
    assert [problem.line for problem in found.problems] == sorted(problem.line for problem in found.problems)
    assert (found.num_usable_rows, found.num_truncated_rows) == (100, 50)
    (limit,) = (item for item in tokens.truncation if item.max_seq_length == 51)
    assert (limit.share_of_rows, limit.num_rows_without_answer) == (0.5, 0)


def test_a_sample_is_taken_from_the_whole_file(tmp_path: Path, tiny_models: ModelMaker) -> None:
    rows = [{"text": f"{number}" + " b" * (number // 100)} for number in range(5000)]

    found = inspect(tmp_path, rows, tiny_models(), max_seconds=0.0)

    assert found.num_rows == 5000
    assert 0 < found.num_inspected_rows < 5000
    assert found.statistics is not None
    assert found.statistics.p50 > 10


def test_nothing_to_measure_is_no_statistics(tmp_path: Path, tiny_models: ModelMaker) -> None:
    rows = [{"prompt": "q", "completion": "a"}]

    assert inspect(tmp_path, rows, tiny_models(), max_seq_length=8).statistics is not None
    assert inspect(tmp_path, rows, tiny_models(), max_seq_length=8).num_usable_rows == 0


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=300))
def test_every_row_is_in_one_bin(lengths: list[int]) -> None:
    array = np.array(lengths)
    p99 = int(np.percentile(array, 99, method="inverted_cdf"))

    bins = histogram(array, p99)

    assert len(bins) <= NUM_BINS
    assert all(before.last + 1 == after.first for before, after in pairwise(bins))
    for item in bins:
        assert item.num_rows == ((array >= item.first) & (array <= item.last)).sum()
    assert sum(item.num_rows for item in bins) == len(lengths)


@pytest.fixture(scope="module")
def encoder(tiny_models: ModelMaker) -> TokenEncoder:
    return TokenEncoder(read_model_files(tiny_models()), max_seq_length=2048, mask_prompt=True)


@settings(deadline=None)
@given(text=st.text(max_size=40))
def test_the_pieces_of_tokens_are_the_text(encoder: TokenEncoder, text: str) -> None:
    token_ids = encoder._tokenize([text], [False])[0]

    pieces = encoder.pieces(token_ids)

    assert len(pieces) == len(token_ids)
    assert "".join(pieces) == encoder.decode(token_ids)


def test_broken_characters_do_not_hold_up_the_pieces(encoder: TokenEncoder) -> None:
    half = encoder._tokenize(["😀"], [False])[0][:-1]
    token_ids = [*half * 4, *encoder._tokenize(["end"], [False])[0]]

    pieces = encoder.pieces(token_ids)

    assert "".join(pieces).endswith("end")
    assert len(pieces) == len(token_ids)
