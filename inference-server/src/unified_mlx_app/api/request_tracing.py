"""Pure ASGI middleware that makes each request a span; only there when a collector is set."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unified_mlx_app.api.middleware import PROBES
from unified_mlx_app.observability.tracing import Span, Tracing


class TraceRequests:
    """Outermost of all. The span goes on from the client's `traceparent`, and is named by the route: ids stay out of names.

    Spans begin with the application and are sent before it says that it has ended.
    """

    def __init__(self, app: ASGIApp, *, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
        else:
            await self._trace(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def close_first(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                await asyncio.to_thread(self._tracing.close)
            await send(message)

        await asyncio.to_thread(self._tracing.start)
        await self._app(scope, receive, close_first)

    async def _trace(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method, parent = scope["method"], Headers(scope=scope).get("traceparent")
        with self._tracing.root(method, kind="server", parent=parent, attributes={"http.request.method": method}) as span:
            try:
                await self._app(scope, receive, watch)
            finally:
                if span is not None:
                    _describe(span, scope, status)


def _describe(span: Span, scope: Scope, status: int) -> None:
    """What is known once the request was routed and answered."""
    route = getattr(scope.get("route"), "path", None)
    if route:
        span.rename(f"{scope['method']} {route}")
        span.note({"http.route": route})
    span.note({"mlx.request_id": scope["state"]["request_id"]})
    if status:
        span.note({"http.response.status_code": status})
    if status >= 500 or not status:
        span.fail(str(status or "client_left"))
