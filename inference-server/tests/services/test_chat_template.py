"""Prompts are those of transformers, their parts end where later prompts still agree, and a hostile template hurts nobody."""

import asyncio
from typing import Any

import pytest
from fixtures.tokenizer_folders import (
    CHATML,
    CHATML_WITH_DEFAULT_SYSTEM,
    GEMMA,
    LLAMA2,
    SYSTEM_IN_LAST_TURN,
    TEMPLATES,
    THINKING,
    TOOLS,
    TRIMMING,
    SpecMaker,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer
from unified_mlx_app.errors import InvalidRequestError, UnsupportedFieldError
from unified_mlx_app.services.chat_template import ChatTemplates, RenderedPrompt
from unified_mlx_app.services.tokenizers import MAX_TEXT_BYTES
from unified_mlx_app.types import ModelSpec

pytestmark = pytest.mark.anyio

SYSTEM = {"role": "system", "content": "  You are the bee Ångström 🐝.\n\n"}
QUESTION = {"role": "user", "content": "What is the answer?"}
ANSWER = {"role": "assistant", "content": "The answer is thus: 42."}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}

BOMBS = {
    "class walk": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "long string": "{{ ('a' * 2000000000) | length }}",
    "nested loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "long range": "{% for i in range(1000000000) %}x{% endfor %}",
    "power": "{{ 9 ** (9 ** 9) }}",
    "padding": "{{ 'x'.center(3000000000) | length }}",
    "format": "{{ '%03000000000d' | format(1) | length }}",
    "doubling": "{% set n = namespace(s='a') %}{% for i in range(34) %}{% set n.s = n.s ~ n.s %}{% endfor %}{{ n.s }}",
    "recursion": "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "long output": "{{ 'a' * 30000000 }}",
}


async def _render(
    templates: ChatTemplates,
    spec: ModelSpec,
    *messages: dict[str, Any],
    tools: list[dict[str, Any]] | None = None,
    **template_kwargs: Any,
) -> RenderedPrompt:
    return await templates.render(spec, list(messages), tools=tools, template_kwargs=template_kwargs)


def _parts(spec: ModelSpec, prompt: RenderedPrompt) -> dict[str, str]:
    """Text of the prompt up to each boundary."""
    tokenizer = AutoTokenizer.from_pretrained(spec.path)
    return {boundary.kind: tokenizer.decode(prompt.token_ids[: boundary.end_tokens]) for boundary in prompt.boundaries}


@pytest.mark.parametrize("name", TEMPLATES)
async def test_prompt_is_that_of_transformers(templates: ChatTemplates, spec_with: SpecMaker, name: str) -> None:
    spec = spec_with(TEMPLATES[name])
    messages = [SYSTEM, QUESTION, ANSWER, QUESTION]

    prompt = await _render(templates, spec, *messages)

    tokenizer = AutoTokenizer.from_pretrained(spec.path)
    assert prompt.text == tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert prompt.token_ids == tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)


@pytest.mark.parametrize(
    ("template", "system", "turn"),
    [
        (
            CHATML,
            "<|im_start|>system\n  You are the bee Ångström 🐝.\n\n<|im_end|>\n<|im_start|>user\n",
            "What is the answer?<|im_end|>\n",
        ),
        (
            TRIMMING,
            "<|im_start|>system\nYou are the bee Ångström 🐝.<|im_end|>\n<|im_start|>user\n",
            "What is the answer?<|im_end|>\n",
        ),
        (GEMMA, "<s><start_of_turn>user\n  You are the bee Ångström 🐝.\n\n\n\n", "What is the answer?<end_of_turn>\n"),
        (LLAMA2, "<s>[INST] <<SYS>>\n  You are the bee Ångström 🐝.\n\n\n<</SYS>>\n\n", None),
    ],
    ids=["chatml", "trimming", "gemma", "llama2"],
)
async def test_parts_end_where_the_template_ends_them(
    templates: ChatTemplates, spec_with: SpecMaker, template: str, system: str, turn: str | None
) -> None:
    spec = spec_with(template)

    prompt = await _render(templates, spec, SYSTEM, QUESTION)

    expected = {"system": system, **({"turn": system + turn} if turn else {})}
    assert _parts(spec, prompt) == expected


@pytest.mark.parametrize("template", [CHATML, GEMMA, LLAMA2, TRIMMING, THINKING])
async def test_without_a_system_message_there_is_no_system_part(
    templates: ChatTemplates, spec_with: SpecMaker, template: str
) -> None:
    prompt = await _render(templates, spec_with(template), QUESTION, ANSWER, QUESTION)

    assert "system" not in {boundary.kind for boundary in prompt.boundaries}


async def test_a_system_text_of_the_templates_own_is_a_system_part(templates: ChatTemplates, spec_with: SpecMaker) -> None:
    spec = spec_with(CHATML_WITH_DEFAULT_SYSTEM)

    prompt = await _render(templates, spec, QUESTION)

    assert _parts(spec, prompt)["system"] == "<|im_start|>system\nYou are a helpful bee.<|im_end|>\n<|im_start|>user\n"


async def test_tools_are_a_system_part(templates: ChatTemplates, spec_with: SpecMaker) -> None:
    spec = spec_with(TOOLS)

    prompt = await _render(templates, spec, QUESTION, tools=[TOOL])

    assert '"weather"' in _parts(spec, prompt)["system"]
    assert (await _render(templates, spec, QUESTION)).boundaries[0].kind == "turn"


async def test_a_system_text_in_the_last_turn_is_no_prefix_of_a_long_conversation(
    templates: ChatTemplates, spec_with: SpecMaker
) -> None:
    spec = spec_with(SYSTEM_IN_LAST_TURN)

    first = await _render(templates, spec, SYSTEM, QUESTION)
    later = await _render(templates, spec, SYSTEM, QUESTION, ANSWER, QUESTION)

    assert SYSTEM["content"] in _parts(spec, first)["system"]
    assert later.boundaries == []


async def test_a_conversation_that_begins_with_a_greeting_has_its_system_part(
    templates: ChatTemplates, spec_with: SpecMaker
) -> None:
    spec = spec_with(CHATML)

    prompt = await _render(templates, spec, SYSTEM, ANSWER, QUESTION)

    assert _parts(spec, prompt)["system"].endswith("<|im_start|>assistant\n")


async def test_stripped_thoughts_leave_the_turn_before_them_a_prefix(templates: ChatTemplates, spec_with: SpecMaker) -> None:
    spec = spec_with(THINKING)
    thoughtful = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nThe answer."}

    now = await _render(templates, spec, QUESTION)
    later = await _render(templates, spec, QUESTION, thoughtful, QUESTION)

    (turn,) = now.boundaries
    assert now.token_ids[: turn.end_tokens] == later.token_ids[: turn.end_tokens]
    assert "hm" not in later.text


async def test_switches_reach_the_template_and_move_no_boundary(templates: ChatTemplates, spec_with: SpecMaker) -> None:
    spec = spec_with(THINKING)

    thinking = await _render(templates, spec, QUESTION)
    silent = await _render(templates, spec, QUESTION, enable_thinking=False)

    assert silent.text == thinking.text + "<think>\n\n</think>\n\n"
    assert silent.boundaries == thinking.boundaries


@pytest.mark.parametrize("name", ["messages", "bos_token", "chat_template", "tools", "add_generation_prompt", "x\x00"])
async def test_other_switches_are_refused(templates: ChatTemplates, spec_with: SpecMaker, name: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await templates.render(spec_with(CHATML), [QUESTION], tools=None, template_kwargs={name: "x"})

    assert caught.value.param == "chat_template_kwargs"


async def test_messages_are_brought_into_the_templates_form(templates: ChatTemplates, spec_with: SpecMaker) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]},
        {"role": "assistant", "content": None, "tool_calls": [call], "name": None},
    ]

    prompt = await _render(templates, spec_with(TOOLS), *messages)

    assert prompt.text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>assistant\ncity=Oslo<|im_end|>\n")
    assert messages[1]["tool_calls"][0]["function"]["arguments"] == '{"city": "Oslo"}'


@pytest.mark.parametrize("content", [[{"type": "image_url", "image_url": {"url": "x"}}], ["text"], [{"type": None}]])
async def test_parts_other_than_text_are_named(templates: ChatTemplates, spec_with: SpecMaker, content: Any) -> None:
    with pytest.raises(UnsupportedFieldError) as caught:
        await _render(templates, spec_with(CHATML), {"role": "user", "content": content})

    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    ("template", "messages", "words"),
    [
        (GEMMA, [QUESTION, QUESTION], "roles must alternate"),
        (CHATML, [], "empty"),
        (CHATML, [{"role": "user", "content": "a\ud800"}], "surrogate"),
        (CHATML, [{"role": "user", "content": "a" * (MAX_TEXT_BYTES + 1)}], "bytes"),
        ("{{ nothing.at.all }}", [QUESTION], "undefined"),
        ("{% broken", [QUESTION], "chat template"),
        (None, [QUESTION], "/v1/completions"),
    ],
)
async def test_what_cannot_be_rendered_is_the_requests_error(
    templates: ChatTemplates, spec_with: SpecMaker, template: str | None, messages: list[dict[str, Any]], words: str
) -> None:
    with pytest.raises(InvalidRequestError, match=words) as caught:
        await _render(templates, spec_with(template), *messages)

    assert caught.value.param == "messages"


@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_is_refused_in_time_and_others_go_on(templates: ChatTemplates, spec_with: SpecMaker, name: str) -> None:
    good, bad = spec_with(CHATML, name="good"), spec_with(BOMBS[name], name="bad")
    await _render(templates, good, QUESTION)
    loop = asyncio.get_running_loop()
    started_at = loop.time()

    bomb = asyncio.create_task(_render(templates, bad, QUESTION))
    others = await asyncio.gather(*(_render(templates, good, SYSTEM, QUESTION) for _ in range(2)))

    with pytest.raises(InvalidRequestError, match="chat template"):
        await bomb
    assert loop.time() - started_at < 8
    assert [prompt.text.count("Ångström") for prompt in others] == [1, 1]


async def test_a_token_is_found_in_its_message(templates: ChatTemplates, spec_with: SpecMaker) -> None:
    messages = [SYSTEM, *({"role": ("user", "assistant")[n % 2], "content": f"number {n} is {n * n}"} for n in range(9))]
    spec = spec_with(CHATML)
    prompt = await _render(templates, spec, *messages)
    tokenizer = AutoTokenizer.from_pretrained(spec.path)

    async def message_of(words: str) -> int | None:
        before = prompt.text[: prompt.text.index(words)]
        token_index = len(tokenizer.encode(before, add_special_tokens=False))
        return await templates.locate(spec, messages, tools=None, template_kwargs={}, prompt=prompt, token_index=token_index)

    assert [await message_of(words) for words in ("Ångström", "number 0", "is 9", "is 64")] == [0, 1, 4, 9]
    last = len(prompt.token_ids)
    assert await templates.locate(spec, messages, tools=None, template_kwargs={}, prompt=prompt, token_index=last) is None


async def test_an_explanation_that_cannot_be_had_is_absent(templates: ChatTemplates, spec_with: SpecMaker) -> None:
    prompt = await _render(templates, spec_with(CHATML), SYSTEM, QUESTION)
    bad = spec_with(BOMBS["recursion"])

    index = await templates.locate(bad, [SYSTEM, QUESTION], tools=None, template_kwargs={}, prompt=prompt, token_index=3)

    assert index is None


CONTENTS = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(["\n\n", " ", "A", "<|im_end|>", "🐝"])


@given(
    name=st.sampled_from(sorted(TEMPLATES)),
    system=st.none() | CONTENTS,
    contents=st.lists(CONTENTS, min_size=1, max_size=5).filter(lambda contents: len(contents) % 2 == 1),
    other=CONTENTS,
)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_boundaries_are_prefixes_that_later_prompts_share(
    templates: ChatTemplates, spec_with: SpecMaker, name: str, system: str | None, contents: list[str], other: str
) -> None:
    spec = spec_with(TEMPLATES[name], name=f"model-{name}")
    head = [] if system is None else [{"role": "system", "content": system}]
    turns = [{"role": ("user", "assistant")[n % 2], "content": content} for n, content in enumerate(contents)]

    prompt = await _render(templates, spec, *head, *turns)
    again = await _render(templates, spec, *head, *turns)

    tokenizer = AutoTokenizer.from_pretrained(spec.path)
    assert prompt == again
    assert prompt.token_ids == tokenizer.encode(prompt.text, add_special_tokens=False)
    ends = [boundary.end_tokens for boundary in prompt.boundaries]
    assert ends == sorted(set(ends))
    assert all(0 < end < len(prompt.token_ids) for end in ends)
    for boundary in prompt.boundaries:
        if boundary.kind == "turn":
            assert tokenizer.decode(prompt.token_ids[boundary.end_tokens :]) in prompt.text
        elif system and name == "chatml":
            different = await _render(templates, spec, *head, {"role": "user", "content": f"Z{other}"})
            assert prompt.text.startswith(f"<|im_start|>system\n{system}")
            assert different.boundaries[0].end_tokens >= boundary.end_tokens
            assert different.token_ids[: boundary.end_tokens] == prompt.token_ids[: boundary.end_tokens]
