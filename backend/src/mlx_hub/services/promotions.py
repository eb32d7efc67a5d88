"""Promotes versions by their aliases, and keeps what the inference server serves in step with them."""

import asyncio
from uuid import UUID

import structlog

from mlx_hub.db import Sessions
from mlx_hub.errors import UpstreamError
from mlx_hub.models.registered_model import Promotion
from mlx_hub.services import aliases, outbox
from mlx_hub.services.inference import InferenceClient, ServedAdapter
from mlx_hub.services.registry import get_row

log = structlog.get_logger(__name__)


class Promotions:
    """One for a process, used on the event loop. The inference server is asked outside of transactions."""

    def __init__(self, sessions: Sessions, readers: Sessions, inference: InferenceClient) -> None:
        self._sessions = sessions
        self._readers = readers
        self._inference = inference
        self._serving = asyncio.Lock()
        """Whoever comes last reads what the alias points to last, so that the last move is what is served."""

    async def promote(self, model_id: UUID, alias: str, version: int) -> Promotion:
        """Let `alias` point to `version` and the inference server serve that. Rolling back is the same call.

        An inference server that is down or refuses does not undo the move: the answer tells. Raises NotFoundError.
        """
        async with self._sessions.begin() as session:
            await aliases.move_alias(session, model_id, alias, version)
            moved = await aliases.get_alias(session, model_id, alias)
            outbox.move_alias(session, (await get_row(session, model_id)).name, alias, version)
        reason = await self._follow(model_id, alias, moved.served_name)
        return Promotion(**moved.model_dump(), served=reason is None, reason=reason)

    async def delete(self, model_id: UUID, alias: str) -> None:
        """Remove the alias and what is served under it. Raises NotFoundError."""
        async with self._sessions.begin() as session:
            name = await aliases.delete_alias(session, model_id, alias)
            outbox.move_alias(session, (await get_row(session, model_id)).name, alias, None)
        await self._follow(model_id, alias, name)

    async def follow(self, model_id: UUID, alias: str) -> None:
        """Serve what the alias points to now, if there is such an alias. An inference server that is down is told by `sync`."""
        async with self._readers.begin() as session:
            adapter = await aliases.adapter_of(session, model_id, alias)
        if adapter is not None:
            await self._follow(model_id, alias, adapter.name)

    async def withdraw(self, names: list[str]) -> None:
        """Serve nothing under these names any more; their aliases are gone already."""
        async with self._serving:
            for name in names:
                await self._told(name, None)

    async def sync(self) -> None:
        """Make the inference server serve what the aliases say: it may have been down, or have lost its table.

        Raises UpstreamError when it cannot be asked; a single adapter that it refuses is logged.
        """
        async with self._serving:
            served = await self._inference.list_served()
            async with self._readers.begin() as session:
                wanted = await aliases.wanted_adapters(session)
            for name in served.keys() - wanted.keys():
                await self._told(name, None)
            for name, adapter in wanted.items():
                known = served.get(name)
                if known is None or (known.adapter_path, known.model_id) != (adapter.adapter_path, adapter.model_id):
                    await self._told(name, adapter)

    async def _follow(self, model_id: UUID, alias: str, name: str) -> str | None:
        """Serve what the alias points to now. The reason when that could not be done."""
        async with self._serving:
            async with self._readers.begin() as session:
                adapter = await aliases.adapter_of(session, model_id, alias)
            return await self._told(name, adapter)

    async def _told(self, name: str, adapter: ServedAdapter | None) -> str | None:
        try:
            if adapter is None:
                await self._inference.withdraw(name)
            else:
                await self._inference.serve(adapter)
        except UpstreamError as error:
            log.warning("inference_not_in_step", name=name, reason=error.message)
            return error.message
        log.info("inference_in_step", name=name, is_served=adapter is not None)
        return None
