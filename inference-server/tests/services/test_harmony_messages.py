"""Conversations as gpt-oss's template wants them, and the prompts that come out of it."""

from typing import Any

import pytest
from fixtures.harmony import TEMPLATE
from fixtures.tokenizer_folders import SpecMaker
from unified_mlx_app.services.chat_template import ChatTemplates
from unified_mlx_app.services.harmony_messages import to_harmony
from unified_mlx_app.services.tokenizers import Tokenizers

USER = {"role": "user", "content": "Hi"}


def call(name: str) -> dict[str, Any]:
    return {"id": f"id_{name}", "type": "function", "function": {"name": name, "arguments": {"of": name}}}


def result(name: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"id_{name}", "content": f"result of {name}"}


def test_instructions_in_a_row_are_one_message() -> None:
    messages = [{"role": "system", "content": "A"}, {"role": "developer", "content": ""}, {"role": "developer", "content": "B"}]

    placed = to_harmony([*messages, USER])

    assert [each.message for each in placed] == [{"role": "system", "content": "A\n\nB"}, USER]
    assert [each.origin for each in placed] == [0, 3]


def test_instructions_amid_a_conversation_are_not_lost() -> None:
    placed = to_harmony([USER, {"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Be kind."}])

    assert [(each.message["role"], each.message["content"]) for each in placed[1:]] == [
        ("user", "Be brief."),
        ("user", "Be kind."),
    ]


def test_each_call_stands_before_its_own_result() -> None:
    message = {"role": "assistant", "content": "", "reasoning": "Hm.", "tool_calls": [call("a"), call("b"), call("c")]}

    placed = to_harmony([USER, message, result("c"), result("a"), result("b"), USER])

    assert [each.origin for each in placed] == [0, 1, 3, 1, 4, 1, 2, 5]
    names = [each.message["tool_calls"][0]["function"]["name"] for each in placed if "tool_calls" in each.message]
    assert names == ["a", "b", "c"]
    assert [each.message.get("thinking") for each in placed if each.origin == 1] == ["Hm.", None, None]


def test_a_thought_and_a_text_before_a_call_are_one_thought() -> None:
    message = {"role": "assistant", "content": "Let me see.", "reasoning_content": "Hm.", "tool_calls": [call("a")]}

    (placed,) = to_harmony([message])

    assert (placed.message["thinking"], placed.message["content"]) == ("Hm.\n\nLet me see.", "")


def test_no_calls_are_not_calls() -> None:
    (placed,) = to_harmony([{"role": "assistant", "content": "Hi", "tool_calls": []}])

    assert placed.message == {"role": "assistant", "content": "Hi"}


CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "developer", "content": "Be kind."},
    USER,
    {
        "role": "assistant",
        "content": "Let me see.",
        "reasoning_content": "Hm.",
        "tool_calls": [
            {"id": "id_a", "type": "function", "function": {"name": "a", "arguments": '{"of": 1}'}},
            {"id": "id_b", "type": "function", "function": {"name": "b", "arguments": '{"of": 2}'}},
        ],
    },
    result("b"),
    result("a"),
]
TOOLS = [{"type": "function", "function": {"name": "a", "parameters": {}}}]


@pytest.mark.anyio
async def test_the_prompt_has_all_of_the_conversation(templates: ChatTemplates, spec_with: SpecMaker) -> None:
    kwargs = {"reasoning_effort": "low"}

    prompt = await templates.render(spec_with(TEMPLATE), CONVERSATION, tools=TOOLS, template_kwargs=kwargs)

    assert "Reasoning: low\n" in prompt.text
    assert prompt.text.endswith(
        "<|start|>developer<|message|># Instructions\n\nBe brief.\n\nBe kind.\n\n"
        "# Tools\n\nnamespace functions {\n// \ntype a = (_: {}) => any;\n}<|end|>"
        "<|start|>user<|message|>Hi<|end|>"
        "<|start|>assistant<|channel|>analysis<|message|>Hm.\n\nLet me see.<|end|>"
        '<|start|>assistant to=functions.a<|channel|>commentary json<|message|>{"of": 1}<|call|>'
        '<|start|>functions.a to=assistant<|channel|>commentary<|message|>"result of a"<|end|>'
        '<|start|>assistant to=functions.b<|channel|>commentary json<|message|>{"of": 2}<|call|>'
        '<|start|>functions.b to=assistant<|channel|>commentary<|message|>"result of b"<|end|>'
        "<|start|>assistant"
    )


@pytest.mark.anyio
async def test_thoughts_go_once_the_turn_is_answered_and_the_rest_of_the_prompt_stays(
    templates: ChatTemplates, spec_with: SpecMaker
) -> None:
    spec = spec_with(TEMPLATE)
    answered = [*CONVERSATION, {"role": "assistant", "content": "Done.", "reasoning_content": "Ah."}, USER]

    first, later = [await templates.render(spec, each, tools=None, template_kwargs={}) for each in (CONVERSATION[:3], answered)]

    assert "Hm." not in later.text
    assert "Ah." not in later.text
    end = next(boundary.end_tokens for boundary in first.boundaries if boundary.kind == "turn")
    assert later.token_ids[:end] == first.token_ids[:end]


@pytest.mark.anyio
@pytest.mark.parametrize(("text", "message"), [("Be kind", 0), ("result of a", 5), ("result of b", 4)])
async def test_places_in_the_prompt_are_told_in_the_clients_own_messages(
    templates: ChatTemplates, spec_with: SpecMaker, text: str, message: int
) -> None:
    spec = spec_with(TEMPLATE)
    prompt = await templates.render(spec, CONVERSATION, tools=None, template_kwargs={})
    char_index = prompt.text.index(text) + 1

    (found,) = await templates.find_contents(
        spec, CONVERSATION, tools=None, template_kwargs={}, prompt=prompt, char_indexes=[char_index]
    )

    assert found is not None
    assert (found.message, found.role) == (message, CONVERSATION[message]["role"])
    tokenizer = await Tokenizers().get(spec)
    index = next(index for index in range(len(prompt.token_ids)) if tokenizer._char_of_token(prompt.text, index) >= char_index)
    located = await templates.locate(spec, CONVERSATION, tools=None, template_kwargs={}, prompt=prompt, token_index=index)
    assert located == message
