"""Rows written in another format, where nothing is lost by it; each row that would lose something is a named problem."""

from pathlib import Path
from typing import Any, Literal

import msgspec
import orjson

from mlx_hub.core.data_prep import MAX_PROBLEMS, Problem, is_blank, lines, row_or_problem

TargetFormat = Literal["chat", "completions", "text"]

_FORMAT_KEYS = frozenset({"messages", "prompt", "completion", "text"})


class ConvertRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which file, into which format, and where the new one goes."""

    rows_path: str
    destination: str
    format: TargetFormat


class ConvertReport(msgspec.Struct, frozen=True, kw_only=True):
    """`problems` are the first of the rows left out, in the order of lines."""

    num_converted_rows: int
    num_left_out_rows: int
    problem_counts: dict[str, int]
    problems: list[Problem]


def convert_dataset(request: ConvertRequest) -> ConvertReport:
    """Other keys of a row stay with it. Rows that cannot be used, and those that would lose something, are left out."""
    num_converted = 0
    counts: dict[str, int] = {}
    problems: list[Problem] = []
    with Path(request.rows_path).open("rb") as source, Path(request.destination).open("wb") as out:
        for line, content in lines(source):
            if is_blank(content):
                continue
            found = _converted(content, line, request.format)
            if isinstance(found, Problem):
                counts[found.code] = counts.get(found.code, 0) + 1
                if len(problems) < MAX_PROBLEMS:
                    problems.append(found)
            else:
                out.write(orjson.dumps(found, option=orjson.OPT_APPEND_NEWLINE))
                num_converted += 1
    return ConvertReport(
        num_converted_rows=num_converted, num_left_out_rows=sum(counts.values()), problem_counts=counts, problems=problems
    )


def _converted(content: bytes | None, line: int, target: TargetFormat) -> dict[str, Any] | Problem:
    found = row_or_problem(content, line)
    if isinstance(found, Problem):
        return found
    assert content is not None
    value: dict[str, Any] = orjson.loads(content.removeprefix(b"\xef\xbb\xbf"))
    kind = "text" if found.text is not None else "completions" if found.is_pair else "chat"
    if kind == target:
        return value
    own_keys = {"chat": {"messages"}, "completions": {"prompt", "completion"}, "text": {"text"}}[kind]
    others = {key: field for key, field in value.items() if key not in own_keys}
    if several := sorted(others.keys() & _FORMAT_KEYS):
        return Problem(line, "several_formats", f"The row also has `{several[0]}`, which would be mistaken for its content.")
    if kind == "text":
        return Problem(line, "no_roles", "A text does not say what is the question and what the answer.")
    if target == "text":
        return Problem(line, "needs_template", "As text it would depend on a model's chat template, and lose who says what.")
    if target == "chat":
        user, answer = ({"role": "user", "content": value["prompt"]}, {"role": "assistant", "content": value["completion"]})
        return {**others, "messages": [user, answer]}
    return _pair(value["messages"], others, line)


def _pair(messages: list[dict[str, Any]], others: dict[str, Any], line: int) -> dict[str, Any] | Problem:
    roles = [message["role"] for message in messages]
    if roles != ["user", "assistant"]:
        told = ", ".join(roles[:4]) + (" and more" if len(roles) > 4 else "")
        return Problem(line, "not_a_pair", f"Only one question with one answer is a completion; this row has {told}.")
    if any(set(message) != {"role", "content"} or not isinstance(message["content"], str) for message in messages):
        return Problem(line, "not_a_pair", "Its messages hold more than plain text, such as tool calls or names.")
    prompt, completion = (message["content"] for message in messages)
    if not prompt.strip():
        return Problem(line, "empty_content", "The question is empty.")
    return {**others, "prompt": prompt, "completion": completion}
