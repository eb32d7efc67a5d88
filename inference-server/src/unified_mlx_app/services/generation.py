"""What goes into and comes out of one use of a model, whatever wire API asked."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from unified_mlx_app.engine.messages import Finished
from unified_mlx_app.services.answer_parts import AnswerShape
from unified_mlx_app.services.changed_texts import Explanation
from unified_mlx_app.services.event_streams import AnswerEvents, GuessCount
from unified_mlx_app.services.prompt_rules import RuledPrompt
from unified_mlx_app.services.structured_output import WantedFormat
from unified_mlx_app.services.tokenizers import LoadedTokenizer
from unified_mlx_app.services.tool_calls import ToolUse
from unified_mlx_app.types import JSON, CacheReport, FinishReason, ModelSpec, SamplingParams, TokenLogprob, Usage


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A conversation that the model's chat template renders."""

    messages: list[JSON]
    template_kwargs: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RawPrompt:
    """Text or token ids given to the model as they are."""

    content: str | list[int]


Prompt = ChatPrompt | RawPrompt

SpeculationChoice = Literal["auto", "off", "prompt_lookup"]
"""`auto`: as the model is registered."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One request; `max_tokens_param` names the field that set `sampling.max_tokens`, None when nobody did."""

    model: str | None
    prompts: list[Prompt]
    sampling: SamplingParams
    num_choices: int = 1
    max_tokens_param: str | None = None
    wanted_format: WantedFormat | None = None
    tools: ToolUse | None = None
    reasoning_effort: str | None = None
    """How much a thinking model may think: "none", or a word that its chat template knows."""
    effort_param: str = "reasoning_effort"
    """The client's field that says so."""
    prompt_logprobs: int | None = None
    """As in the engine's `Generate`."""
    timeout_seconds: float | None = None
    """The client's own limit, within the server's."""
    speculation: SpeculationChoice = "auto"
    prediction: str = ""
    """Text that the answer may largely repeat."""


@dataclass(slots=True)
class Generation:
    """A running answer: `events` end with a Finished for each choice.

    Choice `i` of prompt `p` has index `p * num_choices + i`. Whoever holds it awaits `close`.
    """

    model: ModelSpec
    tokenizer: LoadedTokenizer
    prompt_tokens: int
    num_choices: int
    fallback_reason: str | None
    cache: CacheReport
    explanation: Explanation
    events: AnswerEvents
    fingerprint: str
    is_replayed: bool
    cached_tokens: Callable[[], int]
    guesses: GuessCount = field(default_factory=GuessCount)
    shape: AnswerShape = field(default_factory=AnswerShape)
    rules: RuledPrompt | None = None
    """What rules for volatile text did to the conversation, if there are any."""
    left_out: tuple[str, ...] = ()
    """Places in the schema of the answer's format that are not kept."""
    prompts: list[list[int]] = field(default_factory=list)
    """Token ids of each prompt."""
    prompt_logprobs: list[list[TokenLogprob]] = field(default_factory=list)
    """For each prompt those of all tokens but its first, where they were asked for; complete at the prompt's first event."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    async def close(self) -> None:
        """Stops the generation if it still runs."""
        await self.events.aclose()

    def cache_written_tokens(self) -> int:
        """Prompt tokens that were not in the prompt cache and are when the answer is complete."""
        has_written = self.cache.outcome != "off" and not self.is_replayed
        return self.prompt_tokens - self.cached_tokens() if has_written else 0

    def usage(self, completion_tokens: int, reasoning_tokens: int = 0) -> Usage:
        """Counts over all prompts and choices; `cached_tokens` is final once the events ended."""
        return Usage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=completion_tokens,
            cached_tokens=self.cached_tokens(),
            reasoning_tokens=reasoning_tokens,
            accepted_guesses=self.guesses.accepted,
            rejected_guesses=self.guesses.rejected,
        )


@dataclass(slots=True)
class Choice:
    """One complete answer."""

    text: str
    token_logprobs: list[TokenLogprob] | None
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class CollectedAnswer:
    choices: list[Choice]
    usage: Usage


async def collect(generation: Generation) -> CollectedAnswer:
    """Every choice in full; closes the generation."""
    texts: dict[int, list[str]] = {}
    logprobs: dict[int, list[TokenLogprob]] = {}
    finished: dict[int, Finished] = {}
    try:
        async for event in generation.events:
            if isinstance(event, Finished):
                finished[event.choice] = event
            else:
                texts.setdefault(event.choice, []).append(event.text)
                if event.logprobs is not None:
                    logprobs.setdefault(event.choice, []).extend(event.logprobs)
    finally:
        await generation.close()
    choices = [Choice("".join(texts.get(index, ())), logprobs.get(index), finished[index].reason) for index in sorted(finished)]
    return CollectedAnswer(choices, generation.usage(sum(event.completion_tokens for event in finished.values())))
