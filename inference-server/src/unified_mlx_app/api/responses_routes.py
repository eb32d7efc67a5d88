"""`/v1/responses`: create, show, delete, the items a response was made from, and how many tokens an input has."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from unified_mlx_app.api.answers import answer_headers, exhaust
from unified_mlx_app.api.chat_routes import STREAMABLE
from unified_mlx_app.api.deps import CallerDep, Services, ServicesDep, until_disconnect
from unified_mlx_app.api.error_schemas import documented_errors
from unified_mlx_app.api.policies import needs
from unified_mlx_app.api.responses_answers import Keep, ResponseWriter
from unified_mlx_app.api.responses_prompt import chat_prompt, internal_request, named_as_input, stored_input
from unified_mlx_app.api.responses_schemas import (
    RESPONSE_ID,
    DeletedResponse,
    InputTokenCount,
    ItemList,
    PromptFields,
    ResponseBody,
    ResponseRequest,
)
from unified_mlx_app.api.sse import EventStream
from unified_mlx_app.errors import InvalidRequestError
from unified_mlx_app.services.api_keys import Caller
from unified_mlx_app.services.generation import ChatPrompt
from unified_mlx_app.services.responses_store import ResponsesStore
from unified_mlx_app.types import JSON

router = APIRouter(tags=["OpenAI"])

ResponseID = Annotated[str, Path(pattern=RESPONSE_ID, description="Id of a stored response.")]


@router.post(
    "/v1/responses",
    summary="Create a response",
    response_model=ResponseBody,
    responses={**documented_errors(404, 408, 429, 499, 500), **STREAMABLE},
)
@needs("infer")
async def create_response(body: ResponseRequest, request: Request, services: ServicesDep, caller: CallerDep) -> Response:
    """Answers the input, after the conversation that a stored response ends; its own response is stored unless told not to."""
    history = await _history(body, services, caller)
    asked = internal_request(body, history, services.settings)
    with named_as_input():
        generation = await until_disconnect(request, services.generation.start(asked, caller))
    writer = ResponseWriter(generation, body, asked.sampling)
    frames = writer.frames(_keeper(body, services.responses, caller))
    headers = answer_headers(generation)
    if body.stream:
        return EventStream(frames, generation.close, headers, error_frame=writer.error_frame)
    await until_disconnect(request, exhaust(frames, generation))
    return Response(writer.response.model_dump_json(), headers=headers, media_type="application/json")


async def _history(body: PromptFields, services: Services, caller: Caller) -> list[JSON]:
    if not body.previous_response_id:
        return []
    return await services.responses.history(body.previous_response_id, reader=caller.confined_to)


def _keeper(body: ResponseRequest, store: ResponsesStore, caller: Caller) -> Keep:
    async def keep(response: ResponseBody) -> None:
        if response.store:
            content = response.model_dump_json().encode()
            items, previous_id = stored_input(body), body.previous_response_id
            await store.save(response.id, content, owner=caller.key_id, input_items=items, previous_id=previous_id)

    return keep


@router.post("/v1/responses/input_tokens", summary="Count the tokens of an input", responses=documented_errors(404))
@needs("infer")
async def count_input_tokens(body: PromptFields, services: ServicesDep, caller: CallerDep) -> InputTokenCount:
    """What `input_tokens` of the response's usage would be."""
    history = await _history(body, services, caller)
    use = body.tool_use()
    effort = body.reasoning.effort if body.reasoning else None
    thinks = effort != "none"
    kwargs: JSON = {"enable_thinking": thinks, "thinking": thinks, "reasoning_effort": effort} if effort else {}
    prompt, tools = ChatPrompt(chat_prompt(body, history).messages, kwargs), use.for_template() if use else None
    with named_as_input():
        tokenized = await services.tokenization.tokenize_conversation(body.model, prompt, tools=tools)
    return InputTokenCount(object="response.input_tokens", input_tokens=len(tokenized.token_ids))


@router.get(
    "/v1/responses/{response_id}", summary="Show a response", response_model=ResponseBody, responses=documented_errors(404)
)
@needs("read", "infer")
async def get_response(
    response_id: ResponseID,
    services: ServicesDep,
    caller: CallerDep,
    stream: Annotated[bool, Query(description="Only `false`: events are not kept.")] = False,
) -> Response:
    """A stored response as it was told. A key finds those that it made; one with the scope `admin` finds all."""
    if stream:
        raise InvalidRequestError("The events of a stored response are not kept; leave stream out.", param="stream")
    return Response(await services.responses.body(response_id, reader=caller.confined_to), media_type="application/json")


@router.delete("/v1/responses/{response_id}", summary="Delete a response", responses=documented_errors(404))
@needs("infer", is_audited=True)
async def delete_response(response_id: ResponseID, services: ServicesDep, caller: CallerDep) -> DeletedResponse:
    """Nothing can go on from it, or from responses that came after it."""
    await services.responses.delete(response_id, reader=caller.confined_to)
    return DeletedResponse(id=response_id, object="response", deleted=True)


@router.get("/v1/responses/{response_id}/input_items", summary="List a response's input", responses=documented_errors(404))
@needs("read", "infer")
async def list_input_items(
    response_id: ResponseID,
    services: ServicesDep,
    caller: CallerDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
    after: Annotated[str | None, Query(max_length=256, description="Id of the item after which the list begins.")] = None,
) -> ItemList:
    """All items that the response was made from, those of the responses before it included."""
    items = await services.responses.input_items(response_id, reader=caller.confined_to)
    if order == "desc":
        items.reverse()
    ids: list[Any] = [item["id"] for item in items]
    if after is not None and after not in ids:
        raise InvalidRequestError("The response has no item of this id.", param="after")
    start = 0 if after is None else ids.index(after) + 1
    page = items[start : start + limit]
    return ItemList(
        object="list",
        data=page,
        first_id=page[0]["id"] if page else None,
        last_id=page[-1]["id"] if page else None,
        has_more=start + limit < len(items),
    )
