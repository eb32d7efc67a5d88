"""Ends work that nobody waits for any more: a server does not by itself when a client leaves before the answer."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from mlx_hub.api.error_handlers import ClientGoneError
from mlx_hub.errors import ShuttingDownError
from mlx_hub.services.lifecycle import Lifecycle

T = TypeVar("T")


async def unless_client_leaves(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client closes its connection. The body must have been read."""
    return await _unless(_wait_until_gone(request), work, ClientGoneError())


async def unless_server_stops(lifecycle: Lifecycle, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the server is told to stop. For what may take longer than the drain."""
    told = "The server is shutting down and has kept nothing of this: send it again once it is back."
    stopping = ShuttingDownError(told, retry_after_seconds=5)
    return await _unless(lifecycle.wait_for_drain(), work, stopping)


async def _unless(event: Coroutine[Any, Any, None], work: Coroutine[Any, Any, T], error: Exception) -> T:
    """Raises `error` when `event` returns first."""
    working, watching = asyncio.create_task(work), asyncio.create_task(event)
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise error
        return working.result()
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _wait_until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
