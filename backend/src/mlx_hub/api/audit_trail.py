"""Writes down who changed what, what administrators looked at, and which keys were refused."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlx_hub.api.access import FoundRoute
from mlx_hub.models.api_key import Scope as KeyScope
from mlx_hub.observability.audit import AuditEvent, AuditLog
from mlx_hub.services.key_ring import Identity

_MAX_CHARACTERS = 300


class AuditTrail:
    """ASGI middleware around the guard, whose notes in the request's state it reads."""

    def __init__(self, app: ASGIApp, *, audit: AuditLog) -> None:
        self._app = app
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status: int | None = None

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            event = _event(scope, status)
            if event is not None:
                await asyncio.to_thread(self._audit.append, event)


def _event(scope: Scope, status: int | None) -> AuditEvent | None:
    state = scope["state"]
    route: FoundRoute | None = state.get("found_route")
    identity: Identity | None = state.get("identity")
    refused: str | None = state.get("refused")
    if identity is None or not (refused or _is_told(route)):
        return None
    name = route.template if route else scope["path"]
    return AuditEvent(
        actor=identity.kind,
        action=f"{scope['method']} {name}"[:_MAX_CHARACTERS],
        outcome="refused" if refused else "done" if status is not None and status < 400 else "failed",
        key_id=str(identity.key_id) if identity.key_id else None,
        key_name=identity.name,
        target={name: value[:_MAX_CHARACTERS] for name, value in route.parameters.items()} if route else {},
        reason=refused,
        status=status,
        request_id=state.get("request_id"),
        client=(scope.get("client") or (None, 0))[0],
    )


def _is_told(route: FoundRoute | None) -> bool:
    """Everything that needs `admin`, and all writes."""
    return route is not None and route.policy is not None and route.policy.scope in {KeyScope.TRAIN, KeyScope.ADMIN}
