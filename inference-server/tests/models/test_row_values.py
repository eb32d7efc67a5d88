"""What rides with the rows of a batch."""

import copy

from unified_mlx_app.models.row_values import RowValues


def test_values_join_leave_and_move_with_their_rows() -> None:
    rows = RowValues.merge([RowValues(["one"]), RowValues([None]), RowValues(["two"])])

    other = copy.deepcopy(rows)
    rows.filter([2, 0])
    rows.extend(other)

    assert rows.values == ["two", "one", "one", None, "two"]
    assert other.values == ["one", None, "two"]
    assert rows.extract(1).values == ["one"]
    assert rows.state == []
