"""Lets a request in whose caller may use its route; nothing of its body is read before."""

import time
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlx_hub.api.access import RoutePolicies
from mlx_hub.api.body_guard import refuse
from mlx_hub.api.rate_limits import FAILED_KEYS, RateLimiter, address_of
from mlx_hub.config import Settings, is_loopback
from mlx_hub.errors import ForbiddenError, HubError, ScopeError, UnauthorizedError
from mlx_hub.models.api_key import Scope as KeyScope
from mlx_hub.services.key_ring import LOCAL, Identity, KeyRing, RefusedKeyError

_STREAM_CHECK_SECONDS = 1.0
"""How often an event stream asks again, as it sends, whether its key still counts."""


class KeysGuard:
    """ASGI middleware. Leaves `found_route` and `identity` in the request's state, and `refused` where a key was refused.

    No key is asked on a loopback address as long as the operator has none. `uvicorn` may listen elsewhere than the settings
    say, so what counts is also the address that the request came in by.
    """

    def __init__(self, app: ASGIApp, *, routes: list[BaseRoute], limiter: RateLimiter, settings: Settings) -> None:
        self._app = app
        self._policies = RoutePolicies(routes)
        self._limiter = limiter
        self._is_open = settings.is_loopback and settings.api_key is None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            check = await self._let_in(scope)
        except HubError as error:
            await refuse(error, scope, receive, send)
            return
        if check is None:
            await self._app(scope, receive, send)
            return
        checked = _CheckedSend(send, check)
        try:
            await self._app(scope, receive, checked)
        except Exception:
            # However the response wraps what its stream was stopped with.
            if not checked.is_ended:
                raise

    async def _let_in(self, scope: Scope) -> Callable[[], Awaitable[object]] | None:
        """What says, by raising, that the caller may not go on; None when that stays as it is."""
        state = scope["state"]
        state["identity"] = LOCAL
        state["found_route"] = route = self._policies.find(scope)
        if route is not None and route.policy is None:
            raise ForbiddenError("This route is closed: it does not say who may use it.")
        needed = route.policy.scope if route and route.policy else KeyScope.READ
        if needed is None or (self._is_open and is_loopback(_own_address(scope))):
            return None
        identity, key = await self._identify(scope)
        state["identity"] = identity
        # Where no route is, any key may learn that.
        if route is not None and not identity.can(needed):
            state["refused"] = "scope"
            raise ScopeError(
                f"This API key may not do that: it needs the scope {needed} and has {' '.join(sorted(identity.scopes))}.",
                scope=needed,
            )
        ring: KeyRing = state["services"].keys
        return (lambda: ring.identify(key)) if identity.kind == "key" else None

    async def _identify(self, scope: Scope) -> tuple[Identity, str]:
        """Who calls, and the key that says so."""
        state, address = scope["state"], address_of(scope)
        ring: KeyRing = state["services"].keys
        keys = given_keys(Headers(scope=scope))
        is_remembered = len(keys) == 1 and ring.remembers(keys[0])
        if not is_remembered and (spent := self._limiter.spent(FAILED_KEYS, address)):
            raise spent.error()
        try:
            if not keys:
                raise UnauthorizedError("Send an API key, as Authorization: Bearer <key> or as x-api-key.")
            if len(keys) > 1:
                raise RefusedKeyError("disagreeing")
            return await ring.identify(keys[0]), keys[0]
        except UnauthorizedError as error:
            self._limiter.hit(FAILED_KEYS, address)
            if isinstance(error, RefusedKeyError):
                state["refused"], state["identity"] = error.reason, error.identity
            raise


def _own_address(scope: Scope) -> str:
    return (scope.get("server") or ("", None))[0]


def given_keys(headers: Headers) -> list[str]:
    """What was sent as a key, each once."""
    bearers = [value.partition(" ") for value in headers.getlist("authorization")]
    found = {token.strip() for scheme, _, token in bearers if scheme.lower() == "bearer"}
    found |= {value.strip() for value in headers.getlist("x-api-key")}
    return sorted(found - {""})


class _CheckedSend:
    """Ends a stream of events whose key does not count any more; the client comes again, and is refused."""

    def __init__(self, send: Send, check: Callable[[], Awaitable[object]]) -> None:
        self._send = send
        self._check = check
        self._is_stream = False
        self.is_ended = False
        self._checked_at = time.monotonic()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._is_stream = Headers(raw=message["headers"]).get("content-type", "").startswith("text/event-stream")
        elif self._is_stream and time.monotonic() - self._checked_at > _STREAM_CHECK_SECONDS:
            await self._end_unless_it_counts()
        if not self.is_ended:
            await self._send(message)

    async def _end_unless_it_counts(self) -> None:
        self._checked_at = time.monotonic()
        try:
            await self._check()
        except UnauthorizedError as error:
            if not self.is_ended:
                self.is_ended = True
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            # As a server says it to a stream whose client has gone.
            raise OSError("the key of this stream does not count any more") from error
        except HubError:
            # The database does not answer: those who listen already may go on.
            return
