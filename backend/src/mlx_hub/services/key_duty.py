"""Before the server listens: other machines may only be let in when there is a key that they can be asked for."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from mlx_hub.config import Settings
from mlx_hub.db import async_url, create_engine, create_sessions, is_away, upgrade
from mlx_hub.services.api_keys import has_active_key

_WAYS_OUT = "set MLX_HUB_API_KEY to a long random text, make one with `mlx-hub keys create`, or listen on 127.0.0.1"


def reason_not_to_listen(settings: Settings) -> str | None:
    """What to tell the operator instead; None when all is well. Looks into the database only where it must.

    Works in a thread, as `uvicorn` imports the application in its own event loop.
    """
    if settings.is_loopback or settings.api_key is not None:
        return None
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _look_for_key(settings)).result()


async def _look_for_key(settings: Settings) -> str | None:
    try:
        url = async_url(settings.database_url, data_dir=settings.data_dir)
        await upgrade(url)
        engine = create_engine(url)
        try:
            async with create_sessions(engine, is_read_only=True).begin() as session:
                has_key = await has_active_key(session)
        finally:
            await engine.dispose()
    except Exception as error:
        if not is_away(error):
            raise
        return (
            f"MLX_HUB_HOST={settings.host} lets other machines connect, and the database, which knows the keys, does not "
            f"answer: start it, or {_WAYS_OUT}."
        )
    if has_key:
        return None
    return f"MLX_HUB_HOST={settings.host} lets other machines connect, and there is no API key yet: {_WAYS_OUT}."
