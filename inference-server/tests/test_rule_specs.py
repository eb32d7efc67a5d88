"""How rules for volatile text are written, and what is said of wrong ones."""

import pytest
from pydantic import ValidationError
from unified_mlx_app.config import Settings
from unified_mlx_app.rule_specs import RuleError, RuleSpec, parse_rules


def test_rules_in_words() -> None:
    rules = parse_rules(" uuid, current_date=normalise@user+system ,billing_header")

    assert rules == (
        RuleSpec("billing_header", "drop"),
        RuleSpec("current_date", "normalise", None, ("system", "user")),
        RuleSpec("uuid", "move"),
    )
    assert [rule.short for rule in rules] == ["billing_header", "current_date=normalise@system+user", "uuid"]


def test_rules_in_json_may_have_patterns() -> None:
    (rule,) = parse_rules('[{"name": "build", "pattern": "build (\\\\d+)", "action": "drop", "places": ["user", "code"]}]')

    assert rule == RuleSpec("build", "drop", "build (\\d+)", ("user", "code"))


def test_nothing_is_no_rule() -> None:
    assert parse_rules("") == parse_rules([]) == ()


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("nope", "[0].name", "no built-in rule 'nope'"),
        ("uuid=burn", "[0].action", "move, normalise, drop"),
        ("uuid@moon", "[0].places", "system, user"),
        ("billing_header,uuid,uuid", "[2]", "another rule 'uuid'"),
        ("uuid=a=b", "[0]", "in one word"),
        ("[3]", "[0]", "a word or an object"),
        ("[", "", "JSON"),
        ("[" * 100_000, "", "JSON"),
        ('[{"name": "UUID", "pattern": "x"}]', "[0].name", "small letters"),
        ('[{"name": "x", "pattern": "("}]', "[0].pattern", "no regular expression"),
        ('[{"name": "x", "pattern": "a*"}]', "[0].pattern", "without a character"),
        ('[{"name": "x", "pattern": "(a)(b)"}]', "[0].pattern", "several groups"),
        ('[{"name": "x", "pattern": ""}]', "[0].pattern", "1 to 500"),
        ('[{"name": "x", "pattern": "%s"}]' % ("a" * 501), "[0].pattern", "1 to 500"),
        ('[{"name": "uuid", "pattern": "a"}]', "[0].pattern", "built-in"),
        ('[{"name": "uuid", "actoin": "move"}]', "[0]", "no 'actoin'"),
        ('[{"name": "uuid", "places": []}]', "[0].places", "system, user"),
        ('[{"name": "uuid", "action": {}}]', "[0].action", "move, normalise, drop"),
        (",".join(["uuid"] * 17), "", "at most 16"),
    ],
)
def test_a_wrong_rule_is_named(text: str, place: str, words: str) -> None:
    with pytest.raises(RuleError, match=words) as caught:
        parse_rules(text)

    assert caught.value.place == place


def test_the_variable_is_read_and_a_wrong_one_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_PROMPT_CACHE_RULES", "current_date")
    assert Settings().prompt_cache_rules == (RuleSpec("current_date"),)

    monkeypatch.setenv("MLX_PROMPT_CACHE_RULES", "curent_date")
    with pytest.raises(ValidationError, match="no built-in rule 'curent_date'"):
        Settings()


def test_settings_that_go_to_another_process_come_back_the_same() -> None:
    rules = '["uuid@user", {"name": "build", "pattern": "build (\\\\d+)", "places": ["code"]}]'
    before = Settings(prompt_cache_rules=rules)  # pyright: ignore[reportArgumentType]

    assert Settings.model_validate_json(before.model_dump_json(exclude_computed_fields=True)) == before
