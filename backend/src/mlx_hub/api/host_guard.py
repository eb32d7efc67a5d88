"""Which names clients may call the server by, and which sites' pages may call it at all."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mlx_hub.api.error_handlers import problem_response
from mlx_hub.config import LOCAL_HOSTS, Settings
from mlx_hub.errors import ForbiddenError

_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})


class HostGuard:
    """Keeps pages of other sites from driving the server.

    Refuses a Host that names neither this machine, the address that was connected to nor one of MLX_HUB_ALLOWED_HOSTS (DNS
    rebinding), a foreign Origin on every method, and requests that a browser marks as cross-site; a plain link to a page
    of ours stays possible. Pages of this machine may call a server that only this machine reaches; any other takes them
    from its own pages and from MLX_HUB_CORS_ORIGINS.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        named = {name.lower() for name in (settings.host, *settings.allowed_hosts)}
        self._hosts = LOCAL_HOSTS | (named - _EVERY_ADDRESS)
        self._origins = frozenset(settings.cors_origins)
        self._is_loopback = settings.is_loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (error := self._refusal(scope)):
            await problem_response(error, scope)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> ForbiddenError | None:
        headers = Headers(scope=scope)
        address = (scope.get("server") or ("", None))[0]
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_own(f"http://{hosts[0]}", address):
            return ForbiddenError("The Host header does not name this machine; MLX_HUB_ALLOWED_HOSTS lists further names.")
        origins = headers.getlist("origin")
        if not all(self._may_call(origin, hosts[0], address) for origin in origins):
            return ForbiddenError("This Origin may not call the server; MLX_HUB_CORS_ORIGINS lists those that may.")
        is_cross_site = headers.get("sec-fetch-site") == "cross-site" and not origins
        is_link = scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"
        if is_cross_site and not is_link:
            return ForbiddenError("Other sites may not call the server.")
        return None

    def _may_call(self, origin: str, host: str, address: str) -> bool:
        if origin in self._origins:
            return True
        if self._is_loopback:
            return self._is_own(origin, address)
        return origin in {f"http://{host}", f"https://{host}"}

    def _is_own(self, url: str, address: str) -> bool:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return False
        is_bare = parts.scheme in {"http", "https"} and url == f"{parts.scheme}://{parts.netloc}" and "@" not in parts.netloc
        has_port = port is not None or not parts.netloc.endswith(":")
        return is_bare and has_port and (parts.hostname or "") in {*self._hosts, address}
