"""The worker process: `python -m mlx_hub.worker`, one on each machine. It runs downloads, training jobs and tasks.

SIGTERM ends it within seconds and loses nothing: trainers go on by themselves, and the next start takes up everything again.
It never imports MLX: what needs that is a process of its own.
"""

import asyncio
import errno
import os
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from importlib.metadata import version
from typing import NoReturn
from uuid import UUID

import structlog
from prometheus_client import Counter
from sqlalchemy.engine import URL

from mlx_hub.config import LOCAL_HOSTS, Settings, is_loopback, read_settings
from mlx_hub.db import async_url, is_away, upgrade
from mlx_hub.errors import InUseError, UpstreamError
from mlx_hub.models.job import Machine
from mlx_hub.observability.logs import configure_logs
from mlx_hub.observability.metrics_server import serving_metrics
from mlx_hub.observability.tracing import Tracing, open_tracing
from mlx_hub.services.dispatch import PLACES, Dispatcher
from mlx_hub.services.download_run import DownloadContext, run_download
from mlx_hub.services.machines import (
    check_name_is_free,
    default_machine_id,
    describe_device,
    end_lease,
    machine_lock,
    renew_lease,
)
from mlx_hub.services.maintenance import Chore, chores, served_models
from mlx_hub.services.task_run import run_task
from mlx_hub.services.tracking import Mirror
from mlx_hub.services.training_run import run_training
from mlx_hub.services.work_origin import following, origin_of
from mlx_hub.services.work_rows import WorkKey, is_active
from mlx_hub.services.worker_context import WorkerContext, open_context
from mlx_hub.services.workflows import Work, Workflows

DISPATCH_SECONDS = 1.0
RENEWALS_PER_LEASE = 12
"""Of 60 s: every 5 s, so that a few lost ones do not matter."""
_MAX_RETRY_SECONDS = 60.0
_AWAY_SECONDS = 1.0
_STOP_SECONDS = 10.0

log = structlog.get_logger(__name__)


def main() -> None:
    """Works until a signal comes. Exits with status 2 when another worker has this machine's name."""
    settings = read_settings()
    configure_logs(component="worker", level=settings.log_level, style=settings.log_format)
    machine_id = settings.machine_id or default_machine_id()
    try:
        url = async_url(settings.database_url, data_dir=settings.data_dir)
    except ValueError as error:
        _refuse(str(error))
    try:
        with machine_lock(settings.data_dir, machine_id):
            asyncio.run(_run(settings, url, machine_id))
    except InUseError as error:
        _refuse(error.message)


def _refuse(reason: str) -> NoReturn:
    sys.stderr.write(f"{reason}\n")
    raise SystemExit(2)


async def _run(settings: Settings, url: URL, machine_id: str) -> None:
    work = asyncio.create_task(_work(settings, url, machine_id))
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, _stop, work)
    try:
        await work
    except asyncio.CancelledError:
        log.info("worker_stopped")


def _stop(work: asyncio.Task[None]) -> None:
    """The first signal stops cleanly; a second ends at once, which is as safe."""
    if work.cancelling():
        os._exit(1)
    # A thread that waits for a database that is away would hold up the exit for ever.
    deadline = threading.Timer(_STOP_SECONDS, os._exit, (0,))
    deadline.daemon = True
    deadline.start()
    work.cancel()


async def _work(settings: Settings, url: URL, machine_id: str) -> None:
    await _when_database_is_there(lambda: upgrade(url))
    async with open_context(settings, url, machine_id=machine_id) as context, _tracing(context) as tracing:
        machine = _machine(context)
        await _when_database_is_there(lambda: _claim_name(context, machine))
        workflows = Workflows(
            settings.database_url,
            settings.data_dir,
            executor_id=f"{context.store_id}:{machine_id}",
            works=_works(context, tracing),
        )
        dispatcher = Dispatcher(context, workflows, lease_seconds=settings.lease_seconds)
        try:
            with _showing_metrics(context):
                await _work_as(context, machine, dispatcher, workflows)
        finally:
            await workflows.stop()
            await _end_lease(context, machine)


async def _work_as(context: WorkerContext, machine: Machine, dispatcher: Dispatcher, workflows: Workflows) -> None:
    """Everything that goes on until the worker is stopped."""
    renewal_seconds = context.settings.lease_seconds / RENEWALS_PER_LEASE
    async with asyncio.TaskGroup() as loops:
        failures = context.metrics.chore_failures
        lease = Chore("lease", renewal_seconds, lambda: _renew(context, machine), renewal_seconds)
        loops.create_task(_keep_doing(lease, failures))
        await _when_database_is_there(lambda: workflows.start(dispatcher.queues))
        _announce(context, machine)
        own = [
            Chore("dispatch", DISPATCH_SECONDS, dispatcher.run_once, DISPATCH_SECONDS),
            Chore("stranded", renewal_seconds, dispatcher.mark_stranded),
        ]
        for chore in [*own, *chores(context, workflows)]:
            loops.create_task(_keep_doing(chore, failures))
        loops.create_task(Mirror(context).run())


@asynccontextmanager
async def _tracing(context: WorkerContext) -> AsyncGenerator[Tracing | None]:
    """Inside the block work is traced, if there is a collector."""
    endpoint = context.settings.otlp_endpoint
    tracing = open_tracing(endpoint, service="mlx-hub-worker", version=version("mlx-hub"), prefix="mlx_hub")
    if tracing is None:
        yield None
        return
    context.metrics.add(tracing.counts)
    await asyncio.to_thread(tracing.start)
    try:
        yield tracing
    finally:
        await asyncio.to_thread(tracing.close)


def _works(context: WorkerContext, tracing: Tracing | None) -> dict[str, Work]:
    downloads = DownloadContext(
        sessions=context.sessions,
        hub=context.hub,
        folder=context.folder,
        max_cache_bytes=context.settings.model_cache_max_size,
        machine_id=context.machine_id,
        served=lambda: served_models(context),
    )
    works: dict[str, Work] = {
        "download": lambda row_id, attempt: run_download(downloads, row_id, attempt),
        "training": lambda row_id, attempt: run_training(context, row_id, attempt),
        "task": lambda row_id, attempt: run_task(context, row_id, attempt),
    }
    return {kind: _checked(context, tracing, kind, work) for kind, work in works.items()}


def _checked(context: WorkerContext, tracing: Tracing | None, kind: str, work: Work) -> Work:
    """The same work, logged and traced under the ids of the request that queued it.

    Raises when it returns and its row still waits for it: that would wait for ever.
    """

    async def run(row_id: UUID, attempt: int) -> None:
        key = WorkKey(kind, row_id, attempt)
        async with context.readers.begin() as session:
            origin = await origin_of(session, key)
        with context.metrics.working(kind), following(origin, key, tracing):
            await work(row_id, attempt)
        async with context.readers.begin() as session:
            if await is_active(session, key):
                raise RuntimeError(f"the {kind} returned without bringing its row to an end")

    return run


def _machine(context: WorkerContext) -> Machine:
    device = describe_device()
    return Machine(
        id=context.machine_id,
        store_id=context.store_id,
        hostname=os.uname().nodename[:255],
        device=device.name[:200],
        memory_bytes=device.memory_bytes,
        version=version("mlx-hub"),
    )


async def _claim_name(context: WorkerContext, machine: Machine) -> None:
    async with context.sessions.begin() as session:
        await check_name_is_free(session, machine, lease_seconds=context.settings.lease_seconds)
        await renew_lease(session, machine)


async def _renew(context: WorkerContext, machine: Machine) -> None:
    async with context.sessions.begin() as session:
        await renew_lease(session, machine)


async def _end_lease(context: WorkerContext, machine: Machine) -> None:
    try:
        async with asyncio.timeout(_AWAY_SECONDS), context.sessions.begin() as session:
            await end_lease(session, machine)
    except Exception as error:
        if not is_away(error):
            raise
        log.warning("lease_not_ended", reason=type(error).__name__)


async def _when_database_is_there(work: Callable[[], Awaitable[None]]) -> None:
    """Does `work`, trying again while the database does not answer."""
    is_told = False
    while True:
        try:
            return await work()
        except Exception as error:
            if not is_away(error):
                raise
            if not is_told:
                log.warning("waiting_for_database", reason=str(error.__cause__ or error).splitlines()[0])
                is_told = True
        await asyncio.sleep(_AWAY_SECONDS)


async def _keep_doing(chore: Chore, failures: Counter) -> None:
    """Nothing that goes wrong in one ends the worker, or the other loops."""
    failed = failures.labels(chore.name)
    num_failures = 0
    while True:
        try:
            await chore.work()
            num_failures = 0
        except Exception as error:
            num_failures += 1
            failed.inc()
            is_expected = is_away(error) or isinstance(error, UpstreamError)
            log.warning(
                "chore_failed", chore=chore.name, reason=str(error).splitlines()[:1], exc_info=None if is_expected else error
            )
        retry_seconds = min(chore.first_retry_seconds * 2 ** min(num_failures - 1, 10), _MAX_RETRY_SECONDS)
        await asyncio.sleep(retry_seconds if num_failures else chore.seconds)


@contextmanager
def _showing_metrics(context: WorkerContext) -> Generator[None]:
    """Work does not wait for a port that another process has, nor for a key that other machines would have to show."""
    settings = context.settings
    host, port = settings.worker_metrics_host, settings.worker_metrics_port
    key = settings.api_key.get_secret_value() if settings.api_key else None
    with ExitStack() as stack:
        try:
            if key is None and not is_loopback(host):
                raise PermissionError(errno.EACCES, "other machines could read them: set MLX_HUB_API_KEY")
            hosts = LOCAL_HOSTS | {host, *settings.allowed_hosts}
            address = stack.enter_context(serving_metrics(host, port, context.metrics.render, hosts=hosts, key=key))
        except OSError as error:
            log.warning("metrics_not_served", host=host, port=port, reason=error.strerror)
        else:
            sys.stdout.write(f"{'Metrics':14} {address}\n")
        yield


def _announce(context: WorkerContext, machine: Machine) -> None:
    queues = ", ".join(f"{name} ({places} at a time)" for name, places in PLACES.items())
    memory = f"{machine.memory_bytes / 2**30:.0f} GiB"
    sys.stdout.write(f"{'Worker':14} {machine.id} · {machine.device}, {memory}\n")
    sys.stdout.write(f"{'Queues':14} {queues} · {context.settings.data_dir}\n")
    sys.stdout.flush()
    log.info("worker_started", machine_id=machine.id, store_id=machine.store_id, version=machine.version)


if __name__ == "__main__":
    main()
