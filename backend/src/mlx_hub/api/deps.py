"""What routes ask for: the services of this process, a session, a page, an idempotency key."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, TypedDict

from fastapi import Depends, Header, Query, Request
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.config import Settings
from mlx_hub.db import Sessions
from mlx_hub.errors import UnavailableError
from mlx_hub.models.base import PageRequest
from mlx_hub.observability.metrics import Metrics
from mlx_hub.services.core_process import CoreProcesses
from mlx_hub.services.event_stream import EventFeed
from mlx_hub.services.health_checks import HealthChecks
from mlx_hub.services.hub_client import HubClient
from mlx_hub.services.idempotency import KeyedRequest
from mlx_hub.services.inference import InferenceClient
from mlx_hub.services.key_ring import KeyRing
from mlx_hub.services.lifecycle import Lifecycle
from mlx_hub.services.promotions import Promotions
from mlx_hub.services.storage_usage import StorageUsage
from mlx_hub.services.system_metrics import SystemMetrics

_MAX_PAGE = 1_000_000
_MAX_PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that the lifespan built. `readers` makes sessions that only read; `store_id` names the data folder."""

    settings: Settings
    store_id: str
    sessions: Sessions
    readers: Sessions
    promotions: Promotions
    hub: HubClient
    metrics: Metrics
    lifecycle: Lifecycle
    core: CoreProcesses
    events: EventFeed
    inference: InferenceClient
    system: SystemMetrics
    storage: StorageUsage
    health: HealthChecks
    keys: KeyRing


class LifespanState(TypedDict):
    services: Services


def get_services(request: Request) -> Services:
    return request.state.services


ServicesDep = Annotated[Services, Depends(get_services)]


async def get_session(request: Request, services: ServicesDep) -> AsyncIterator[AsyncSession]:
    """One transaction, committed before the answer is sent; one that only reads for GET."""
    sessions = services.readers if request.method in {"GET", "HEAD"} else services.sessions
    async with sessions.begin() as session:
        try:
            await session.connection()
        except OSError as error:
            # asyncpg passes on what the network says as it is.
            raise UnavailableError("The database does not answer.", retry_after_seconds=5) from error
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]


def get_page(
    page: Annotated[int, Query(ge=1, le=_MAX_PAGE, description="From 1.")] = 1,
    page_size: Annotated[int, Query(ge=1, le=_MAX_PAGE_SIZE)] = 20,
) -> PageRequest:
    return PageRequest(number=page, size=page_size)


PageDep = Annotated[PageRequest, Depends(get_page)]


IdempotencyKeyHeader = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[!-~]+$",
        description="The same request sent again with the same key is done once and answered the same, for 24 hours.",
    ),
]


def keyed_request(request: Request, idempotency_key: str | None, content: bytes) -> KeyedRequest | None:
    """`content` is what makes two requests of one route the same."""
    if idempotency_key is None:
        return None
    fingerprint = hashlib.sha256(content).hexdigest()
    return KeyedRequest(key=idempotency_key, scope=f"{request.method} {request.url.path}", fingerprint=fingerprint)


async def get_keyed_request(request: Request, idempotency_key: IdempotencyKeyHeader = None) -> KeyedRequest | None:
    """For routes that take JSON: the body is read whole."""
    return None if idempotency_key is None else keyed_request(request, idempotency_key, await request.body())


KeyedRequestDep = Annotated[KeyedRequest | None, Depends(get_keyed_request)]
