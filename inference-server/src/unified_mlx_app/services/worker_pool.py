"""Foreign work, such as rendering a model's template, in processes that are killed when it takes too long or too much."""

import asyncio
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

from pebble import ProcessPool

from unified_mlx_app.errors import UnavailableError

WAIT_SECONDS = 15.0
"""For a free process, its start included."""
_NUM_WORKERS = 2
_JOIN_SECONDS = 5

P = ParamSpec("P")
T = TypeVar("T")


class WorkerPool:
    """Two processes, started by the first work. Its methods belong to the event loop.

    `name` is what clients read of them, `initializer` runs in each; one that replaces a killed one finds `preload` imported.
    """

    def __init__(self, name: str, initializer: Callable[[], None], *, preload: Sequence[str] = ()) -> None:
        context: Any = multiprocessing.get_context("forkserver")
        if preload:
            context.set_forkserver_preload([*preload])
        self._name = name
        self._pool = ProcessPool(max_workers=_NUM_WORKERS, context=context, initializer=initializer)
        self._is_started = False

    async def begin(self, seconds: float | None, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue work that may take so long, or as long as it likes; what comes of it is not waited for."""
        if self._is_started:
            return self._schedule(seconds, function, *args, **kwargs)
        # The start takes a second or two.
        future = await asyncio.to_thread(self._schedule, seconds, function, *args, **kwargs)
        self._is_started = True
        return future

    async def run(self, seconds: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` gives or raises. Raises TimeoutError when it was killed after so many seconds of work, ProcessExpired
        when its process died, UnavailableError when no process became free."""
        future = await self.begin(seconds, function, *args, **kwargs)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), WAIT_SECONDS)
        except TimeoutError as error:
            if not future.done() or future.cancelled():
                raise UnavailableError(f"The {self._name} processes are busy; try again.", retry_after_seconds=2) from error
            raise

    async def close(self) -> None:
        """Kill the processes."""
        self._pool.stop()
        await asyncio.to_thread(self._pool.join, _JOIN_SECONDS)

    def _schedule(self, seconds: float | None, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._pool.schedule(function, args=args, kwargs=kwargs, timeout=seconds)
