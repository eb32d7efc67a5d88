"""Pure ASGI middleware: request ids, metrics and security headers, and the drain."""

import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unified_mlx_app.api.error_handlers import error_response
from unified_mlx_app.api.security_headers import SECURITY_HEADERS
from unified_mlx_app.errors import ServerError, ShuttingDownError
from unified_mlx_app.observability.metrics import Metrics
from unified_mlx_app.services.lifecycle import Lifecycle

log = structlog.get_logger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
PROBES = frozenset({"/health", "/health/live", "/health/ready", "/health/startup", "/health/deep", "/metrics"})
"""Asked again and again: answered while draining, and neither logged nor traced."""


class RequestContext:
    """Outermost: gives each request an id, counts it, logs it, and answers what nobody else caught."""

    def __init__(self, app: ASGIApp, metrics: Metrics, lifecycle: Lifecycle) -> None:
        self._app = app
        self._metrics = metrics
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        tagged = _TaggedSend(send, request_id)
        started = time.perf_counter()
        self._lifecycle.enter()
        with structlog.contextvars.bound_contextvars(request_id=request_id), self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, tagged)
            except Exception:
                log.exception("request_crashed", path=scope["path"])
                if tagged.status is None:
                    await error_response(ServerError("The server made a mistake."))(scope, receive, tagged)
            finally:
                self._lifecycle.leave()
                self._record(scope, tagged.status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int | None, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in {"GET", "POST", "DELETE", "OPTIONS", "HEAD", "PUT", "PATCH"} else "other"
        self._metrics.requests.labels(method, route, str(status or 499)).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        if scope["path"] not in PROBES:
            log.info("request_done", method=method, route=route, status=status, seconds=round(seconds, 4))


class _TaggedSend:
    """Adds the request id and security headers to a response and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self._request_id
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


class RefuseWhileDraining:
    """Answers 503 to new work once the server was told to stop; health and metrics stay readable."""

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle) -> None:
        self._app = app
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._lifecycle.is_draining and scope["path"] not in PROBES:
            error = ShuttingDownError("The server is shutting down.", retry_after_seconds=5)
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)
