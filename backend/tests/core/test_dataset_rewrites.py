"""Datasets made from others: what is lossless, what repeats, what a table becomes, how long rows are."""

import json
from pathlib import Path
from typing import Any

import pytest
from mlx_hub.core.dataset_convert import ConvertReport, ConvertRequest, convert_dataset
from mlx_hub.core.dataset_csv import CSVColumns, convert_csv
from mlx_hub.core.dataset_duplicates import DistinctRequest, find_duplicates, write_distinct
from mlx_hub.core.dataset_lengths import measure_lengths
from mlx_hub.core.run_config import TrainingError

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
CHAT = {"messages": [USER, ANSWER]}
PAIR = {"prompt": "q", "completion": "a"}
LONG_CHAT = {"messages": [{"role": "system", "content": "s"}, USER, ANSWER]}


def written(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows))
    return path


def rows_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def converted(tmp_path: Path, target: Any, *rows: Any) -> tuple[list[Any], ConvertReport]:
    destination = tmp_path / "new.jsonl"
    order = ConvertRequest(rows_path=str(written(tmp_path, *rows)), destination=str(destination), format=target)
    report = convert_dataset(order)
    return rows_of(destination), report


def test_pairs_become_conversations_and_come_back_as_they_were(tmp_path: Path) -> None:
    pair = PAIR | {"id": 7, "tools": [{"type": "function"}]}

    chat, _ = converted(tmp_path, "chat", pair)
    back, report = converted(tmp_path, "completions", *chat)

    assert chat == [CHAT | {"id": 7, "tools": [{"type": "function"}]}]
    assert back == [pair]
    assert (report.num_converted_rows, report.num_left_out_rows) == (1, 0)


@pytest.mark.parametrize(
    ("target", "row", "code"),
    [
        ("completions", LONG_CHAT, "not_a_pair"),
        ("completions", {"messages": [USER, ANSWER | {"tool_calls": [{"function": {"name": "f"}}]}]}, "not_a_pair"),
        ("completions", {"messages": [USER | {"name": "Ada"}, ANSWER]}, "not_a_pair"),
        ("completions", {"messages": [USER | {"content": " "}, ANSWER]}, "empty_content"),
        ("completions", {"text": "t"}, "no_roles"),
        ("chat", {"text": "t"}, "no_roles"),
        ("text", CHAT, "needs_template"),
        ("text", PAIR, "needs_template"),
        ("completions", CHAT | {"text": "both"}, "several_formats"),
        ("chat", b"not json", "invalid_json"),
    ],
)
def test_what_would_be_lost_is_a_named_problem(tmp_path: Path, target: str, row: Any, code: str) -> None:
    kept = {"chat": CHAT, "completions": PAIR, "text": {"text": "kept"}}[target]

    rows, report = converted(tmp_path, target, kept, row)

    assert rows == [kept]
    assert [(problem.line, problem.code) for problem in report.problems] == [(2, code)]
    assert (report.num_left_out_rows, report.problem_counts) == (1, {code: 1})


def test_duplicates_are_grouped_with_their_lines(tmp_path: Path) -> None:
    path = written(tmp_path, {"text": "A b"}, b"", {"text": "c"}, {"text": "A b"}, b"broken", {"text": "a, B!"}, {"text": "c"})

    exact, normalised = find_duplicates(str(path), "exact"), find_duplicates(str(path), "normalised")

    assert [(group.lines, group.num_rows, group.start) for group in exact.groups] == [([1, 4], 2, "A b"), ([3, 7], 2, "c")]
    assert (exact.num_groups, exact.num_duplicates) == (2, 2)
    assert [group.lines for group in normalised.groups] == [[1, 4, 6], [3, 7]]
    assert normalised.num_duplicates == 3


def test_rows_of_punctuation_and_rows_of_other_roles_are_not_the_same(tmp_path: Path) -> None:
    path = written(tmp_path, {"text": "?!"}, {"text": "..."}, {"messages": [ANSWER]}, {"messages": [USER, ANSWER]}, {"text": "a"})

    assert find_duplicates(str(path), "normalised").num_groups == 0
    assert find_duplicates(str(written(tmp_path, b"broken")), "exact").num_groups == 0


def test_a_group_tells_its_first_hundred_lines_and_counts_all(tmp_path: Path) -> None:
    path = written(tmp_path, *[{"text": "same"}] * 250)

    (group,) = find_duplicates(str(path), "exact").groups

    assert (group.lines, group.num_rows) == (list(range(1, 101)), 250)


def test_the_first_of_equal_rows_stays_and_all_else_as_it_stands(tmp_path: Path) -> None:
    path = written(tmp_path, b'{"text" :  "x"}', b"broken", b" ", {"text": "y"}, {"text": "X "})
    destination = tmp_path / "new.jsonl"

    num_left_out = write_distinct(DistinctRequest(rows_path=str(path), destination=str(destination), match="normalised"))

    assert num_left_out == 1
    assert destination.read_bytes() == b'{"text" :  "x"}\nbroken\n{"text": "y"}\n'


def table(tmp_path: Path, content: str | bytes, **columns: str) -> list[Any]:
    source, destination = tmp_path / "table.csv", tmp_path / "rows.jsonl"
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    count = convert_csv(str(source), str(destination), CSVColumns(**columns), 3)
    rows = rows_of(destination)
    assert len(rows) == count
    return rows


def test_tables_become_rows_by_the_names_of_their_columns(tmp_path: Path) -> None:
    assert table(tmp_path, '\ufeffPrompt,Completion,source\r\n"say ""hi""\nnow",hi,web\r\n\r\n') == [
        {"source": "web", "prompt": 'say "hi"\nnow', "completion": "hi"}
    ]
    assert table(tmp_path, "question;answer\nq;a, b\n") == [{"prompt": "q", "completion": "a, b"}]
    assert table(tmp_path, "text\tnote\none\tx\n") == [{"note": "x", "text": "one"}]
    asked = table(tmp_path, "rolle,frage,antwort\ns,q,a\n,q,a\n", prompt="frage", completion="antwort", system="rolle")
    assert asked == [LONG_CHAT, CHAT]


def test_columns_that_were_chosen_go_before_those_with_usual_names(tmp_path: Path) -> None:
    content = "prompt,completion,text,body,system\np,c,t,b,s\n"

    assert table(tmp_path, content, text="body") == [{"system": "s", "text": "b"}]
    assert table(tmp_path, content, text="text") == [{"body": "b", "system": "s", "text": "t"}]
    by_prompt = table(tmp_path, content, prompt="body")[0]["messages"]
    assert [message["content"] for message in by_prompt] == ["s", "b", "c"]
    assert table(tmp_path, "prompt,question\np,q\n", completion="prompt") == [{"prompt": "q", "completion": "p"}]


@pytest.mark.parametrize(
    ("content", "columns", "code", "told"),
    [
        ("a,b\n1,2\n", {}, "csv_columns", "a, b"),
        ("text\nx\n", {"text": "body"}, "csv_columns", "body"),
        ("text,body\nx,y\n", {"prompt": "body"}, "csv_columns", "completion_column"),
        ("text,body\nx,y\n", {"system": "body"}, "csv_columns", "prompt_column"),
        ("a,b,c\n1,2,3\n", {"text": "a", "prompt": "b", "completion": "c"}, "csv_columns", "text_column alone"),
        ("prompt,completion\n1,2\n3\n", {}, "csv", "line 3"),
        ('prompt,completion\n1,"2\n', {}, "csv", "After 0 rows"),
        ("text\n1\n2\n3\n4\n", {}, "too_many_rows", "3 rows"),
        (b"text\n\xff\xfe\n", {}, "invalid_encoding", "UTF-8"),
        ("", {}, "csv_columns", "none"),
    ],
)
def test_what_is_no_table_is_told_by_its_line(
    tmp_path: Path, content: str | bytes, columns: dict[str, str], code: str, told: str
) -> None:
    with pytest.raises(TrainingError, match=told) as caught:
        table(tmp_path, content, **columns)

    assert caught.value.code == code


def test_lengths_are_of_characters_and_messages(tmp_path: Path) -> None:
    found = measure_lengths(str(written(tmp_path, {"text": "12345"}, LONG_CHAT, b"broken", PAIR)))

    assert found.num_usable_rows == 3
    assert found.characters is not None
    assert found.messages is not None
    assert (found.characters.p50, found.characters.max, found.characters.total) == (3, 5, 10)
    assert (found.messages.p50, found.messages.max, found.messages.total) == (2, 3, 6)
    assert sum(each.num_rows for each in found.characters.histogram) == 3
    assert measure_lengths(str(written(tmp_path, b"broken"))).characters is None
