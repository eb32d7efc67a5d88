"""What becomes of schemas, regexes and grammars: what they let through, and what is said of wrong ones."""

import json
import random
from typing import Any

import jsonschema_rs
import pytest
from fixtures.formats import checked, is_in, random_text
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from unified_mlx_app.services.format_worker import FormatError

# ------------------------------------------------------------- random schemas

names = st.sampled_from(["a", "b", "c d", "é"])
plain_schemas = st.one_of(
    st.builds(
        lambda low, size: {"type": "integer", "minimum": low, "maximum": low + size}, st.integers(-50, 50), st.integers(0, 99)
    ),
    st.builds(lambda low: {"type": "number", "exclusiveMinimum": low, "maximum": low + 2.5}, st.integers(-9, 9)),
    st.builds(
        lambda low, size: {"type": "string", "minLength": low, "maxLength": low + size}, st.integers(0, 3), st.integers(0, 4)
    ),
    st.sampled_from(
        [
            {"type": "boolean"},
            {"type": "null"},
            {"type": ["string", "null"], "maxLength": 3},
            {"type": "string", "pattern": "^[a-f0-9]{2,4}$"},
            {"type": "string", "pattern": "b+", "maxLength": 6},
            {"type": "string", "format": "date"},
            {"type": "string", "format": "uuid"},
            {"type": "string", "format": "ipv4"},
            {"type": "integer", "multipleOf": 7},
            {"const": {"k": [1, None, "x"]}},
            {"enum": ["one", 2, None, ["three"], {"four": 4}]},
            {"$ref": "#/$defs/leaf"},
        ]
    ),
)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    def build(properties: dict[str, Any], num_required: int, rest: Any) -> dict[str, Any]:
        required = list(properties)[:num_required]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": rest}

    return st.builds(
        build, st.dictionaries(names, inner, max_size=3), st.integers(0, 3), st.sampled_from([False, {"type": "integer"}, True])
    )


def arrays(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    def build(items: Any, prefix: list[Any], low: int, size: int) -> dict[str, Any]:
        start = {"prefixItems": prefix} if prefix else {}
        return {"type": "array", **start, "items": items, "minItems": low, "maxItems": low + size}

    return st.builds(build, inner, st.lists(inner, max_size=2), st.integers(0, 2), st.integers(0, 2))


schemas = st.recursive(
    plain_schemas,
    lambda inner: st.one_of(
        objects(inner), arrays(inner), st.builds(lambda each: {"anyOf": each}, st.lists(inner, min_size=1, max_size=3))
    ),
    max_leaves=5,
)


@given(schema=schemas, seed=st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_whatever_a_schemas_grammar_lets_through_satisfies_the_schema(schema: dict[str, Any], seed: int) -> None:
    schema = {**schema, "$defs": {"leaf": {"type": "integer", "enum": [1, 22, 333]}}}
    text = random_text(checked("json_schema", schema).constraint.grammar, random.Random(seed))
    assume(text is not None)
    assert text is not None

    value = json.loads(text.decode())

    assert jsonschema_rs.validator_for(schema, validate_formats=True).is_valid(value), (schema, text)


# -------------------------------------------------------------- what they mean


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (
            {"type": "object", "properties": {"a": {"type": "integer"}}},
            ['{"a": 1}', '{"a": 1, "z": [null]}', "{}"],
            ['{"a":1}', "{ }"],
        ),
        ({"type": "object", "additionalProperties": False}, ["{}"], ['{"a": 1}']),
        ({"type": "object", "patternProperties": {"^x": {"type": "null"}}}, ['{"x1": null}', '{"y": 1}'], ['{"x1": 1}']),
        ({"type": "object", "minProperties": 2}, ['{"a": 1, "b": 2}'], ['{"a": 1}']),
        ({"type": "string", "pattern": "b"}, ['"abc"'], ['"ac"']),
        ({"type": "string"}, ['"é\\n\\u0001😀"'], ['"\\ud800"', '"\n"']),
        ({"type": "array", "prefixItems": [{"type": "integer"}], "items": False}, ["[1]", "[]"], ["[1, 2]"]),
        ({"allOf": [{"required": ["a"], "properties": {"a": {"type": "null"}}}, {"type": "object"}]}, ['{"a": null}'], ["{}"]),
        (
            {"oneOf": [{"type": "object", "properties": {"t": {"const": "x"}}, "required": ["t"]}, {"type": "null"}]},
            ["null"],
            ["1"],
        ),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}}}}, ["[[], [[]]]"], ["[1]"]),
        ({"type": "array", "items": {"$ref": "#"}}, ["[[], []]"], ["[{}]"]),
        ({"enum": [f"value {number}" for number in range(3000)]}, ['"value 2999"'], ['"value 3000"', '"value"']),
        (True, ["1", '"x"', "[{}]"], ["x", ""]),
        ({"type": "integer", "title": "x", "default": 1, "x-any": {"type": "bogus"}, "format": "int32"}, ["-7"], ["1.5"]),
    ],
)
def test_a_schema_allows_what_json_schema_says(schema: Any, good: list[str], bad: list[str]) -> None:
    grammar = checked("json_schema", {"anyOf": [schema]} if schema is True else schema).constraint.grammar

    assert [text for text in good if not is_in(grammar, text)] == []
    assert [text for text in bad if is_in(grammar, text)] == []


@pytest.mark.parametrize(
    ("kind", "content", "good", "bad"),
    [
        ("regex", "[0-9]{3}-x", ["123-x"], ["123-xy", " 123-x"]),
        ("regex", "^(a|b)$", ["a", "b"], ["ab"]),
        ("regex", 'a/"\\n\\\\', ['a/"\n\\'], []),
        ("regex", "", [""], ["a"]),
        ("regex", "é+|\\p{L}\u3042", ["éé", "xあ"], ["e"]),
        ("choice", ["yes", 'no "way"\n\\', "é😀", "/x/"], ["yes", 'no "way"\n\\', "é😀", "/x/"], ["ye", "x"]),
        ("lark", 'start: "a" rest\nrest: /[0-9]+/ | "(" rest ")"', ["a1", "a((22))"], ["a(1"]),
    ],
)
def test_a_whole_answer_matches(kind: Any, content: Any, good: list[str], bad: list[str]) -> None:
    grammar = checked(kind, content).constraint.grammar

    assert [text for text in good if not is_in(grammar, text)] == []
    assert [text for text in bad if is_in(grammar, text)] == []


def test_an_expression_stands_for_its_format_within_a_larger_grammar() -> None:
    arguments = checked("json_schema", {"type": "object", "properties": {"x": {"enum": [1, 2]}}, "additionalProperties": False})
    word = checked("choice", ["call", "run"])

    grammar = f'start: {word.expression} "<" {arguments.expression} ">"'

    assert is_in(grammar, 'run<{"x": 2}>')
    assert not is_in(grammar, 'run<{"x": 3}>')


# --------------------------------------------------------------- what is wrong

BOGUS = {"type": "bogus"}
DEFINED = {"$defs": {"x": {"properties": {"y": {"type": "string", "pattern": "(a"}}}}}


@pytest.mark.parametrize(
    ("schema", "place", "reason"),
    [
        (BOGUS, "", "bogus"),
        ({"type": "object", "properties": {"a": {"type": "array", "items": BOGUS}}}, ".properties.a.items", "bogus"),
        ({"properties": {"a b": {"anyOf": [{"type": "null"}, BOGUS]}}}, '.properties["a b"].anyOf[1]', "bogus"),
        (
            {"properties": {"q": {"$ref": "#/$defs/x/properties/y"}}, **DEFINED},
            ".$defs.x.properties.y",
            "character 1: unclosed group",
        ),
        ({"properties": {f"p{n}": {"type": "null"} for n in range(200)} | {"z": {"minLength": -1}}}, ".properties.z", "-1"),
        ({"properties": {"a": 5}}, ".properties.a", "object, true or false"),
        ({"properties": 5}, "", "properties must be an object"),
        ({"required": "a"}, "", "required"),
        ({"enum": []}, "", "empty"),
        ({"type": "object", "properties": {"a": {"enum": []}}, "required": ["a"]}, "", "required property 'a'"),
        ({"$ref": "#/$defs/none"}, "", "/$defs/none"),
        ({"items": {"$ref": "https://example.com/s.json"}}, ".items.$ref", "within the schema"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "", "nothing can satisfy it"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, "", "minimum (5) is greater than maximum (3)"),
        ({"type": "string", "pattern": "(?=a)b"}, "", "look-around"),
        ({"oneOf": [{"type": "string"}, {"type": "string", "minLength": 2}]}, "", "use anyOf"),
        ({"properties": {"a": {"not": {"type": "null"}}}}, ".properties.a.not", "cannot be kept"),
        ({"type": "array", "uniqueItems": True}, ".uniqueItems", "cannot be kept"),
        ({"type": "string", "format": "idn-email"}, ".format", "cannot be kept"),
        ({"type": "string", "maximumLength": 3}, ".maximumLength", "cannot be kept"),
        ({"if": {}, "then": {}}, ".if", "cannot be kept"),
    ],
)
def test_a_wrong_strict_schema_is_refused_where_it_is_wrong(schema: dict[str, Any], place: str, reason: str) -> None:
    with pytest.raises(FormatError) as refused:
        checked("json_schema", schema)

    assert refused.value.place == place
    assert reason in refused.value.message
    assert "x-guidance" not in refused.value.message


def test_a_schema_that_is_not_strict_tells_what_it_leaves_out_and_keeps_the_rest() -> None:
    items = {"type": "string", "format": "idn-email", "maxLength": 2}
    schema = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True, "items": items}}, "required": ["a"]}

    result = checked("json_schema", schema, is_strict=False)

    assert set(result.left_out) == {"properties.a.uniqueItems", "properties.a.items.format"}
    assert is_in(result.constraint.grammar, '{"a": ["x", "x"]}')
    assert not is_in(result.constraint.grammar, '{"a": ["xyz"]}')


def test_overlapping_alternatives_are_kept_as_any_of_them_when_not_strict() -> None:
    result = checked("json_schema", {"oneOf": [{"type": "string"}, {"type": "string", "minLength": 2}]}, is_strict=False)

    assert any("oneOf" in left_out for left_out in result.left_out)
    assert is_in(result.constraint.grammar, '"abc"')


def test_keywords_without_effect_are_no_reason_to_refuse() -> None:
    assert checked("json_schema", {"type": "array", "uniqueItems": False, "nullable": False}).left_out == ()


@pytest.mark.parametrize("depth", [33, 150])
def test_a_schema_nested_too_deep_is_refused(depth: int) -> None:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(depth - 1):
        schema = {"type": "array", "items": schema}

    with pytest.raises(FormatError, match="32 deep"):
        checked("json_schema", schema)


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("regex", "ab(c", "character 3: unclosed group"),
        ("regex", "a(?!x)", "look-around"),
        ("regex", r"(a)\1", "backreferences"),
        ("lark", "start: a\na: b", 'unknown name: "b" in line 2, column 4'),
        ("lark", 'go: "a"', "no start rule"),
        ("lark", 'start: "a', "line 1, column"),
        ("lark", "start: <|im_end|>", "unknown special token"),
        ("lark", '{"grammars": [{"json_schema": {}}]}', "not Lark"),
        ("lark", "start: " + "(" * 5000 + '"a"' + ")" * 5000, "nested"),
        ("lark", "start: A0\n" + "\n".join(f"A{n}: A{n + 1} A{n + 1}" for n in range(60)) + '\nA60: "x"', "too big"),
    ],
)
def test_a_wrong_expression_is_refused_with_the_reason_in_one_line(kind: Any, text: str, reason: str) -> None:
    with pytest.raises(FormatError) as refused:
        checked(kind, text)

    assert reason in refused.value.message
    assert "\n" not in refused.value.message
    assert len(refused.value.message) < 500
