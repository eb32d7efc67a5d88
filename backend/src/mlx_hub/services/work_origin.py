"""Work goes on under the ids of the request that queued it: in the worker's log, in the trainer's, and in the trace."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import structlog
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.observability.tracing import Tracing
from mlx_hub.services.work_rows import TABLES, WorkKey

_LOG_NAMES = {"training": "job_id", "download": "download_id", "task": "task_id"}


@dataclass(frozen=True, slots=True)
class Origin:
    """The request that queued a row, and where its trace goes on; None for what no request did, or is not traced."""

    request_id: str | None
    traceparent: str | None


async def origin_of(session: AsyncSession, key: WorkKey) -> Origin:
    table = TABLES[key.kind]
    found = (await session.exec(select(table.request_id, table.traceparent).where(col(table.id) == key.row_id))).first()
    return Origin(*found) if found else Origin(None, None)


@contextmanager
def following(origin: Origin, key: WorkKey, tracing: Tracing | None) -> Generator[None]:
    """The block in which one attempt is worked at. A worker that takes it up again adds another span to the same trace."""
    ids = {"request_id": origin.request_id, _LOG_NAMES[key.kind]: str(key.row_id)}
    with ExitStack() as stack:
        known = {name: value for name, value in ids.items() if value is not None}
        stack.enter_context(structlog.contextvars.bound_contextvars(**known))
        if tracing is not None:
            attributes = {"mlx.work.id": str(key.row_id), "mlx.work.attempt": key.attempt}
            stack.enter_context(tracing.root(key.kind, kind="internal", parent=origin.traceparent, attributes=attributes))
        yield
