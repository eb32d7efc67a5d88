"""`POST /v1/chat/completions`."""

from collections.abc import AsyncGenerator
from typing import Any, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import UNSET, Raw, Struct, UnsetType

from unified_mlx_app.api.answers import ANSWER_HEADERS, answer_headers, token_text, usage_body
from unified_mlx_app.api.chat_schemas import (
    AnswerMessage,
    ChatChoice,
    ChatCompletion,
    ChatLogprobs,
    ChatRequest,
    ChatTokenLogprob,
    TopLogprob,
)
from unified_mlx_app.api.deps import ServicesDep, until_disconnect
from unified_mlx_app.api.error_schemas import documented_errors
from unified_mlx_app.api.sse import DONE, EventStream, frame
from unified_mlx_app.config import Settings
from unified_mlx_app.engine.messages import Chunk, Finished
from unified_mlx_app.services.generation import ChatPrompt, CollectedAnswer, Generation, GenerationRequest, collect
from unified_mlx_app.services.tokenizers import LoadedTokenizer
from unified_mlx_app.types import FinishReason, TokenLogprob

router = APIRouter(tags=["OpenAI"])

STREAMABLE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; with `stream` as server-sent events that end with `[DONE]`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in ANSWER_HEADERS.items()},
    }
}


@router.post(
    "/v1/chat/completions",
    summary="Answer a conversation",
    response_model=ChatCompletion,
    responses={**documented_errors(404, 429, 500), **STREAMABLE},
)
async def create_chat_completion(body: ChatRequest, request: Request, services: ServicesDep) -> Response:
    """Renders the messages with the model's chat template and generates the assistant's turn."""
    generation = await until_disconnect(request, services.generation.start(_internal_request(body, services.settings)))
    headers = answer_headers(generation)
    if body.stream:
        return EventStream(_frames(generation, includes_usage=body.includes_usage), generation.close, headers)
    answer = await until_disconnect(request, collect(generation))
    return Response(_completion(generation, answer).model_dump_json(), headers=headers, media_type="application/json")


def _internal_request(body: ChatRequest, settings: Settings) -> GenerationRequest:
    limits = {"max_completion_tokens": body.max_completion_tokens, "max_tokens": body.max_tokens}
    param, max_tokens = next(((name, limit) for name, limit in limits.items() if limit is not None), (None, None))
    messages = [message.model_dump(exclude_none=True) for message in body.messages]
    return GenerationRequest(
        model=body.model,
        prompts=[ChatPrompt(messages, dict(body.chat_template_kwargs or {}))],
        sampling=body.sampling(settings, max_tokens=max_tokens, top_logprobs=(body.top_logprobs or 0) if body.logprobs else None),
        num_choices=body.n or 1,
        max_tokens_param=param,
    )


def _completion(generation: Generation, answer: CollectedAnswer) -> ChatCompletion:
    return ChatCompletion(
        id=f"chatcmpl-{generation.id}",
        object="chat.completion",
        created=generation.created,
        model=generation.model.name,
        system_fingerprint=generation.fingerprint,
        choices=[
            ChatChoice(
                index=index,
                message=AnswerMessage(role="assistant", content=choice.text, refusal=None),
                logprobs=_logprobs(choice.token_logprobs, generation.tokenizer),
                finish_reason=choice.finish_reason,
            )
            for index, choice in enumerate(answer.choices)
        ],
        usage=usage_body(answer.usage),
    )


def _logprobs(entries: list[TokenLogprob] | None, tokenizer: LoadedTokenizer) -> ChatLogprobs | None:
    if entries is None:
        return None
    content = [
        ChatTokenLogprob(
            **_logprob(entry.token_id, entry.logprob, tokenizer),
            top_logprobs=[TopLogprob(**_logprob(token_id, logprob, tokenizer)) for token_id, logprob in entry.top],
        )
        for entry in entries
    ]
    return ChatLogprobs(content=content, refusal=None)


def _logprob(token_id: int, logprob: float, tokenizer: LoadedTokenizer) -> dict[str, Any]:
    return {
        "token": token_text(tokenizer, token_id),
        "logprob": logprob,
        "bytes": list(tokenizer.token_bytes(token_id)),
    }


class _Delta(Struct, omit_defaults=True):
    role: Literal["assistant"] | None = None
    content: str | None = None


class _ChunkChoice(Struct):
    index: int
    delta: _Delta
    logprobs: Raw | None = None
    finish_reason: FinishReason | None = None


class _ChatChunk(Struct):
    """Fields as in OpenAI's `chat.completion.chunk`; built of msgspec because one is encoded a token."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[_ChunkChoice]
    usage: Raw | UnsetType | None = UNSET


async def _frames(generation: Generation, *, includes_usage: bool) -> AsyncGenerator[bytes, None]:
    encode = msgspec.json.Encoder().encode
    chunk = _ChatChunk(
        id=f"chatcmpl-{generation.id}",
        object="chat.completion.chunk",
        created=generation.created,
        model=generation.model.name,
        system_fingerprint=generation.fingerprint,
        choices=[],
        usage=None if includes_usage else UNSET,
    )
    completion_tokens = 0
    for index in range(generation.num_choices):
        chunk.choices = [_ChunkChoice(index, _Delta(role="assistant", content=""))]
        yield frame(encode(chunk))
    async for event in generation.events:
        if isinstance(event, Finished):
            completion_tokens += event.completion_tokens
            chunk.choices = [_ChunkChoice(event.choice, _Delta(), finish_reason=event.reason)]
        elif event.text or event.logprobs:
            chunk.choices = [_ChunkChoice(event.choice, _Delta(content=event.text), _raw_logprobs(event, generation.tokenizer))]
        else:
            continue
        yield frame(encode(chunk))
    if includes_usage:
        chunk.choices = []
        chunk.usage = Raw(usage_body(generation.usage(completion_tokens)).model_dump_json().encode())
        yield frame(encode(chunk))
    yield DONE


def _raw_logprobs(event: Chunk, tokenizer: LoadedTokenizer) -> Raw | None:
    logprobs = _logprobs(event.logprobs, tokenizer)
    return None if logprobs is None else Raw(logprobs.model_dump_json().encode())
