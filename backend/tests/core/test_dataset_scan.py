"""One pass over a file: duplicates by their first line, an index that finds every row, problems kept and counted."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_hub.core import data_prep
from mlx_hub.core.data_prep import MAX_PROBLEMS, Problem
from mlx_hub.core.dataset_scan import ScanReport, scan_dataset
from mlx_hub.core.row_index import num_indexed_rows, read_raw_rows
from mlx_hub.core.run_config import TrainingError


def scan(folder: Path, content: bytes, *, max_rows: int = 1_000_000) -> tuple[ScanReport, list[Problem]]:
    (folder / "rows").write_bytes(content)
    report = scan_dataset(str(folder / "rows"), str(folder / "index"), str(folder / "problems"), max_rows)
    return report, msgspec.json.decode((folder / "problems").read_bytes(), type=list[Problem])


def texts(*values: str) -> bytes:
    return b"".join(json.dumps({"text": value}).encode() + b"\n" for value in values)


def test_duplicates_name_the_first_line_of_the_same_content(tmp_path: Path) -> None:
    same = b'{"completion": "a", "prompt": "q"}\n{"prompt":"q","completion":"a"}\n'

    report, problems = scan(tmp_path, texts("x") + same + texts("y", "x") + same)

    assert [(found.line, found.code) for found in problems] == [(number, "duplicate") for number in (3, 5, 6, 7)]
    assert [found.message[-2] for found in problems] == ["2", "1", "2", "2"]
    assert (report.num_rows, report.num_usable_rows, report.num_duplicates) == (7, 7, 4)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60))
def test_duplicates_are_those_of_a_simple_count(tmp_path_factory: pytest.TempPathFactory, values: list[int]) -> None:
    report, problems = scan(tmp_path_factory.mktemp("scan"), texts(*map(str, values)))

    repeated = [place + 1 for place, value in enumerate(values) if value in values[:place]]
    assert [found.line for found in problems] == repeated
    assert [found.message for found in problems] == [
        f"The same row stands in line {values.index(values[line - 1]) + 1}." for line in repeated
    ]
    assert report.num_duplicates == len(repeated)


def test_all_problems_are_counted_and_the_first_are_kept(tmp_path: Path) -> None:
    report, problems = scan(tmp_path, b"{\n" * 1500 + texts(*["same"] * 2000))

    assert report.problem_counts == {"invalid_json": 1500, "duplicate": 1999}
    assert [found.line for found in problems] == list(range(1, MAX_PROBLEMS + 1))


def test_every_row_is_found_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_prep, "MAX_LINE_BYTES", 64)
    contents = [b'{"text": "a"}', b"{bad", b'{"text": "' + b"x" * 500 + b'"}', b'{"text": "\xc3\xbc"}', b'{"text": "end"}']
    scan(tmp_path, b"\r\n\n" + b"\n \n".join(contents[:3]) + b"\n" + b"\n\n".join(contents[3:]))
    rows, index = tmp_path / "rows", tmp_path / "index"

    found = [next(read_raw_rows(rows, index, number, 1)) for number in range(5)]

    assert num_indexed_rows(index) == 5
    assert [row.line for row in found] == [3, 5, 7, 8, 10]
    assert [row.content and row.content.rstrip() for row in found] == contents
    assert list(read_raw_rows(rows, index, 0, 100)) == found
    assert list(read_raw_rows(rows, index, 5, 10)) == []
    (cut,) = read_raw_rows(rows, index, 2, 1, max_bytes=100)
    assert (cut.content, cut.num_bytes, cut.start[:12]) == (None, 513, contents[2][:12])


def test_a_missing_index_is_told(tmp_path: Path) -> None:
    scan(tmp_path, texts("a"))
    (tmp_path / "index").unlink()

    with pytest.raises(TrainingError) as caught:
        next(read_raw_rows(tmp_path / "rows", tmp_path / "index", 0, 1))
    assert caught.value.code == "bad_dataset"


@pytest.mark.parametrize(("content", "code"), [(b"", "no_rows"), (b"{\n", "no_rows"), (texts("a", "b", "c"), "too_many_rows")])
def test_unusable_and_too_large_files_are_refused(tmp_path: Path, content: bytes, code: str) -> None:
    with pytest.raises(TrainingError) as caught:
        scan(tmp_path, content, max_rows=2)
    assert caught.value.code == code


@given(st.binary(max_size=300))
def test_no_bytes_keep_the_scan_from_the_rows_after_them(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    report, _ = scan(tmp_path_factory.mktemp("scan"), content + b"\n" + texts("good"))

    assert report.num_usable_rows >= 1
