"""A changed span is found in the right message at the right characters, whatever the template does with the message."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from fixtures.tokenizer_folders import CHATML, TEMPLATES, TOOLS, TRIMMING, SpecMaker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unified_mlx_app.cache.changed_spans import find_changes
from unified_mlx_app.observability.metrics import Metrics
from unified_mlx_app.services.changed_texts import ChangedText, Explanation
from unified_mlx_app.services.chat_template import ChatTemplates
from unified_mlx_app.services.generation import ChatPrompt, RawPrompt
from unified_mlx_app.services.miss_explanations import MAX_RECENT, MAX_TOTALS, ExplainedPrompt, MissExplanations
from unified_mlx_app.services.tokenizers import Tokenizers
from unified_mlx_app.types import CacheReport, ModelSpec

pytestmark = pytest.mark.anyio

REST = " The answer to the question is thus: Ångström said 🐝🐝, and that is all." * 3
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


@dataclass
class Explainer:
    """Explains prompts against one that is stored, as after a look-up in the engine."""

    tokenizers: Tokenizers
    templates: ChatTemplates
    metrics: Metrics
    misses: MissExplanations

    async def compare(
        self,
        spec: ModelSpec,
        stored: list[dict[str, Any]],
        messages: list[dict[str, Any]],
        *,
        tools: tuple[list[dict[str, Any]] | None, list[dict[str, Any]] | None] = (None, None),
    ) -> Explanation:
        old = await self.templates.render(spec, stored, tools=tools[0], template_kwargs={})
        new = await self.templates.render(spec, messages, tools=tools[1], template_kwargs={})
        explained = ExplainedPrompt(spec, await self.tokenizers.get(spec), ChatPrompt(messages), new.token_ids, new, tools[1], {})
        return await self.misses.explain(explained, _report(old.token_ids, new.token_ids))

    async def compare_raw(self, spec: ModelSpec, stored: str, text: str, *, as_tokens: bool = False) -> Explanation:
        tokenizer = await self.tokenizers.get(spec)
        old, new = [await tokenizer.encode(each, add_special_tokens=True) for each in (stored, text)]
        prompt = RawPrompt(new if as_tokens else text)
        return await self.misses.explain(ExplainedPrompt(spec, tokenizer, prompt, new, None, None, {}), _report(old, new))


def _report(stored: list[int], tokens: list[int]) -> CacheReport:
    changed = find_changes(np.asarray(stored, np.int32), np.asarray(tokens, np.int32))
    return CacheReport(outcome="miss", miss_reason="diverged", diverged_at_token=0, changed=changed)


@pytest.fixture(scope="module")
async def explainer() -> AsyncIterator[Explainer]:
    tokenizers, metrics = Tokenizers(), Metrics()
    templates = ChatTemplates(tokenizers)
    await templates.start()
    yield Explainer(tokenizers, templates, metrics, MissExplanations(templates, metrics))
    await templates.close()


def system(text: str) -> list[dict[str, Any]]:
    return [{"role": "system", "content": text}, {"role": "user", "content": "Hi"}]


def one(explanation: Explanation) -> ChangedText:
    (change,) = explanation.changes
    return change


@pytest.mark.parametrize(
    ("old", "new", "kind", "rule"),
    [
        ("Today is {2026-11-26}.", "Today is {2026-11-27}.", "date", "current_date"),
        ("Current date: {November 9, 2026}.", "Current date: {November 10, 2026}.", "date", "current_date"),
        ("Now: {2026-11-26T12:44:12Z}", "Now: {2026-11-26T12:45:00Z}", "time", "current_time"),
        ("It is {9:59 AM}", "It is {10:00 AM}", "time", "current_time"),
        ("Id {123e4567-e89b-12d3-a456-426614174000}", "Id {ffffffff-e89b-12d3-a456-426614174001}", "uuid", "uuid"),
        ("Request id: {req_abc12345}", "Request id: {req_xyz98765}", "hash", "request_id"),
        ("cwd: {/home/ann/work}", "cwd: {/home/bob/work}", "path", "working_directory"),
        ("Commit {9fceb02d0ae598e9} is", "Commit {1fceb02d0ae598e0} is", "hash", None),
        ("There are {12} bees", "There are {1,203} bees", "number", None),
        ("Its name is {Ann}, yes", "Its name is {Zoë}, yes", "other", None),
        ("Founded {1990-01-01}", "Founded {1990-01-02}", "date", None),
    ],
)
async def test_kind_text_and_rule(
    explainer: Explainer, spec_with: SpecMaker, old: str, new: str, kind: str, rule: str | None
) -> None:
    def message(text: str) -> tuple[str, str]:
        value = text[text.index("{") + 1 : text.index("}")]
        return text.replace("{", "").replace("}", "") + REST, value

    (stored, old_value), (text, new_value) = message(old), message(new)

    change = one(await explainer.compare(spec_with(CHATML), system(stored), system(text)))

    assert (change.message, change.role, change.kind, change.rule) == (0, "system", kind, rule)
    assert change.start is not None
    assert text[change.start : change.end] == change.new
    if kind != "other":
        assert (change.old, change.new) == (old_value, new_value)
    assert change.lost_tokens > 50
    article = "an" if kind == "other" else "a"
    assert f"tokens recomputed because of {'a text' if article == 'an' else f'{article} {kind}'}" in change.summary


async def test_a_billing_header_is_one_span_of_several_changes(explainer: Explainer, spec_with: SpecMaker) -> None:
    line = "x-anthropic-billing-header: cc_version={}; cc_entrypoint=cli, the answer to the question; cch={};\n"
    stored, text = line.format("2.1.3", "abc12") + REST, line.format("2.1.4", "99f01") + REST

    explanation = await explainer.compare(spec_with(CHATML), system(stored), system(text))

    change = one(explanation)
    assert (change.kind, change.start, change.end) == ("billing_header", 0, text.index("\n") + 1)
    assert explanation.suggestion == ("billing_header",)


async def test_suggested_are_the_rules_of_all_spans_up_to_one_that_none_helps(explainer: Explainer, spec_with: SpecMaker) -> None:
    def text(date: str, uuid: str, name: str) -> str:
        return f"Today is {date}.{REST} Id {uuid}{REST} Name {name}.{REST}"

    uuids = "123e4567-e89b-12d3-a456-426614174000", "999e4567-e89b-12d3-a456-426614174999"
    stored, new = text("2026-11-26", uuids[0], "Ann"), text("2026-11-27", uuids[1], "Zoë")

    explanation = await explainer.compare(spec_with(CHATML), system(stored), system(new))

    assert [change.kind for change in explanation.changes] == ["date", "uuid", "other"]
    assert explanation.suggestion == ("current_date", "uuid")


async def test_a_rule_is_suggested_for_the_place_where_the_span_is(explainer: Explainer, spec_with: SpecMaker) -> None:
    def messages(day: int) -> list[dict[str, Any]]:
        fenced = f"```\ndate: 2026-11-{day}\n```{REST}"
        asked = [{"type": "text", "text": f"date: 2026-11-{day}"}, {"type": "text", "text": REST}]
        return [{"role": "system", "content": fenced}, {"role": "user", "content": asked}]

    explanation = await explainer.compare(spec_with(CHATML), messages(26), messages(27))

    assert [(change.message, change.rule) for change in explanation.changes] == [
        (0, "current_date@system+code"),
        (1, "current_date@user"),
    ]


async def test_what_stands_in_no_message_has_none(explainer: Explainer, spec_with: SpecMaker) -> None:
    spec = spec_with(TOOLS)
    tools = tuple([{**TOOL, "note": note}] for note in ("2026-11-26", "2026-11-27"))

    change = one(await explainer.compare(spec, system(REST), system(REST), tools=tools))  # type: ignore[arg-type]

    assert (change.message, change.role, change.kind, change.rule) == (None, None, "date", None)


async def test_a_text_completion_counts_characters_of_its_prompt(explainer: Explainer, spec_with: SpecMaker) -> None:
    spec = spec_with(None)
    stored, text = f"🐝 Now 12:44:12.{REST}", f"🐝 Now 12:45:13.{REST}"

    change = one(await explainer.compare_raw(spec, stored, text))
    of_tokens = one(await explainer.compare_raw(spec, stored, text, as_tokens=True))

    assert (change.message, change.start, change.end, change.old, change.new) == (None, 6, 14, "12:44:12", "12:45:13")
    assert (of_tokens.start, of_tokens.end, of_tokens.kind) == (None, None, "other")


async def test_another_question_explains_nothing(explainer: Explainer, spec_with: SpecMaker) -> None:
    stored = [{"role": "system", "content": REST}, {"role": "user", "content": "What is the answer?"}]

    explanation = await explainer.compare(spec_with(CHATML), stored, [stored[0], {"role": "user", "content": "Who is it?"}])

    assert explanation.changes == ()


async def test_what_it_keeps_is_bounded_and_can_be_forgotten(spec_with: SpecMaker, explainer: Explainer) -> None:
    misses = MissExplanations(explainer.templates, explainer.metrics)
    fresh = Explainer(explainer.tokenizers, explainer.templates, explainer.metrics, misses)
    spec = spec_with(None)
    for number in range(MAX_TOTALS + 2):
        renamed = ModelSpec(name=f"model-{number}", path=spec.path)
        await fresh.compare_raw(renamed, f"Now 12:44.{REST}", f"Now 12:45.{REST}")

    assert (len(misses.recent()), len(misses.totals())) == (MAX_RECENT, MAX_TOTALS)
    assert misses.recent()[0].model == f"model-{MAX_TOTALS + 1}"

    misses.clear()
    assert (misses.recent(), misses.totals()) == ([], [])


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\ue000"), max_size=20)
VALUES = TEXTS | st.sampled_from(["2026-11-26", "12:44", "🐝", "👩‍👩‍👧", "Å", " ", "\n\n", "é", "e\u0301"])


@given(
    name=st.sampled_from(["chatml", "default system", "trimming", "gemma", "llama2", "thinking"]),
    place=st.integers(0, 3),
    before=TEXTS | st.sampled_from(["  ", "\n\n \t", "🐝" * 5]),
    values=st.lists(VALUES, min_size=2, max_size=2, unique=True),
    after=TEXTS,
    other=TEXTS,
)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_text_with_the_old_span_in_its_place_is_the_stored_text(
    explainer: Explainer,
    spec_with: SpecMaker,
    name: str,
    place: int,
    before: str,
    values: list[str],
    after: str,
    other: str,
) -> None:
    def messages(value: str) -> list[dict[str, Any]]:
        contents = [f"{role} {other}{REST}" for role in ("sys", "usr", "ass", "usr")]
        contents[place] = f"{before}{value}{after}{REST}"
        return [
            {"role": role, "content": content}
            for role, content in zip(("system", "user", "assistant", "user"), contents, strict=True)
        ]

    stored, new = messages(values[0]), messages(values[1])

    explanation = await explainer.compare(spec_with(TEMPLATES[name], name=f"model-{name}"), stored, new)

    assert all(change.message in (None, place) for change in explanation.changes)
    text = new[place]["content"]
    for change in reversed(explanation.changes):
        if change.message is None or change.start is None or change.end is None:
            continue
        assert change.role == new[place]["role"]
        assert text[change.start : change.end] == change.new
        text = text[: change.start] + change.old + text[change.end :]
    if explanation.changes and all(change.message is not None for change in explanation.changes):
        stripped = name in ("trimming", "gemma")
        assert text == stored[place]["content"] or (stripped and text.strip() == stored[place]["content"].strip())


async def test_a_stripped_blank_at_the_start_is_counted(explainer: Explainer, spec_with: SpecMaker) -> None:
    stored, text = (f" \n\t It is 12:{minute}, 🐝.{REST}" for minute in (44, 45))

    change = one(await explainer.compare(spec_with(TRIMMING), system(stored), system(text)))

    assert (change.message, text[change.start : change.end]) == (0, "12:45")
