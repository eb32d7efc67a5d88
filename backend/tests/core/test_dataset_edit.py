"""Edits of a dataset's file: what changes, and what stays byte for byte."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_hub.core.dataset_edit import EditRequest, RowEdit, edit_dataset
from mlx_hub.core.run_config import TrainingError


def edited(tmp_path: Path, content: bytes, *edits: RowEdit) -> bytes:
    source, destination = tmp_path / "rows.jsonl", tmp_path / "new.jsonl"
    source.write_bytes(content)
    num_rows = edit_dataset(EditRequest(rows_path=str(source), destination=str(destination), edits=list(edits)))
    result = destination.read_bytes()
    assert num_rows == sum(bool(line.strip()) for line in result.split(b"\n"))
    return result


def replace(row: int, line: bytes) -> RowEdit:
    return RowEdit(operation="replace", row=row, line=line)


def delete(row: int) -> RowEdit:
    return RowEdit(operation="delete", row=row)


def insert(row: int, line: bytes) -> RowEdit:
    return RowEdit(operation="insert", row=row, line=line)


def test_rows_are_replaced_deleted_and_inserted_by_their_old_numbers(tmp_path: Path) -> None:
    found = edited(
        tmp_path, b"a\nb\nc\nd\n", delete(2), insert(3, b"x"), insert(3, b"y"), replace(3, b"C"), insert(1, b"0"), insert(5, b"e")
    )

    assert found == b"0\na\nx\ny\nC\nd\ne\n"


def test_blank_lines_stay_and_do_not_count(tmp_path: Path) -> None:
    assert edited(tmp_path, b"\na\r\n  \n\nb\n", replace(2, b"B")) == b"\na\r\n  \n\nB\n"


def test_a_last_line_without_a_break_gets_one(tmp_path: Path) -> None:
    assert edited(tmp_path, b"a\nb", insert(3, b"c")) == b"a\nb\nc\n"
    assert edited(tmp_path, b"a\nb", delete(2)) == b"a\n"
    assert edited(tmp_path, b"a\nb\n  ", insert(3, b"c")) == b"a\nb\n  c\n"


@pytest.mark.parametrize("edit", [replace(3, b"x"), delete(9), insert(4, b"x")])
def test_a_row_that_is_not_there_is_an_error(tmp_path: Path, edit: RowEdit) -> None:
    with pytest.raises(TrainingError, match="2 rows") as caught:
        edited(tmp_path, b"a\nb\n", edit)

    assert caught.value.code == "bad_edit"


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.binary(min_size=1, max_size=4).filter(lambda row: row.strip() and b"\n" not in row), max_size=8),
    data=st.data(),
)
def test_edits_do_what_a_list_would(tmp_path_factory: pytest.TempPathFactory, rows: list[bytes], data: st.DataObject) -> None:
    expected = [[row] for row in rows] + [[]]
    edits = []
    for index in range(len(rows)):
        match data.draw(st.sampled_from(["keep", "delete", "replace", "insert"])):
            case "delete":
                edits.append(delete(index + 1))
                expected[index] = []
            case "replace":
                edits.append(replace(index + 1, b"R"))
                expected[index] = [b"R"]
            case "insert":
                edits.append(insert(index + 1, b"I"))
                expected[index] = [b"I", rows[index]]
            case _:
                pass

    found = edited(tmp_path_factory.mktemp("edits"), b"".join(row + b"\n" for row in rows), *edits)

    assert found == b"".join(row + b"\n" for group in expected for row in group)
