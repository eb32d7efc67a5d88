"""Writes down who changed what, and which keys were refused."""

import asyncio
from datetime import UTC, datetime

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unified_mlx_app.api.policies import NO_ROUTE, DeclaredRoute
from unified_mlx_app.observability.audit import AuditLog
from unified_mlx_app.services.api_keys import Caller, RefusedKey

log = structlog.get_logger(__name__)

_MAX_CHARS = 300


class AuditTrail:
    """ASGI middleware around the guard. What cannot be written to the file is in the log all the same."""

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
                await self._record(event)

    async def _record(self, event: dict[str, object]) -> None:
        log.info("audit", **event)
        try:
            await asyncio.to_thread(self._audit.append, event)
        except OSError as error:
            log.error("audit_not_written", error=str(error))


def _event(scope: Scope, status: int | None) -> dict[str, object] | None:
    state = scope["state"]
    refused: RefusedKey | None = state.get("refused_key")
    caller: Caller | None = None if refused else state.get("caller")
    route: DeclaredRoute = state.get("declared_route", NO_ROUTE)
    if refused is None and not (caller and route.policy and route.policy.is_audited):
        return None
    known = refused or caller
    assert known is not None
    match = route.pattern.match(scope["path"])
    target = (match.groupdict() if match else {}) | state.get("audit_target", {})
    return {
        "at": datetime.now(UTC).isoformat(),
        "service": "inference",
        "actor": caller.kind if caller else "key" if known.key_id else "unknown",
        "key_id": known.key_id,
        "key_name": known.key_name,
        "action": f"{scope['method']} {route.path or scope['path']}"[:_MAX_CHARS],
        "target": {name: str(value)[:_MAX_CHARS] for name, value in target.items()},
        "outcome": "refused" if refused else "done" if status is not None and status < 400 else "failed",
        "reason": refused.reason if refused else None,
        "status": status,
        "request_id": state["request_id"],
        "client": (scope.get("client") or (None, 0))[0],
    }
