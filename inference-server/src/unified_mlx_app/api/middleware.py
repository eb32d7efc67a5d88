"""Pure ASGI middleware: request ids and metrics, Host and Origin, API key, drain."""

import hmac
import re
import time
import uuid
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unified_mlx_app.api.error_handlers import error_response
from unified_mlx_app.errors import AppError, AuthenticationError, ForbiddenError, ServerError, ShuttingDownError
from unified_mlx_app.observability.metrics import Metrics
from unified_mlx_app.services.lifecycle import Lifecycle

log = structlog.get_logger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1", "host.docker.internal"})
"""The last is what containers call this machine; nobody can have a name under `.internal` in the DNS."""
PUBLIC_PATHS = frozenset({"/", "/health", "/health/live", "/health/ready"})
"""Answered without a key: health for supervisors, `/` because it holds no data and asks for the key itself."""
_PROBES = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})
_SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


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
        if scope["path"] not in _PROBES:
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
            for name, value in _SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


class LoopbackGuard:
    """Keeps pages of other sites from driving a server that only listens on this machine.

    Refuses a Host that is not this machine (DNS rebinding), a foreign Origin on every method, and
    requests that a browser marks as cross-site; a plain link to a page of ours stays possible.
    """

    def __init__(self, app: ASGIApp, host: str, cors_origins: tuple[str, ...]) -> None:
        self._app = app
        self._hosts = _LOOPBACK_HOSTS | {host}
        self._origins = frozenset(cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (error := self._refusal(scope["method"], Headers(scope=scope))):
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, method: str, headers: Headers) -> ForbiddenError | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_local(f"http://{hosts[0]}"):
            return ForbiddenError("The Host header does not name this machine.")
        origins = headers.getlist("origin")
        if any(origin not in self._origins and not self._is_local(origin) for origin in origins):
            return ForbiddenError("This Origin may not call the server; MLX_CORS_ORIGINS lists those that may.")
        is_cross_site = headers.get("sec-fetch-site") == "cross-site" and not origins
        is_link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
        if is_cross_site and not is_link:
            return ForbiddenError("Other sites may not call the server.")
        return None

    def _is_local(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return False
        is_bare = parts.scheme in {"http", "https"} and url == f"{parts.scheme}://{parts.netloc}" and "@" not in parts.netloc
        has_port = port is not None or not parts.netloc.endswith(":")
        return is_bare and has_port and (parts.hostname or "") in self._hosts


class RequireKey:
    """Lets a request pass that carries the API key; everything but `PUBLIC_PATHS` needs it."""

    def __init__(self, app: ASGIApp, api_key: str) -> None:
        self._app = app
        self._api_key = api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in PUBLIC_PATHS and not self._has_key(Headers(scope=scope)):
            error: AppError = AuthenticationError("Send the API key as Authorization: Bearer <key> or x-api-key.")
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _has_key(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        return hmac.compare_digest(given.encode(), self._api_key)


class RefuseWhileDraining:
    """Answers 503 to new work once the server was told to stop; health and metrics stay readable."""

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle) -> None:
        self._app = app
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._lifecycle.is_draining and scope["path"] not in _PROBES:
            error = ShuttingDownError("The server is shutting down.", retry_after_seconds=5)
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)
