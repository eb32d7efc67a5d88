"""Lets a request in whose caller may use its route; nothing of the request's body is read before."""

from starlette.datastructures import Headers
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from unified_mlx_app.api.error_handlers import error_response
from unified_mlx_app.api.policies import Policies, Policy
from unified_mlx_app.api.rate_limits import FAILED_KEYS, RateLimiter, address_of, rate_limit_error
from unified_mlx_app.errors import AppError, AuthenticationError, ForbiddenError, ScopeError
from unified_mlx_app.services.api_keys import ANYBODY, LOCAL, APIKeys, Caller, RefusedKey

_MESSAGES = {
    "unknown": "This API key is not known here.",
    "expired": "This API key has expired; make a new one with mlx-hub keys create.",
    "revoked": "This API key was revoked.",
    "disagreeing": "The request carries several API keys that differ; send one.",
}


class KeysGuard:
    """ASGI middleware. Leaves in the request's state `declared_route`, `caller`, and `refused_key` where a key was refused."""

    def __init__(self, app: ASGIApp, *, routes: list[BaseRoute], limiter: RateLimiter, is_key_asked: bool) -> None:
        self._app = app
        self._policies = Policies(routes)
        self._limiter = limiter
        self._is_key_asked = is_key_asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                await self._let_in(scope)
            except AppError as error:
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _let_in(self, scope: Scope) -> None:
        state = scope["state"]
        state["declared_route"] = route = self._policies.find(scope["method"], scope["path"])
        policy = route.policy
        if policy is None:
            raise ForbiddenError("Nobody said who may use this route, so nobody may.")
        if policy.is_public or not self._is_key_asked:
            state["caller"] = ANYBODY if self._is_key_asked else LOCAL
            return
        state["caller"] = caller = await self._caller(scope)
        if not policy.scopes & caller.scopes:
            state["refused_key"] = RefusedKey("scope", caller.key_id, caller.key_name)
            raise ScopeError(_needed(policy, caller))

    async def _caller(self, scope: Scope) -> Caller:
        keys: APIKeys = scope["state"]["services"].keys
        given = _given_keys(Headers(scope=scope))
        if not given:
            # Counted apart: a page that asks before its user has typed the key must not lock the key out.
            self._count_failure(f"{address_of(scope)} without a key")
            raise AuthenticationError("Send the API key as Authorization: Bearer <key> or x-api-key.")
        address = address_of(scope)
        is_remembered = len(given) == 1 and keys.remembers(given[0])
        if not is_remembered and (spent := self._limiter.spent(FAILED_KEYS, address)):
            raise rate_limit_error(spent)
        verdict = await keys.identify(given[0]) if len(given) == 1 else RefusedKey("disagreeing")
        if isinstance(verdict, Caller):
            return verdict
        self._count_failure(address)
        scope["state"]["refused_key"] = verdict
        raise AuthenticationError(_MESSAGES[verdict.reason])

    def _count_failure(self, identity: str) -> None:
        allowance = self._limiter.hit(FAILED_KEYS, identity)
        if allowance is not None and allowance.is_spent:
            raise rate_limit_error(allowance)


def _given_keys(headers: Headers) -> list[str]:
    """What was sent as a key, each once."""
    given: dict[str, None] = {}
    for value in headers.getlist("authorization"):
        scheme, _, token = value.partition(" ")
        if scheme.lower() == "bearer":
            given[token.strip()] = None
    given |= dict.fromkeys(value.strip() for value in headers.getlist("x-api-key"))
    return [key for key in given if key]


def _needed(policy: Policy, caller: Caller) -> str:
    needed = " or ".join(sorted(policy.scopes))
    return f"This API key may not do that: it needs the scope {needed} and has {' '.join(sorted(caller.scopes)) or 'none'}."
