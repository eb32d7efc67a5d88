"""Who may call which route, and which rate counts its calls: every route declares one policy, as its `openapi_extra`.

A route without one is closed to everybody.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute
from starlette.types import Scope as ASGIScope

from mlx_hub.api.problems import Problem
from mlx_hub.models.api_key import Scope

_SCOPE, _RATE, _PUBLIC = "x-scope", "x-rate", "public"


class RateClass(StrEnum):
    """Requests that are counted together."""

    READ = "read"
    WRITE = "write"
    HUB = "hub"


@dataclass(frozen=True, slots=True)
class Policy:
    """`scope` None lets everybody in; `rate` None is never limited."""

    scope: Scope | None
    rate: RateClass | None


def _declared(scope: Scope | None, rate: RateClass | None) -> dict[str, Any]:
    if scope is None:
        return {_SCOPE: _PUBLIC, "security": []}
    rates = {_RATE: rate.value} if rate else {}
    return {_SCOPE: scope.value, **rates, "security": [{"bearer": [scope.value]}, {"x-api-key": [scope.value]}]}


PUBLIC = _declared(None, None)
READ = _declared(Scope.READ, RateClass.READ)
MONITOR = _declared(Scope.READ, None)
"""What supervisors and Prometheus read again and again."""
COMPUTE = _declared(Scope.READ, RateClass.WRITE)
"""Stores nothing, but takes its time."""
WRITE = _declared(Scope.TRAIN, RateClass.WRITE)
SEARCH = _declared(Scope.READ, RateClass.HUB)
DOWNLOAD = _declared(Scope.TRAIN, RateClass.HUB)
READ_AS_ADMIN = _declared(Scope.ADMIN, RateClass.READ)
WRITE_AS_ADMIN = _declared(Scope.ADMIN, RateClass.WRITE)

_PAGES = {"/openapi.json": Policy(None, None), "/docs/assets": Policy(None, None)}
"""What is no route of FastAPI's and cannot declare anything itself."""


@dataclass(frozen=True, slots=True)
class FoundRoute:
    """The route of a request: its path with the names of its parameters, their values, and its policy, if it has one."""

    template: str
    parameters: dict[str, str]
    policy: Policy | None


@dataclass(frozen=True, slots=True)
class GuardedRoute:
    """`methods` None are all."""

    template: str
    methods: frozenset[str] | None
    policy: Policy | None
    pattern: Any
    """The compiled expression that the router itself matches paths with."""


class RoutePolicies:
    """The routes of an application in the order of its router."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self.routes = [_guarded(context) for context in iter_route_contexts(list(routes))]

    def find(self, scope: ASGIScope) -> FoundRoute | None:
        """What the router will answer with; None when that is a 404 or a 405."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        for route in self.routes:
            match = route.pattern.match(path)
            if match and (route.methods is None or scope["method"] in route.methods):
                return FoundRoute(route.template, match.groupdict(), route.policy)
        return None


def _guarded(context: Any) -> GuardedRoute:
    template, extra = context.path, getattr(context, "openapi_extra", None) or {}
    methods = frozenset(context.methods) if context.methods else None
    return GuardedRoute(template, methods, _PAGES.get(template) or _policy(extra), context.path_regex)


def _policy(extra: dict[str, Any]) -> Policy | None:
    match extra.get(_SCOPE):
        case None:
            return None
        case "public":
            return Policy(None, None)
        case scope:
            rate = extra.get(_RATE)
            return Policy(Scope(scope), RateClass(rate) if rate else None)


def declare_access(schema: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI schema with the two ways to send a key, and what a route answers without one or too often."""
    schema.setdefault("components", {})["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "`mlx-hub keys create` makes keys."},
        "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    }
    for path in schema["paths"].values():
        for operation in path.values():
            if operation.get("security"):
                operation["responses"].update(_refusals(is_limited=_RATE in operation))
    return schema


def _refusals(*, is_limited: bool) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
    told = {"401": "No API key, or one that does not count."}
    if is_limited:
        told["429"] = "Too many requests; retry after the seconds in `Retry-After`."
    return {status: {"description": description, "content": content} for status, description in told.items()}
