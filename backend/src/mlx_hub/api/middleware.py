"""Pure ASGI middleware: request ids and metrics, security headers, drain."""

import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlx_hub.api.error_handlers import problem_response
from mlx_hub.errors import HubError, ShuttingDownError
from mlx_hub.observability.metrics import Metrics
from mlx_hub.services.lifecycle import Lifecycle

log = structlog.get_logger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"})
PROBES = frozenset({"/health", "/health/live", "/health/ready", "/health/startup", "/health/deep", "/metrics"})
"""Asked again and again: answered while draining, and neither logged nor traced."""
_SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


class RequestContext:
    """Outermost: gives each request an id, counts it, logs it, and answers what nobody else caught."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, lifecycle: Lifecycle, api_prefix: str) -> None:
        self._app = app
        self._metrics = metrics
        self._lifecycle = lifecycle
        self._api_prefix = api_prefix

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
                    await problem_response(HubError("The server made a mistake."), scope)(scope, receive, tagged)
            finally:
                self._lifecycle.leave()
                self._record(scope, tagged.status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int | None, seconds: float) -> None:
        route = self._route_name(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, route, str(status or 499)).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        if scope["path"] not in PROBES:
            log.info("request_done", method=method, route=route, status=status, seconds=round(seconds, 4))

    def _route_name(self, scope: Scope) -> str:
        if (route := route_template(scope, self._api_prefix)) is not None:
            return route
        # Refused before it got there.
        found = scope["state"].get("found_route")
        return found.template if found else "unmatched"


def route_template(scope: Scope, api_prefix: str) -> str | None:
    """The path that the router found, with its parameters' names; None where no route was reached."""
    path = getattr(scope.get("route"), "path", None)
    if path is None:
        return None
    # FastAPI 0.165 leaves what a router was included under out of a route's path.
    return (api_prefix if scope["path"].startswith(api_prefix) else "") + path


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
            for name, value in _SECURITY_HEADERS.items():
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
            await problem_response(error, scope)(scope, receive, send)
            return
        await self._app(scope, receive, send)
