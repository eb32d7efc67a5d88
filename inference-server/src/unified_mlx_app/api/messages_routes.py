"""`POST /v1/messages` and `POST /v1/messages/count_tokens`, as Anthropic's clients call them."""

from typing import Any

from fastapi import APIRouter, Request, Response

from unified_mlx_app.api.answers import ANSWER_HEADERS, answer_headers, exhaust
from unified_mlx_app.api.deps import CallerDep, ServicesDep, until_disconnect
from unified_mlx_app.api.error_schemas import AnthropicErrorBody, documented_errors
from unified_mlx_app.api.messages_answers import PING, MessageBody, MessageWriter, TokenCount
from unified_mlx_app.api.messages_prompt import chat_prompt, internal_request, tool_use
from unified_mlx_app.api.messages_schemas import CountTokensRequest, MessagesRequest
from unified_mlx_app.api.policies import needs
from unified_mlx_app.api.sse import EVENTS, EventStream

router = APIRouter(tags=["Anthropic"])

_STREAMABLE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; with `stream` as server-sent events that end with `message_stop`.",
        "content": EVENTS,
        "headers": {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in (ANSWER_HEADERS | {"request-id": "The same as `x-request-id`."}).items()
        },
    }
}


@router.post(
    "/v1/messages",
    summary="Create a message",
    response_model=MessageBody,
    responses={**documented_errors(404, 408, 429, 499, 500, model=AnthropicErrorBody), **_STREAMABLE},
)
@needs("infer")
async def create_message(body: MessagesRequest, request: Request, services: ServicesDep, caller: CallerDep) -> Response:
    """Renders system text and messages with the model's chat template and generates the assistant's turn."""
    generation = await until_disconnect(request, services.generation.start(internal_request(body, services.settings), caller))
    request_id: str = request.state.request_id
    headers = {**answer_headers(generation), "request-id": request_id}
    shows_thoughts = body.thinking is None or body.thinking.display != "omitted"
    writer = MessageWriter(generation, request_id=request_id, shows_thoughts=shows_thoughts)
    if body.stream:
        return EventStream(writer.frames(), generation.close, headers, error_frame=writer.error_frame, keep_alive=PING)
    await until_disconnect(request, exhaust(writer.frames(), generation))
    return Response(writer.message.model_dump_json(), headers=headers, media_type="application/json")


@router.post(
    "/v1/messages/count_tokens",
    summary="Count the tokens of a message",
    responses=documented_errors(404, model=AnthropicErrorBody),
)
@needs("infer")
async def count_tokens(body: CountTokensRequest, request: Request, response: Response, services: ServicesDep) -> TokenCount:
    """What `input_tokens` and the two cache fields of the answer's usage would add up to."""
    prompt, use = chat_prompt(body), tool_use(body)
    tools = use.for_template() if use else None
    tokenized = await services.tokenization.tokenize_conversation(body.model, prompt, tools=tools)
    response.headers["request-id"] = request.state.request_id
    return TokenCount(input_tokens=len(tokenized.token_ids))
