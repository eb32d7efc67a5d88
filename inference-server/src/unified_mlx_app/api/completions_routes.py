"""`POST /v1/completions`."""

import asyncio
from collections.abc import AsyncGenerator

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Raw, Struct

from unified_mlx_app.api.answers import answer_headers, usage_body
from unified_mlx_app.api.chat_routes import STREAMABLE
from unified_mlx_app.api.completions_answers import Echoes, best_choices, completion_logprobs, joined
from unified_mlx_app.api.completions_schemas import Completion, CompletionChoice, CompletionLogprobs, CompletionRequest
from unified_mlx_app.api.deps import CallerDep, ServicesDep, until_disconnect
from unified_mlx_app.api.error_schemas import documented_errors
from unified_mlx_app.api.openai_chunks import ChunkFrames
from unified_mlx_app.api.policies import needs
from unified_mlx_app.api.sse import DONE, EventStream
from unified_mlx_app.config import Settings
from unified_mlx_app.engine.messages import Chunk, Finished
from unified_mlx_app.services.generation import Choice, CollectedAnswer, Generation, GenerationRequest, RawPrompt, collect
from unified_mlx_app.types import FinishReason

router = APIRouter(tags=["OpenAI"])


@router.post(
    "/v1/completions",
    summary="Continue text",
    response_model=Completion,
    responses={**documented_errors(404, 408, 429, 499, 500), **STREAMABLE},
)
@needs("infer")
async def create_completion(body: CompletionRequest, request: Request, services: ServicesDep, caller: CallerDep) -> Response:
    """Continues each prompt as it is, without a chat template."""
    generation = await until_disconnect(request, services.generation.start(_internal_request(body, services.settings), caller))
    headers = answer_headers(generation)
    echoes = Echoes(generation, body.prompts(), body.logprobs) if body.echo else None
    if body.stream:
        frames = _frames(generation, echoes, includes_usage=body.includes_usage)
        return EventStream(frames, generation.close, headers)
    answer = await until_disconnect(request, collect(generation))
    # Columns for a million tokens take seconds.
    content = await asyncio.to_thread(lambda: _completion(body, generation, answer, echoes).model_dump_json())
    return Response(content, headers=headers, media_type="application/json")


def _internal_request(body: CompletionRequest, settings: Settings) -> GenerationRequest:
    num_top = 0 if body.logprobs is None and body.is_ranked else body.logprobs
    sampling = body.sampling(settings, max_tokens=body.max_tokens, top_logprobs=num_top)
    return GenerationRequest(
        model=body.model,
        prompts=[RawPrompt(prompt) for prompt in body.prompts()],
        # OpenAI lists the end token among the others, and evaluations count on one entry for each generated token.
        sampling=msgspec.structs.replace(sampling, is_end_scored=True),
        num_choices=body.best_of or body.n or 1,
        max_tokens_param=None if body.max_tokens is None else "max_tokens",
        wanted_format=body.wanted_format(),
        prompt_logprobs=body.logprobs if body.echo else None,
        timeout_seconds=body.timeout,
        speculation=body.speculation or "auto",
    )


def _completion(body: CompletionRequest, generation: Generation, answer: CollectedAnswer, echoes: Echoes | None) -> Completion:
    num_choices = body.n or 1
    choices = best_choices(answer.choices, generation.num_choices, num_choices) if body.is_ranked else answer.choices
    first_candidates = [generation.num_choices * (index // num_choices) for index in range(len(choices))]
    return Completion(
        id=f"cmpl-{generation.id}",
        object="text_completion",
        created=generation.created,
        model=generation.model.name,
        system_fingerprint=generation.fingerprint,
        choices=[
            _choice(index, choice, generation, echoes, candidate=candidate, has_logprobs=body.logprobs is not None)
            for index, (choice, candidate) in enumerate(zip(choices, first_candidates, strict=True))
        ],
        usage=usage_body(answer.usage),
    )


def _choice(
    index: int, choice: Choice, generation: Generation, echoes: Echoes | None, *, candidate: int, has_logprobs: bool
) -> CompletionChoice:
    """`candidate` is the number of any of the prompt's choices as they were generated."""
    echo = echoes.of(candidate) if echoes else None
    text = echo.text if echo else ""
    logprobs = None
    if has_logprobs:
        generated = completion_logprobs(choice.token_logprobs or [], generation.tokenizer, offset=len(text))
        logprobs = joined(echo.logprobs if echo else None, generated)
    return CompletionChoice(index=index, text=text + choice.text, logprobs=logprobs, finish_reason=choice.finish_reason)


class _ChunkChoice(Struct):
    index: int
    text: str
    logprobs: Raw | None = None
    finish_reason: FinishReason | None = None


async def _frames(generation: Generation, echoes: Echoes | None, *, includes_usage: bool) -> AsyncGenerator[bytes, None]:
    chunks = ChunkFrames[_ChunkChoice](generation, "text_completion", prefix="cmpl", includes_usage=includes_usage)
    completion_tokens = 0
    offsets: dict[int, int] = {}
    async for event in generation.events:
        if event.choice not in offsets:
            offsets[event.choice] = 0
            if echoes is not None:
                echo = await asyncio.to_thread(echoes.of, event.choice)
                offsets[event.choice] = len(echo.text)
                yield chunks.of(_ChunkChoice(event.choice, echo.text, _raw(echo.logprobs)))
        if isinstance(event, Finished):
            completion_tokens += event.completion_tokens
            yield chunks.of(_ChunkChoice(event.choice, "", finish_reason=event.reason))
        elif event.text or event.logprobs:
            yield chunks.of(_ChunkChoice(event.choice, event.text, _raw_logprobs(event, generation, offsets)))
    if includes_usage:
        yield chunks.usage(completion_tokens)
    yield DONE


def _raw_logprobs(event: Chunk, generation: Generation, offsets: dict[int, int]) -> Raw | None:
    """The columns of a chunk; moves the choice's offset on."""
    if event.logprobs is None:
        return None
    body = completion_logprobs(event.logprobs, generation.tokenizer, offset=offsets[event.choice])
    offsets[event.choice] += sum(len(token) for token in body.tokens)
    return _raw(body)


def _raw(logprobs: CompletionLogprobs | None) -> Raw | None:
    return None if logprobs is None else Raw(logprobs.model_dump_json().encode())
