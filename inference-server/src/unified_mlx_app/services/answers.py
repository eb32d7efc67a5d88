"""Answers as the wire APIs tell them: the engine's events with each choice's text taken apart, streamed or whole."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from unified_mlx_app.engine.messages import Chunk, Finished
from unified_mlx_app.services.answer_parts import AnswerParser, CallPart, Part, TextPart, ThoughtPart
from unified_mlx_app.services.generation import Generation
from unified_mlx_app.services.harmony_parts import HarmonyParser
from unified_mlx_app.services.tool_calls import ToolCall
from unified_mlx_app.types import FinishReason, TokenLogprob, Usage


@dataclass(frozen=True, slots=True)
class ChoicePart:
    """The next part of one choice."""

    choice: int
    part: Part


@dataclass(frozen=True, slots=True)
class ChoiceEnd:
    """One choice ended; `num_calls` tool calls were told before."""

    choice: int
    reason: FinishReason
    num_calls: int
    completion_tokens: int
    reasoning_tokens: int
    stop: str | None = None
    """The stop string that ended it."""


async def answer_parts(generation: Generation) -> AsyncGenerator[ChoicePart | ChoiceEnd, None]:
    """The parts of all choices as they become certain, with a ChoiceEnd for each. Whoever reads closes the generation."""
    parser_class = AnswerParser if generation.shape.harmony is None else HarmonyParser
    parsers = [parser_class(generation.shape) for _ in range(generation.num_choices)]
    num_calls = [0] * len(parsers)
    async for event in generation.events:
        parser = parsers[event.choice]
        parts = parser.finish(event.reason) if isinstance(event, Finished) else _pushed(parser, event)
        for part in parts:
            num_calls[event.choice] += isinstance(part, CallPart)
            yield ChoicePart(event.choice, part)
        if isinstance(event, Finished):
            calls, thoughts = num_calls[event.choice], parser.reasoning_tokens
            yield ChoiceEnd(event.choice, event.reason, calls, event.completion_tokens, thoughts, event.stop)


def _pushed(parser: AnswerParser | HarmonyParser, chunk: Chunk) -> list[Part]:
    """A chunk of several tokens, which the response cache merged, is read as those tokens came."""
    if not chunk.text_ends:
        return parser.push(chunk.text, len(chunk.token_ids), chunk.logprobs)
    parts: list[Part] = []
    start = 0
    for index, end in enumerate(chunk.text_ends):
        logprobs = None if chunk.logprobs is None else chunk.logprobs[index : index + 1]
        parts += parser.push(chunk.text[start:end], 1, logprobs)
        start = end
    return parts


@dataclass(slots=True)
class Answer:
    """One complete choice. `token_logprobs` are those of the content."""

    text: str = ""
    thought: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    token_logprobs: list[TokenLogprob] | None = None
    finish_reason: FinishReason = "stop"


@dataclass(frozen=True, slots=True)
class Answers:
    choices: list[Answer]
    usage: Usage


async def collect_answers(generation: Generation) -> Answers:
    """Every choice in full; closes the generation."""
    choices = [Answer() for _ in range(generation.num_choices)]
    completion_tokens = reasoning_tokens = 0
    try:
        async for event in answer_parts(generation):
            if isinstance(event, ChoicePart):
                _add(choices[event.choice], event.part)
            else:
                choices[event.choice].finish_reason = event.reason
                completion_tokens += event.completion_tokens
                reasoning_tokens += event.reasoning_tokens
    finally:
        await generation.close()
    return Answers(choices, generation.usage(completion_tokens, reasoning_tokens))


def _add(answer: Answer, part: Part) -> None:
    match part:
        case TextPart(text=text, logprobs=logprobs):
            answer.text += text
            if logprobs is not None:
                answer.token_logprobs = [*(answer.token_logprobs or ()), *logprobs]
        case ThoughtPart(text=text):
            answer.thought += text
        case CallPart(call=call):
            answer.calls.append(call)
