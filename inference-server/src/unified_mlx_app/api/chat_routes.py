"""`POST /v1/chat/completions`."""

from typing import Any

from fastapi import APIRouter, Request, Response

from unified_mlx_app.api.answers import ANSWER_HEADERS, answer_headers, usage_body
from unified_mlx_app.api.chat_chunks import chat_finish_reason, chat_frames, chat_logprobs
from unified_mlx_app.api.chat_schemas import (
    AnswerFunction,
    AnswerMessage,
    AnswerToolCall,
    ChatChoice,
    ChatCompletion,
    ChatRequest,
)
from unified_mlx_app.api.deps import CallerDep, ServicesDep, until_disconnect
from unified_mlx_app.api.error_schemas import documented_errors
from unified_mlx_app.api.message_schemas import to_internal_messages
from unified_mlx_app.api.policies import needs
from unified_mlx_app.api.sse import EVENTS, EventStream
from unified_mlx_app.config import Settings
from unified_mlx_app.services.answers import Answer, Answers, collect_answers
from unified_mlx_app.services.generation import ChatPrompt, Generation, GenerationRequest

router = APIRouter(tags=["OpenAI"])

STREAMABLE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; with `stream` as server-sent events that end with `[DONE]`.",
        "content": EVENTS,
        "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in ANSWER_HEADERS.items()},
    }
}


@router.post(
    "/v1/chat/completions",
    summary="Answer a conversation",
    response_model=ChatCompletion,
    responses={**documented_errors(404, 408, 429, 499, 500), **STREAMABLE},
)
@needs("infer")
async def create_chat_completion(body: ChatRequest, request: Request, services: ServicesDep, caller: CallerDep) -> Response:
    """Renders the messages with the model's chat template and generates the assistant's turn."""
    generation = await until_disconnect(request, services.generation.start(_internal_request(body, services.settings), caller))
    headers = answer_headers(generation)
    if body.stream:
        frames = chat_frames(generation, includes_usage=body.includes_usage, is_legacy=body.is_legacy)
        return EventStream(frames, generation.close, headers)
    answers = await until_disconnect(request, collect_answers(generation))
    completion = _completion(generation, answers, is_legacy=body.is_legacy)
    return Response(completion.model_dump_json(), headers=headers, media_type="application/json")


def _internal_request(body: ChatRequest, settings: Settings) -> GenerationRequest:
    limits = {"max_completion_tokens": body.max_completion_tokens, "max_tokens": body.max_tokens}
    param, max_tokens = next(((name, limit) for name, limit in limits.items() if limit is not None), (None, None))
    return GenerationRequest(
        model=body.model,
        prompts=[ChatPrompt(to_internal_messages(body.messages), dict(body.chat_template_kwargs or {}))],
        sampling=body.sampling(settings, max_tokens=max_tokens, top_logprobs=(body.top_logprobs or 0) if body.logprobs else None),
        num_choices=body.n or 1,
        max_tokens_param=param,
        wanted_format=body.wanted_format(),
        tools=body.tool_use(),
        reasoning_effort=body.reasoning_effort,
        timeout_seconds=body.timeout,
        speculation=body.speculation or "auto",
        prediction=body.prediction.text if body.prediction else "",
    )


def _completion(generation: Generation, answers: Answers, *, is_legacy: bool) -> ChatCompletion:
    return ChatCompletion(
        id=f"chatcmpl-{generation.id}",
        object="chat.completion",
        created=generation.created,
        model=generation.model.name,
        system_fingerprint=generation.fingerprint,
        choices=[
            ChatChoice(
                index=index,
                message=_message(choice, is_legacy=is_legacy),
                logprobs=chat_logprobs(choice.token_logprobs, generation.tokenizer),
                finish_reason=chat_finish_reason(choice.finish_reason, len(choice.calls), is_legacy=is_legacy),
            )
            for index, choice in enumerate(answers.choices)
        ],
        usage=usage_body(answers.usage),
    )


def _message(answer: Answer, *, is_legacy: bool) -> AnswerMessage:
    functions = [AnswerFunction(name=call.name, arguments=call.arguments) for call in answer.calls]
    calls = [
        AnswerToolCall(id=call.id, type="function", function=function)
        for call, function in zip(answer.calls, functions, strict=True)
    ]
    return AnswerMessage(
        role="assistant",
        content=None if calls and not answer.text else answer.text,
        refusal=None,
        reasoning_content=answer.thought or None,
        reasoning=answer.thought or None,
        tool_calls=calls if calls and not is_legacy else None,
        function_call=functions[0] if functions and is_legacy else None,
    )
