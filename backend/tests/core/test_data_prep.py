"""Rows with line numbers, the held-out split, and the order of batches."""

import json
from pathlib import Path

import numpy as np
import pytest
from mlx_hub.core import data_prep
from mlx_hub.core.data_prep import BatchPlan, Problem, Row, read_rows, split_rows


def write(path: Path, *lines: bytes) -> list[Path]:
    path.write_bytes(b"\n".join(lines) + b"\n")
    return [path]


def test_each_row_decides_its_own_format(tmp_path: Path) -> None:
    paths = write(
        tmp_path / "rows.jsonl",
        b'\xef\xbb\xbf{"text": "plain"}',
        b'{"prompt": "p", "completion": "c"}',
        b'{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "tools": [{"x": 1}]}',
    )

    text, pair, chat = read_rows(paths)

    assert text == Row(1, text="plain")
    assert pair == Row(2, messages=({"role": "user", "content": "p"}, {"role": "assistant", "content": "c"}))
    assert isinstance(chat, Row)
    assert (chat.line, chat.tools) == (3, ({"x": 1},))


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"text": ', "invalid_json"),
        (b'{"text": "\xff"}', "invalid_encoding"),
        (b"[1]", "not_an_object"),
        (b'{"question": "q"}', "unknown_format"),
        (b'{"text": 3}', "wrong_type"),
        (b'{"text": " "}', "empty_content"),
        (b'{"prompt": "p", "completion": ""}', "empty_content"),
        (b'{"messages": []}', "wrong_type"),
        (b'{"messages": [{"role": "user", "content": "q"}]}', "no_answer"),
        (b'{"messages": [{"role": "wizard", "content": "q"}]}', "bad_role"),
        (b'{"messages": [{"role": "assistant", "content": ""}]}', "empty_content"),
        (b'{"messages": [{"role": "assistant", "content": [{"type": "image"}]}]}', "wrong_type"),
        (b'{"messages": [{"role": "assistant", "content": "a"}], "tools": "t"}', "bad_tools"),
    ],
)
def test_unusable_row_has_its_line_and_reason(tmp_path: Path, line: bytes, code: str) -> None:
    paths = write(tmp_path / "rows.jsonl", b'{"text": "good"}', b"", line, b'{"text": "good too"}')

    first, problem, last = read_rows(paths)

    assert isinstance(problem, Problem)
    assert (problem.line, problem.code) == (3, code)
    assert (first, last) == (Row(1, text="good"), Row(4, text="good too"))


def test_too_long_line_is_passed_over_without_reading_it_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_prep, "MAX_LINE_BYTES", 64)
    paths = write(tmp_path / "rows.jsonl", b'{"text": "' + b"x" * 1000 + b'"}', b'{"text": "next"}')

    problem, row = read_rows(paths)

    assert isinstance(problem, Problem)
    assert (problem.line, problem.code) == (1, "line_too_long")
    assert row == Row(2, text="next")


def test_rows_of_a_second_file_have_its_lines(tmp_path: Path) -> None:
    paths = write(tmp_path / "a.jsonl", b'{"text": "a"}') + write(tmp_path / "b.jsonl", b"", b"{")

    _, problem = read_rows(paths)

    assert isinstance(problem, Problem)
    assert (problem.file_index, problem.line) == (1, 2)


def test_tool_arguments_written_as_text_become_objects(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    value = {"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]}
    paths = write(tmp_path / "rows.jsonl", json.dumps(value).encode())

    (row,) = read_rows(paths)

    assert isinstance(row, Row)
    assert row.messages[0]["tool_calls"][0]["function"]["arguments"] == {"a": 1}
    assert row.messages[0]["content"] == ""


def test_split_follows_content_and_seed_alone() -> None:
    digests = [f"row {index}".encode() for index in range(100)]

    train, held_out = split_rows(digests, share=0.2, max_held_out=50, seed=7)
    reversed_train, reversed_held_out = split_rows(digests[::-1], share=0.2, max_held_out=50, seed=7)

    assert len(held_out) == 20
    assert sorted(train + held_out) == list(range(100))
    assert {99 - index for index in reversed_held_out} == set(held_out)
    assert {99 - index for index in reversed_train} == set(train)
    assert split_rows(digests, share=0.2, max_held_out=50, seed=8)[1] != held_out
    assert len(split_rows(digests, share=0.2, max_held_out=5, seed=7)[1]) == 5


def test_equal_rows_are_never_on_both_sides_of_the_split() -> None:
    digests = [f"row {index % 10}".encode() for index in range(100)]

    for seed in range(20):
        train, held_out = split_rows(digests, share=0.25, max_held_out=100, seed=seed)
        assert not {digests[index] for index in train} & {digests[index] for index in held_out}


def test_split_of_nothing_is_nothing() -> None:
    assert split_rows([], share=0.5, max_held_out=5, seed=0) == ([], [])


LENGTHS = np.random.default_rng(0).integers(1, 500, 103)


@pytest.mark.parametrize("accumulation", [1, 3])
def test_every_epoch_visits_each_row_once_in_another_order(accumulation: int) -> None:
    plan = BatchPlan(LENGTHS, batch_size=4, gradient_accumulation=accumulation, seed=5)

    steps = list(plan.steps(0, 2 * plan.steps_per_epoch))
    epochs = [
        [int(index) for step in part for batch in step for index in batch]
        for part in (steps[: plan.steps_per_epoch], steps[plan.steps_per_epoch :])
    ]

    assert all(sorted(epoch) == list(range(103)) for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert all(len(step) <= accumulation for step in steps)


def test_steps_after_a_resume_are_those_of_an_unbroken_run() -> None:
    plan = BatchPlan(LENGTHS, batch_size=4, gradient_accumulation=3, seed=5)
    whole = [[batch.tolist() for batch in step] for step in plan.steps(0, 30)]

    for first in (1, 8, 9, 10, 29):
        assert [[batch.tolist() for batch in step] for step in plan.steps(first, 30)] == whole[first:]


def test_batches_of_like_length_waste_little_padding() -> None:
    plan = BatchPlan(LENGTHS, batch_size=4, gradient_accumulation=1, seed=5)
    shuffled = np.random.default_rng(1).permutation(103)
    mixed = [LENGTHS[shuffled[first : first + 4]] for first in range(0, 103, 4)]
    mixed_waste = 1 - LENGTHS.sum() / sum(len(batch) * batch.max() for batch in mixed)

    assert plan.padding_waste(1) < 0.05
    assert mixed_waste > 0.3
