"""Why a prompt was computed although much of it is stored: the message, the span of text, its cost, the rule that helps.

Texts of spans are kept here, a bounded number of them, for operators who ask; nothing of them reaches a log or a metric.
Used on the event loop only.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from unified_mlx_app.observability.logs import current_request_id
from unified_mlx_app.observability.metrics import Metrics
from unified_mlx_app.services.changed_texts import (
    Change,
    ChangedText,
    Explanation,
    changed_characters,
    described,
    fitting_rule,
    short,
)
from unified_mlx_app.services.chat_template import ChatTemplates, Found, RenderedPrompt
from unified_mlx_app.services.generation import ChatPrompt, Prompt
from unified_mlx_app.services.tokenizers import LoadedTokenizer
from unified_mlx_app.types import JSON, CacheReport, ChangedSpan, ModelSpec

MIN_LOST_TOKENS = 16
MAX_RECENT = 100
MAX_TOTALS = 256


@dataclass(frozen=True, slots=True)
class ExplainedPrompt:
    """A prompt that the engine has looked up. `rendered`, `tools` and `template_kwargs` are those of a conversation."""

    model: ModelSpec
    tokenizer: LoadedTokenizer
    prompt: Prompt
    token_ids: list[int]
    rendered: RenderedPrompt | None
    tools: list[JSON] | None
    template_kwargs: JSON

    @property
    def text(self) -> str | None:
        """What the tokens were made of; None where the client sent tokens."""
        if isinstance(self.prompt, ChatPrompt):
            return self.rendered.text if self.rendered else None
        return self.prompt.content if isinstance(self.prompt.content, str) else None


@dataclass(frozen=True, slots=True)
class ExplainedMiss:
    """An explanation as operators see it; `at` is seconds since the epoch."""

    at: float
    request_id: str | None
    model: str
    outcome: str
    explanation: Explanation


@dataclass(slots=True)
class LostTokens:
    """What one kind of span in one message of one model has cost since the start."""

    model: str
    message: int | None
    role: str | None
    kind: str
    requests: int = 0
    tokens: int = 0
    rule: str | None = None


class MissExplanations:
    """Explains and remembers."""

    def __init__(self, templates: ChatTemplates, metrics: Metrics) -> None:
        self._templates = templates
        self._metrics = metrics
        self._recent: deque[ExplainedMiss] = deque(maxlen=MAX_RECENT)
        self._totals: OrderedDict[tuple[object, ...], LostTokens] = OrderedDict()

    def recent(self) -> list[ExplainedMiss]:
        """Newest first."""
        return [*reversed(self._recent)]

    def totals(self) -> list[LostTokens]:
        """The dearest first."""
        return sorted(self._totals.values(), key=lambda total: total.tokens, reverse=True)

    def clear(self) -> None:
        """Forget texts and counts."""
        self._recent.clear()
        self._totals.clear()

    async def explain(self, explained: ExplainedPrompt, report: CacheReport) -> Explanation:
        """Why more of the prompt was not found in the cache."""
        explanation = Explanation(await self._reason(explained, report), await self._changes(explained, report))
        if explanation.changes:
            self._remember(explained.model.name, report, explanation)
        return explanation

    async def _reason(self, explained: ExplainedPrompt, report: CacheReport) -> str | None:
        if report.miss_reason != "diverged" or report.diverged_at_token is None:
            return report.miss_reason
        reason = f"diverged; token={report.diverged_at_token}"
        if not isinstance(explained.prompt, ChatPrompt) or explained.rendered is None:
            return reason
        message = await self._templates.locate(
            explained.model,
            explained.prompt.messages,
            tools=explained.tools,
            template_kwargs=explained.template_kwargs,
            prompt=explained.rendered,
            token_index=report.diverged_at_token,
        )
        return reason if message is None else f"{reason}; message={message}"

    async def _changes(self, explained: ExplainedPrompt, report: CacheReport) -> tuple[ChangedText, ...]:
        spans, lost = _counted(explained, report)
        if not lost:
            return ()
        text = explained.text
        if text is None:
            return tuple(_of_token_ids(explained, span, tokens) for span, tokens in zip(spans, lost, strict=True))
        changes = await self._in_text(explained, text, spans)
        places = await self._places(explained, changes)
        return await asyncio.to_thread(_described, text, changes, places, lost)

    async def _in_text(self, explained: ExplainedPrompt, text: str, spans: Sequence[ChangedSpan]) -> list[Change]:
        around = [(span.start_token - span.num_before, span.end_token + span.num_after) for span in spans]
        has_special = explained.rendered is None
        chars = await explained.tokenizer.chars_of_tokens(text, around, add_special_tokens=has_special)
        decode = explained.tokenizer.decode
        return [
            changed_characters(
                text,
                *place,
                old=decode([*span.stored_tokens]),
                new=decode(explained.token_ids[start:end]),
            )
            for span, (start, end), place in zip(spans, around, chars, strict=True)
        ]

    async def _places(self, explained: ExplainedPrompt, changes: Sequence[Change]) -> list[Found | None]:
        if not isinstance(explained.prompt, ChatPrompt) or explained.rendered is None:
            return [None] * len(changes)
        return await self._templates.find_contents(
            explained.model,
            explained.prompt.messages,
            tools=explained.tools,
            template_kwargs=explained.template_kwargs,
            prompt=explained.rendered,
            char_indexes=[change.start for change in changes],
        )

    def _remember(self, model: str, report: CacheReport, explanation: Explanation) -> None:
        self._recent.append(ExplainedMiss(time.time(), current_request_id(), model, report.outcome, explanation))
        for change in explanation.changes:
            key = (model, change.message, change.role, change.kind)
            total = self._totals.setdefault(key, LostTokens(*key))
            total.requests += 1
            total.tokens += change.lost_tokens
            total.rule = change.rule
            self._totals.move_to_end(key)
            if len(self._totals) > MAX_TOTALS:
                self._totals.popitem(last=False)
            self._metrics.volatile_tokens.labels(model, change.kind).inc(change.lost_tokens)


def _counted(explained: ExplainedPrompt, report: CacheReport) -> tuple[list[ChangedSpan], list[int]]:
    """Spans of the messages, and the tokens that each cost: what asks for the next turn is alike in all prompts."""
    spans = [*report.changed.spans] if report.changed else []
    boundaries = explained.rendered.boundaries if explained.rendered else []
    end = next((boundary.end_tokens for boundary in boundaries if boundary.kind == "turn"), len(explained.token_ids))
    lost = [min(span.num_shared_after, end - span.end_token) for span in spans]
    while lost and lost[-1] < MIN_LOST_TOKENS:
        # The last one is what was asked, not what changes from call to call.
        lost.pop()
    return spans[: len(lost)], lost


def _of_token_ids(explained: ExplainedPrompt, span: ChangedSpan, lost_tokens: int) -> ChangedText:
    old = [*span.stored_tokens[span.num_before : -span.num_after]]
    decode = explained.tokenizer.decode
    new = decode(explained.token_ids[span.start_token : span.end_token])
    return ChangedText(None, None, None, None, short(decode(old)), short(new), "other", lost_tokens)


def _described(
    text: str, changes: Sequence[Change], places: Sequence[Found | None], lost: Sequence[int]
) -> tuple[ChangedText, ...]:
    """In the order of the prompt; changes of one message are looked at together."""
    groups: list[tuple[Found | None, list[Change], list[int]]] = []
    for change, place, tokens in zip(changes, places, lost, strict=True):
        is_in_one = place is None or place.offset + change.end - change.start <= len(place.text)
        place = place if is_in_one else None
        if not groups or _message(groups[-1][0]) != _message(place):
            groups.append((place, [], []))
        shift = place.offset - change.start if place else 0
        groups[-1][1].append(Change(change.start + shift, change.end + shift, change.old))
        groups[-1][2].append(tokens)
    return tuple(found for place, inside, tokens in groups for found in _of_message(text, place, inside, tokens))


def _of_message(text: str, place: Found | None, changes: list[Change], lost: list[int]) -> list[ChangedText]:
    found = described(place.text if place else text, changes, lost)
    if place is None:
        return found
    return [
        replace(
            one,
            message=place.message,
            role=place.role,
            rule=fitting_rule(place.role, place.text, changes, one.start or 0, one.end or 0),
        )
        for one in found
    ]


def _message(place: Found | None) -> int | None:
    return None if place is None else place.message
