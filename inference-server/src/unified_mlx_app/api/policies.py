"""Who may use a route: declared where the route is, read by the guard before anything else of a request is.

A route without a declared policy is refused to everybody.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from unified_mlx_app.services.api_keys import ALL_SCOPES, Scope

T = TypeVar("T")

RateClass = Literal["infer", "read", "admin"]

_ATTRIBUTE = "access_policy"


@dataclass(frozen=True, slots=True)
class Policy:
    """Any one of `scopes` suffices. `rate` names the limit that counts the requests, None for those that nothing counts."""

    scopes: frozenset[str]
    rate: RateClass | None
    is_public: bool = False
    is_audited: bool = False


PUBLIC = Policy(frozenset(), None, is_public=True)
ANY_KEY = Policy(frozenset(ALL_SCOPES), "read")
"""Of paths that no route has: only who may be here learns that."""


def public(endpoint: T) -> T:
    """Answered without a key. For what holds no data, and for supervisors."""
    setattr(endpoint, _ATTRIBUTE, PUBLIC)
    return endpoint


def needs(scope: Scope, *others: Scope, is_limited: bool = True, is_audited: bool = False) -> Callable[[T], T]:
    """Answered to keys with `scope` or one of the `others`; requests count towards the limit of `scope`."""
    rate: RateClass = "infer" if scope == "infer" else "read" if scope == "read" else "admin"
    policy = Policy(frozenset({scope, *others}), rate if is_limited else None, is_audited=is_audited)

    def declare(endpoint: T) -> T:
        setattr(endpoint, _ATTRIBUTE, policy)
        return endpoint

    return declare


@dataclass(frozen=True, slots=True)
class DeclaredRoute:
    """A route as the guard sees it; without a `policy` it is closed."""

    path: str
    pattern: re.Pattern[str]
    methods: frozenset[str] | None
    policy: Policy | None


def declared_routes(routes: Iterable[BaseRoute]) -> list[DeclaredRoute]:
    """Every route in the order in which they are tried, mounted applications included."""
    found: list[DeclaredRoute] = []
    for route in iter_route_contexts(list(routes)):
        endpoint: Any = route.endpoint or getattr(route.original_route, "app", None)
        methods = None if route.methods is None else frozenset(route.methods)
        found.append(DeclaredRoute(route.path or "", route.path_regex, methods, getattr(endpoint, _ATTRIBUTE, None)))
    return found


NO_ROUTE = DeclaredRoute("", re.compile(""), None, ANY_KEY)


class Policies:
    """Finds the policy of a request as the router finds its route."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._routes = declared_routes(routes)

    def find(self, method: str, path: str) -> DeclaredRoute:
        """The route that answers. Where all have other methods it is the first of them, open to whoever has any key."""
        matching = [route for route in self._routes if route.pattern.match(path)]
        whole = next((route for route in matching if route.methods is None or method in route.methods), None)
        if whole is not None or not matching:
            return whole or NO_ROUTE
        return replace(matching[0], policy=PUBLIC if matching[0].policy == PUBLIC else ANY_KEY)
