"""What `mlx-hub keys` does in a process of its own: one JSON request on standard input, one JSON answer on standard output.

The database is brought to the newest schema first, so that a key can be made before any service has run.
"""

import asyncio
import getpass
import json
import sys
from datetime import datetime
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.config import Settings, read_settings
from mlx_hub.db import async_url, create_engine, create_sessions, is_away, upgrade
from mlx_hub.errors import HubError, InvalidInputError
from mlx_hub.models.api_key import ApiKey, Scope
from mlx_hub.observability.audit import AuditEvent, AuditLog
from mlx_hub.observability.logs import configure_logs
from mlx_hub.services.api_keys import create_key, is_active, list_keys, revoke_key, rotate_key

Json = dict[str, Any]


def main() -> None:
    """Exits with status 2, naming the variable, when the settings are wrong."""
    configure_logs(component="command", level="error")
    settings, request = read_settings(), json.loads(sys.stdin.read())
    try:
        answer = asyncio.run(_answer(settings, request))
    except (HubError, ValueError) as error:
        is_usage = isinstance(error, (InvalidInputError, ValueError))
        answer = {"error": {"kind": "usage" if is_usage else "failed", "message": str(error)}}
    except Exception as error:
        if not is_away(error):
            raise
        answer = {"error": {"kind": "down", "message": "The database does not answer. Start it, or unset DATABASE_URL."}}
    sys.stdout.write(json.dumps(answer))


async def _answer(settings: Settings, request: Json) -> Json:
    url = async_url(settings.database_url, data_dir=settings.data_dir)
    await upgrade(url)
    engine = create_engine(url)
    try:
        async with create_sessions(engine).begin() as session:
            answer = await _do(session, request)
    finally:
        await engine.dispose()
    if request["do"] != "list":
        target = {"key": answer["name"], "id": answer["id"], "user": getpass.getuser()}
        AuditLog(settings.data_dir).append(AuditEvent("command", f"keys {request['do']}", "done", target=target))
    return answer


async def _do(session: AsyncSession, request: Json) -> Json:
    match request["do"]:
        case "create":
            expires_at = datetime.fromisoformat(request["expires_at"]) if request["expires_at"] else None
            scopes = [Scope(scope) for scope in request["scopes"]]
            created = await create_key(session, name=request["name"], scopes=scopes, expires_at=expires_at)
            return {**_told(created.row), "key": created.key}
        case "rotate":
            created = await rotate_key(session, request["name"])
            return {**_told(created.row), "key": created.key}
        case "revoke":
            return _told(await revoke_key(session, request["name"]))
        case _:
            return {"keys": [_told(row) for row in await list_keys(session)]}


def _told(row: ApiKey) -> Json:
    state = "active" if is_active(row) else "revoked" if row.revoked_at else "expired"
    times = {name: getattr(row, name) for name in ("created_at", "expires_at", "revoked_at")}
    told = {name: time.isoformat() if time else None for name, time in times.items()}
    return {"id": str(row.id), "name": row.name, "scopes": row.scopes.split(), "state": state, **told}


if __name__ == "__main__":
    main()
