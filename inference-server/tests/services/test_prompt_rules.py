"""Rules take what changes from call to call out of its place, tell it to the model elsewhere, and never take long."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unified_mlx_app.errors import InvalidRequestError
from unified_mlx_app.rule_specs import BUILT_IN_ACTIONS, parse_rules
from unified_mlx_app.services.prompt_rules import INLINE_CHARACTERS, PromptRules
from unified_mlx_app.services.rule_worker import Rewritten, rewrite
from unified_mlx_app.services.volatile_text import RULE_PATTERNS, shape_of

pytestmark = pytest.mark.anyio

UUID = "123e4567-e89b-12d3-a456-426614174000"
RUNAWAY = '[{"name": "runaway", "pattern": "(x+x+)+y"}]'


def ruled(rules: str, *messages: dict[str, Any]) -> Rewritten:
    return rewrite([*messages], parse_rules(rules))


def system(text: str, rules: str) -> str:
    """The system text after the rules."""
    done = ruled(rules, {"role": "system", "content": text}, {"role": "user", "content": "Hi"})
    return done.messages[0]["content"]


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        ("billing_header", "x-anthropic-billing-header: cc_version=2.1; cch=abc;\nYou are Claude.", "You are Claude."),
        ("current_date", "Today is 2026-11-26.", "Today is [current_date]."),
        ("current_date", "Today's date: 2026-11-26\n", "Today's date: [current_date]\n"),
        ("current_date", "Current date: Thursday, November 26, 2026.", "Current date: [current_date]."),
        ("current_date", "As of 26 Nov 2026, all is well.", "As of [current_date], all is well."),
        ("current_date", "Founded on 1990-01-01.", "Founded on 1990-01-01."),
        ("current_time", "It is 12:44 PM. Good.", "It is [current_time]. Good."),
        ("current_time", "Current time: 2026-11-26T12:44:12.123Z", "Current time: [current_time]"),
        ("current_time", "timestamp=1732625052", "timestamp=[current_time]"),
        ("current_time", "The bell rings at 12:44.", "The bell rings at 12:44."),
        ("request_id", "Request ID: req_abc-123.", "Request ID: [request_id]."),
        ("uuid", f"for {UUID}!", "for [uuid]!"),
        ("working_directory", "Working directory: /home/me/a b\nx", "Working directory: [working_directory]\nx"),
        ("working_directory", "<cwd>/home/me</cwd>", "<cwd>[working_directory]</cwd>"),
        ("current_date=normalise", "Today is 2026-11-26.", "Today is 2026-11-26."),
        ("current_time=normalise", "Now: 2026-11-26 12:44:12", "Now: 2026-11-26"),
        ("current_time=normalise", "It is 12:44.", "It is [current_time]."),
        ("uuid=normalise", UUID, "00000000-0000-0000-0000-000000000000"),
        ("request_id=drop", "request_id=abcd1234", "request_id="),
    ],
)
def test_built_in_rules(rule: str, before: str, after: str) -> None:
    assert system(before, rule) == after


def test_what_moved_stands_behind_the_last_question() -> None:
    messages = [
        {"role": "system", "content": f"Today is 2026-11-26, id {UUID}. As of 2026-11-26; now 2026-11-27."},
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": [{"type": "text", "text": "Two"}]},
    ]

    done = ruled("current_date,uuid", *messages)

    assert done.messages[0]["content"] == "Today is [current_date], id [uuid]. As of [current_date]; now [current_date 2]."
    note = f"\n\n[current_date: 2026-11-26]\n[current_date 2: 2026-11-27]\n[uuid: {UUID}]"
    assert done.messages[3]["content"] == [{"type": "text", "text": "Two"}, {"type": "text", "text": note}]
    assert [(one.rule, one.action, one.num_spans) for one in done.applied] == [("current_date", "move", 3), ("uuid", "move", 1)]
    assert messages[3]["content"] == [{"type": "text", "text": "Two"}]


def test_without_a_question_it_stands_at_the_end() -> None:
    done = ruled("current_date", {"role": "system", "content": "Today is 2026-11-26. Be kind."})

    assert done.messages == [{"role": "system", "content": "Today is [current_date]. Be kind.\n\n[current_date: 2026-11-26]"}]


def test_only_the_texts_that_were_named_are_touched() -> None:
    date = "today: 2026-11-26"
    fenced = f"```\n{date}\n```\n`{date}`\n~~~\n{date}"
    roles = ("developer", "user", "assistant", "tool")
    messages = [{"role": role, "content": date} for role in roles]

    def touched(rules: str) -> list[str]:
        done = ruled(rules, {"role": "system", "content": fenced}, *messages)
        return [
            message["role"] for message, old in zip(done.messages[1:], messages, strict=True) if date not in message["content"]
        ]

    assert touched("current_date=drop") == ["developer"]
    assert touched("current_date=drop@user+tool") == ["user", "tool"]
    assert system(fenced, "current_date=drop") == fenced
    assert "2026" not in system(fenced, "current_date=drop@system+code")


def test_a_rule_of_ones_own_takes_its_group() -> None:
    rules = '[{"name": "build", "pattern": "build (\\\\d+)"}, {"name": "who", "pattern": "(?:by|for) (?P<span>\\\\w+)"}]'

    done = ruled(rules, {"role": "system", "content": "build 71 by Ann"}, {"role": "user", "content": "?"})

    assert [message["content"] for message in done.messages] == [
        "build [build] by [who]",
        "?\n\n[build: 71]\n[who: Ann]",
    ]


@given(text=st.text(st.sampled_from("today is:2026-1 \n`'zZTx/.🐝"), max_size=200), name=st.sampled_from([*BUILT_IN_ACTIONS]))
@settings(max_examples=300, deadline=None)
def test_moving_loses_nothing_and_is_the_same_each_time(text: str, name: str) -> None:
    messages = [{"role": "system", "content": text}, {"role": "user", "content": "Q"}]

    done = rewrite(messages, parse_rules(f"{name}=move"))

    assert done == rewrite(messages, parse_rules(f"{name}=move"))
    restored, note = done.messages[0]["content"], done.messages[1]["content"].removeprefix("Q\n\n")
    for line in note.split("\n") if done.applied else []:
        label, _, value = line[1:-1].partition(": ")
        restored = restored.replace(f"[{label}]", value)
    assert restored.split() == text.split()


@pytest.mark.parametrize("name", RULE_PATTERNS)
@pytest.mark.parametrize(
    "unit", ["today is ", "2026-11-26 ", "date", "now: ", "a", "0", "0-", "x-anthropic-billing-header:", "id ", "/a", " "]
)
def test_built_in_patterns_take_time_in_proportion(name: str, unit: str) -> None:
    text = unit * (200_000 // len(unit))
    started_at = time.perf_counter()

    for _ in RULE_PATTERNS[name].finditer(text):
        pass

    assert time.perf_counter() - started_at < 5


@pytest.mark.parametrize("unit", ["2026-11-26 ", "a1", "0.", "/a", "-", "ab "])
def test_the_kind_of_a_span_is_found_soon_in_any_text(unit: str) -> None:
    text = unit * 100_000
    started_at = time.perf_counter()

    shape_of(text, 50_000, 50_001)

    assert time.perf_counter() - started_at < 1


# ---------------------------------------------------------------- the service


@pytest.fixture
async def make_rules() -> AsyncIterator[Any]:
    made: list[PromptRules] = []

    def make(text: str = "") -> PromptRules:
        made.append(PromptRules(parse_rules(text)))
        return made[-1]

    yield make
    for rules in made:
        await rules.close()


async def test_long_prompts_and_own_patterns_give_what_short_ones_give(make_rules: Any) -> None:
    rules = make_rules('["current_date", {"name": "build", "pattern": "build (\\\\d+)"}]')
    messages = [{"role": "system", "content": "build 7. Today is 2026-11-26. " + "x" * INLINE_CHARACTERS}]

    done = await rules.apply(messages, rules.rules_for({}))

    assert done.failure is None
    assert done.messages == rewrite(messages, rules.rules_for({})).messages


async def test_a_model_may_have_rules_of_its_own_or_none(make_rules: Any) -> None:
    rules = make_rules("uuid")

    assert [rule.name for rule in rules.rules_for({})] == ["uuid"]
    assert rules.rules_for({"cache_rules": []}) == ()
    assert [rule.name for rule in rules.rules_for({"cache_rules": ["current_date"]})] == ["current_date"]
    assert rules.rules_for({"cache_rules": ["from another version"]}) == ()


@pytest.mark.parametrize("pattern", [r"(x+x+)+y", r"(a|aa)+$", r"(\d+)*z", r"^(\s*\w+\s*)+$", r"(.*a){20}b"])
async def test_a_pattern_that_runs_away_is_refused_when_it_is_set(make_rules: Any, pattern: str) -> None:
    with pytest.raises(InvalidRequestError, match="takes longer than 2 s") as caught:
        await make_rules().check_config({"cache_rules": [{"name": "runaway", "pattern": pattern}]})

    assert caught.value.param == "config.cache_rules"


@pytest.mark.parametrize("pattern", [r"\d+ms", r"session=(\w+);", r"^build: (.+)$", r"(?i)user (?:name|id) (\S+)"])
async def test_usual_patterns_are_taken(make_rules: Any, pattern: str) -> None:
    await make_rules().check_config({"cache_rules": [{"name": "usual", "pattern": pattern}]})


async def test_a_pattern_that_runs_away_on_one_prompt_costs_a_hit_and_no_answer(make_rules: Any) -> None:
    rules = make_rules(RUNAWAY)
    messages = [{"role": "system", "content": "x" * 5_000}]
    started_at = time.perf_counter()

    done = await rules.apply(messages, rules.rules_for({}))

    assert done.messages == messages
    assert done.failure == "they took too long"
    assert time.perf_counter() - started_at < 20


async def test_a_pattern_of_the_server_that_runs_away_stops_the_start(make_rules: Any) -> None:
    with pytest.raises(InvalidRequestError, match="MLX_PROMPT_CACHE_RULES"):
        await make_rules(RUNAWAY).start()
