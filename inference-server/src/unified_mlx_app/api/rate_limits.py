"""How often a caller may ask, per class of route, told in every answer as draft-ietf-httpapi-ratelimit-headers wants it.

Counted in this process, in a moving window, per key or else per address. Health and metrics are never counted.
"""

import ipaddress
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unified_mlx_app.api.error_handlers import error_response
from unified_mlx_app.api.policies import DeclaredRoute
from unified_mlx_app.config import Settings
from unified_mlx_app.errors import RateLimitError
from unified_mlx_app.services.api_keys import Caller

RATE_LIMIT_HEADERS = {
    "ratelimit-policy": "The limit that counted the request: its class, requests `q` in a window of `w` seconds.",
    "ratelimit": "Requests that remain, `r`, and the seconds `t` until one is given back.",
}
FAILED_KEYS = "failed-keys"
_MAX_IDLE_KEYS = 10_000
_DEFAULTS = {"infer": "600/minute", "read": "3000/minute", "admin": "600/minute", FAILED_KEYS: "30/minute"}
"""For servers that other machines reach: far more than people and dashboards need, far less than a loop can send."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one identity has left of a limit after a request."""

    name: str
    is_spent: bool
    quota: int
    window_seconds: int
    remaining: int
    reset_seconds: int

    @property
    def headers(self) -> dict[str, str]:
        return {
            "ratelimit-policy": f'"{self.name}";q={self.quota};w={self.window_seconds}',
            "ratelimit": f'"{self.name}";r={self.remaining};t={self.reset_seconds}',
        }


class RateLimiter:
    """Event loop only; a name without a limit is never spent."""

    def __init__(self, limits: Mapping[str, str]) -> None:
        self._items: dict[str, RateLimitItem] = {name: parse(text) for name, text in limits.items() if text}
        self._storage = MemoryStorage()
        self._window = MovingWindowRateLimiter(self._storage)

    @property
    def num_identities(self) -> int:
        """How many are remembered, those whose window is empty included."""
        return len(self._storage.events)

    def hit(self, name: str, identity: str) -> Allowance | None:
        """Counts a request; None if nothing limits it."""
        item = self._items.get(name)
        if item is None:
            return None
        self._forget_idle()
        is_allowed = self._window.hit(item, name, identity)
        return self._allowance(item, name, identity, is_spent=not is_allowed)

    def spent(self, name: str, identity: str) -> Allowance | None:
        """What is left if that is nothing; counts nothing."""
        item = self._items.get(name)
        if item is None or self._window.test(item, name, identity):
            return None
        return self._allowance(item, name, identity, is_spent=True)

    def _allowance(self, item: RateLimitItem, name: str, identity: str, *, is_spent: bool) -> Allowance:
        stats = self._window.get_window_stats(item, name, identity)
        seconds = max(1, math.ceil(stats.reset_time - time.time()))
        return Allowance(name, is_spent, item.amount, item.get_expiry(), max(0, stats.remaining), seconds)

    def _forget_idle(self) -> None:
        """limits 5.8 keeps an empty list for each identity that ever asked; to be deleted when it does not."""
        if self.num_identities > _MAX_IDLE_KEYS:
            for key in [key for key, events in self._storage.events.items() if not events]:
                self._storage.clear(key)


def limits_of(settings: Settings) -> dict[str, str]:
    """The limits in force, by name; "" is none. What is not set depends on who can connect."""
    given = {
        "infer": settings.rate_limit_infer,
        "read": settings.rate_limit_read,
        "admin": settings.rate_limit_admin,
        FAILED_KEYS: settings.rate_limit_failed_keys,
    }
    defaults = dict.fromkeys(_DEFAULTS, "") if settings.is_loopback else _DEFAULTS
    return {name: defaults[name] if text is None else text for name, text in given.items()}


def rate_limit_error(allowance: Allowance) -> RateLimitError:
    return RateLimitError(
        f"More than {allowance.quota} requests of the class {allowance.name} in {allowance.window_seconds} seconds; "
        f"try again in {allowance.reset_seconds} seconds.",
        retry_after_seconds=allowance.reset_seconds,
    )


def address_of(scope: Scope) -> str:
    """The client's address as limits count it: of IPv6 the network, since one machine has a whole one."""
    host: str = (scope.get("client") or ("unknown", 0))[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))


class RateLimits:
    """ASGI middleware behind the guard that says who calls."""

    def __init__(self, app: ASGIApp, limiter: RateLimiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        allowance = self._hit(scope) if scope["type"] == "http" else None
        if allowance is None:
            await self._app(scope, receive, send)
            return
        told = _telling(allowance, send)
        if allowance.is_spent:
            await error_response(rate_limit_error(allowance))(scope, receive, told)
            return
        await self._app(scope, receive, told)

    def _hit(self, scope: Scope) -> Allowance | None:
        route: DeclaredRoute = scope["state"]["declared_route"]
        if route.policy is None or route.policy.rate is None:
            return None
        caller: Caller = scope["state"]["caller"]
        return self._limiter.hit(route.policy.rate, caller.key_id or address_of(scope))


def _telling(allowance: Allowance, send: Send) -> Send:
    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(allowance.headers)
        await send(message)

    return tell
