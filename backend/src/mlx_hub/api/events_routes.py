"""`/events`: one stream of everything that happens, for dashboards."""

import re
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from mlx_hub.api.access import READ
from mlx_hub.api.deps import ServicesDep
from mlx_hub.api.events_schemas import EventData, PositionData
from mlx_hub.api.problems import documented_errors
from mlx_hub.services.event_stream import EventFilter, StreamedEvent
from mlx_hub.services.events import EventKind

router = APIRouter(prefix="/events", tags=["Events"])

_EVENT_ID = re.compile(r"\d{1,18}")
_UNKNOWN_ID = -1
"""No event has it, so resuming after it is a reset."""


async def _subscribe(
    services: ServicesDep,
    kind: Annotated[list[EventKind] | None, Query(description="Only these kinds; may be repeated.")] = None,
    subject_id: Annotated[str | None, Query(max_length=64, description="Only what happens to this one thing.")] = None,
    last_event_id: Annotated[
        int | None, Query(ge=0, le=10**18 - 1, description="Resume after this event, for clients that set no headers.")
    ] = None,
    last_event_id_header: Annotated[
        str | None, Header(alias="Last-Event-ID", max_length=64, description="Resume after this event; goes before the query.")
    ] = None,
) -> AsyncIterator[AsyncIterator[StreamedEvent]]:
    after = last_event_id
    if last_event_id_header:
        after = int(last_event_id_header) if _EVENT_ID.fullmatch(last_event_id_header) else _UNKNOWN_ID
    wanted = EventFilter(frozenset(kind or ()), subject_id)
    with services.lifecycle.endless_request():
        async with services.events.subscribe(wanted, after=after) as stream:
            yield stream


@router.get(
    "",
    summary="Stream of events",
    response_class=EventSourceResponse,
    responses={**documented_errors(), 200: {"model": EventData | PositionData}},
    openapi_extra=READ,
)
async def stream_events(
    stream: Annotated[AsyncIterator[StreamedEvent], Depends(_subscribe)], services: ServicesDep
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: `job`, `metrics`, `download`, `task`, `dataset`, `model`, and `system` every two seconds.

    A client that resumes with `Last-Event-ID` gets what it missed, once and in order. Others begin now, after a `hello`. A
    `reset` says that something was missed for good, and that everything must be fetched anew; the stream goes on after it.
    """
    async for event in stream:
        services.metrics.events_sent.labels(event.kind).inc()
        event_id = None if event.id is None else str(event.id)
        yield ServerSentEvent(raw_data=event.data, event=event.kind, id=event_id)
