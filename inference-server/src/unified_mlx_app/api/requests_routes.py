"""`POST /v1/requests/{request_id}/cancel`: ends a request by the id that its answer's `x-request-id` carries."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel

from unified_mlx_app.api.deps import CallerDep, ServicesDep
from unified_mlx_app.api.error_schemas import documented_errors
from unified_mlx_app.api.policies import needs
from unified_mlx_app.errors import NotFoundError

router = APIRouter(tags=["Extensions"])


class CancelledRequest(BaseModel):
    id: str
    object: Literal["request"]
    status: Literal["cancelled"]


@router.post("/v1/requests/{request_id}/cancel", summary="Cancel a request", responses=documented_errors(404))
@needs("infer", is_audited=True)
async def cancel_request(
    request_id: Annotated[str, Path(max_length=64, description="As sent or received in `x-request-id`.")],
    services: ServicesDep,
    caller: CallerDep,
) -> CancelledRequest:
    """Whoever waits for the request's answer gets status 499, or an error frame in the midst of its stream.

    A key without the scope `admin` ends its own requests only.
    """
    if not services.engine.cancel(request_id, owner=caller.confined_to):
        raise NotFoundError("No request of this id runs or waits here.", param="request_id")
    return CancelledRequest(id=request_id, object="request", status="cancelled")
