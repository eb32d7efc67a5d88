"""How often a caller may ask, by class of route, told in every answer as draft-ietf-httpapi-ratelimit-headers says.

Counted in this process, in a moving window, by key or else by address. Health and metrics are never counted.
"""

import ipaddress
import math
import time
from dataclasses import dataclass

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlx_hub.api.access import FoundRoute, RateClass
from mlx_hub.api.body_guard import refuse
from mlx_hub.config import Settings
from mlx_hub.errors import RateLimitedError
from mlx_hub.services.key_ring import Identity

FAILED_KEYS = "failed-keys"
_DEFAULTS: dict[str, str] = {
    RateClass.READ: "1200/minute",
    RateClass.WRITE: "240/minute",
    RateClass.HUB: "120/minute",
    FAILED_KEYS: "30/minute",
}
"""For a server that other machines reach: more than dashboards and scripts need, less than a loop can send."""
_MAX_CALLERS = 10_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a caller has left of a limit."""

    name: str
    is_spent: bool
    quota: int
    window_seconds: int
    remaining: int
    reset_seconds: int
    """Until the next request is given back."""

    @property
    def headers(self) -> dict[str, str]:
        return {
            "ratelimit-policy": f'"{self.name}";q={self.quota};w={self.window_seconds}',
            "ratelimit": f'"{self.name}";r={self.remaining};t={self.reset_seconds}',
        }

    def error(self) -> RateLimitedError:
        return RateLimitedError(
            f"More than {self.quota} requests of the class {self.name} in {self.window_seconds} seconds; "
            f"try again in {self.reset_seconds} seconds.",
            retry_after_seconds=self.reset_seconds,
            headers=self.headers,
        )


class RateLimiter:
    """Used on the event loop only; a class without a limit is never spent."""

    def __init__(self, settings: Settings) -> None:
        given = {
            RateClass.READ: settings.rate_limit_read,
            RateClass.WRITE: settings.rate_limit_write,
            RateClass.HUB: settings.rate_limit_hub,
            FAILED_KEYS: settings.rate_limit_failed_keys,
        }
        defaults = dict.fromkeys(_DEFAULTS, "") if settings.is_loopback else _DEFAULTS
        rates = {name: defaults[name] if rate is None else rate for name, rate in given.items()}
        self._items: dict[str, RateLimitItem] = {name: parse(rate) for name, rate in rates.items() if rate}
        self._storage = MemoryStorage()
        self._window = MovingWindowRateLimiter(self._storage)

    def hit(self, name: str, caller: str) -> Allowance | None:
        """Counts a request; None when nothing limits it."""
        item = self._items.get(name)
        if item is None:
            return None
        self._forget_idle()
        is_allowed = self._window.hit(item, name, caller)
        return self._allowance(item, name, caller, is_spent=not is_allowed)

    def spent(self, name: str, caller: str) -> Allowance | None:
        """What is left when that is nothing; counts nothing."""
        item = self._items.get(name)
        if item is None or self._window.test(item, name, caller):
            return None
        return self._allowance(item, name, caller, is_spent=True)

    def _allowance(self, item: RateLimitItem, name: str, caller: str, *, is_spent: bool) -> Allowance:
        stats = self._window.get_window_stats(item, name, caller)
        seconds = max(1, math.ceil(stats.reset_time - time.time()))
        return Allowance(name, is_spent, item.amount, item.get_expiry(), max(0, stats.remaining), seconds)

    def _forget_idle(self) -> None:
        """limits 5.8 keeps an empty list for each caller that ever asked; to be deleted when it does not."""
        if len(self._storage.events) > _MAX_CALLERS:
            for key in [key for key, events in self._storage.events.items() if not events]:
                self._storage.clear(key)


def address_of(scope: Scope) -> str:
    """The client's address as limits count it: of IPv6 the network, since one machine has a whole one."""
    host: str = (scope.get("client") or ("unknown", 0))[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    return host if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


class RateLimits:
    """ASGI middleware behind the guard that says who calls which route."""

    def __init__(self, app: ASGIApp, *, limiter: RateLimiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        allowance = self._hit(scope) if scope["type"] == "http" else None
        if allowance is None:
            await self._app(scope, receive, send)
            return
        if allowance.is_spent:
            await refuse(allowance.error(), scope, receive, send)
            return
        await self._app(scope, receive, _telling(allowance, send))

    def _hit(self, scope: Scope) -> Allowance | None:
        route: FoundRoute | None = scope["state"]["found_route"]
        if route is None or route.policy is None or route.policy.rate is None:
            return None
        identity: Identity = scope["state"]["identity"]
        caller = str(identity.key_id) if identity.key_id else address_of(scope)
        return self._limiter.hit(route.policy.rate, caller)


def _telling(allowance: Allowance, send: Send) -> Send:
    """A `send` that puts the headers into the answer."""

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(allowance.headers)
        await send(message)

    return tell
