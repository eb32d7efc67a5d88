"""`POST /v1/completions`."""

from collections.abc import AsyncGenerator
from itertools import accumulate
from typing import Literal

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import UNSET, Raw, Struct, UnsetType

from unified_mlx_app.api.answers import answer_headers, token_text, usage_body
from unified_mlx_app.api.chat_routes import STREAMABLE
from unified_mlx_app.api.completions_schemas import Completion, CompletionChoice, CompletionLogprobs, CompletionRequest
from unified_mlx_app.api.deps import ServicesDep, until_disconnect
from unified_mlx_app.api.error_schemas import documented_errors
from unified_mlx_app.api.sse import DONE, EventStream, frame
from unified_mlx_app.config import Settings
from unified_mlx_app.engine.messages import Finished
from unified_mlx_app.services.generation import CollectedAnswer, Generation, GenerationRequest, RawPrompt, collect
from unified_mlx_app.services.tokenizers import LoadedTokenizer
from unified_mlx_app.types import FinishReason, TokenLogprob

router = APIRouter(tags=["OpenAI"])


@router.post(
    "/v1/completions",
    summary="Continue text",
    response_model=Completion,
    responses={**documented_errors(404, 429, 500), **STREAMABLE},
)
async def create_completion(body: CompletionRequest, request: Request, services: ServicesDep) -> Response:
    """Continues each prompt as it is, without a chat template."""
    generation = await until_disconnect(request, services.generation.start(_internal_request(body, services.settings)))
    headers = answer_headers(generation)
    if body.stream:
        return EventStream(_frames(generation, includes_usage=body.includes_usage), generation.close, headers)
    answer = await until_disconnect(request, collect(generation))
    return Response(_completion(generation, answer).model_dump_json(), headers=headers, media_type="application/json")


def _internal_request(body: CompletionRequest, settings: Settings) -> GenerationRequest:
    return GenerationRequest(
        model=body.model,
        prompts=[RawPrompt(prompt) for prompt in body.prompts()],
        sampling=body.sampling(settings, max_tokens=body.max_tokens, top_logprobs=body.logprobs),
        num_choices=body.n or 1,
        max_tokens_param=None if body.max_tokens is None else "max_tokens",
    )


def _completion(generation: Generation, answer: CollectedAnswer) -> Completion:
    return Completion(
        id=f"cmpl-{generation.id}",
        object="text_completion",
        created=generation.created,
        model=generation.model.name,
        system_fingerprint=generation.fingerprint,
        choices=[
            CompletionChoice(
                index=index,
                text=choice.text,
                logprobs=None
                if choice.token_logprobs is None
                else completion_logprobs(choice.token_logprobs, generation.tokenizer, offset=0),
                finish_reason=choice.finish_reason,
            )
            for index, choice in enumerate(answer.choices)
        ],
        usage=usage_body(answer.usage),
    )


def completion_logprobs(entries: list[TokenLogprob], tokenizer: LoadedTokenizer, *, offset: int) -> CompletionLogprobs:
    """The legacy shape; `offset` is where the first token begins, counted in characters of the answer."""
    tokens = [token_text(tokenizer, entry.token_id) for entry in entries]
    offsets = list(accumulate((len(token) for token in tokens[:-1]), initial=offset))[: len(tokens)]
    has_top = any(entry.top for entry in entries)
    return CompletionLogprobs(
        tokens=tokens,
        token_logprobs=[entry.logprob for entry in entries],
        top_logprobs=[{token_text(tokenizer, token): logprob for token, logprob in entry.top} for entry in entries]
        if has_top
        else None,
        text_offset=offsets,
    )


class _ChunkChoice(Struct):
    index: int
    text: str
    logprobs: Raw | None = None
    finish_reason: FinishReason | None = None


class _CompletionChunk(Struct):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[_ChunkChoice]
    usage: Raw | UnsetType | None = UNSET


async def _frames(generation: Generation, *, includes_usage: bool) -> AsyncGenerator[bytes, None]:
    encode = msgspec.json.Encoder().encode
    chunk = _CompletionChunk(
        id=f"cmpl-{generation.id}",
        object="text_completion",
        created=generation.created,
        model=generation.model.name,
        system_fingerprint=generation.fingerprint,
        choices=[],
        usage=None if includes_usage else UNSET,
    )
    completion_tokens = 0
    offsets: dict[int, int] = {}
    async for event in generation.events:
        if isinstance(event, Finished):
            completion_tokens += event.completion_tokens
            chunk.choices = [_ChunkChoice(event.choice, "", finish_reason=event.reason)]
        elif event.text or event.logprobs:
            logprobs = None
            if event.logprobs is not None:
                offset = offsets.get(event.choice, 0)
                body = completion_logprobs(event.logprobs, generation.tokenizer, offset=offset)
                offsets[event.choice] = offset + sum(len(token) for token in body.tokens)
                logprobs = Raw(body.model_dump_json().encode())
            chunk.choices = [_ChunkChoice(event.choice, event.text, logprobs)]
        else:
            continue
        yield frame(encode(chunk))
    if includes_usage:
        chunk.choices = []
        chunk.usage = Raw(usage_body(generation.usage(completion_tokens)).model_dump_json().encode())
        yield frame(encode(chunk))
    yield DONE
