"""Hands queued rows to this worker's queues, and puts right what crashes have left: the rows are the truth, the queues follow.

Each worker has queues of its own, so that after a restart it finds its running work again and nobody else does: a trainer or a
tool may still be alive on this machine. It takes a row only when it has a free place for it. Of two workers that want one row,
one gets it, because both hand over the same workflow id.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlmodel import col, select, update

from mlx_hub.core.run_files import read_heartbeat
from mlx_hub.models.job import JobStatus, Machine, Task, TrainingJob
from mlx_hub.services.machines import Freshness
from mlx_hub.services.run_folder import run_folder
from mlx_hub.services.tasks import job_folder
from mlx_hub.services.training_events import publish_job
from mlx_hub.services.work_rows import WorkKey, WorkRow, give_up, key_of, list_active, needs_accelerator, requeue
from mlx_hub.services.worker_context import WorkerContext
from mlx_hub.services.workflows import Handed, Workflows, WorkState

ACCELERATOR, IO = "accelerator", "io"
PLACES: Mapping[str, int] = {ACCELERATOR: 1, IO: 4}
"""Rows that a worker has at a time."""
MAX_BREAKS = 3
"""Attempts in a row that end by an exception before the row fails."""
WAITING_FOR_MACHINE = "waiting_for_machine"

log = structlog.get_logger(__name__)


def queue_name(lane: str, store_id: str, machine_id: str) -> str:
    return f"{lane}:{store_id}:{machine_id}"


def _folder_of(row: WorkRow, data_dir: Path) -> Path | None:
    """Where the process at work for a row has its heartbeat; a download has none."""
    match row:
        case TrainingJob():
            return run_folder(data_dir, row.id)
        case Task():
            return job_folder(data_dir, row.id)
        case _:
            return None


@dataclass(frozen=True, slots=True)
class _View:
    """What one pass has read: the machines that live, and what was handed over."""

    alive: frozenset[str]
    handed: Mapping[WorkKey, Handed]


class Dispatcher:
    """One for a worker, used on its event loop. `lease_seconds`: whoever is silent for so long is dead."""

    def __init__(self, context: WorkerContext, workflows: Workflows, *, lease_seconds: float) -> None:
        self._context = context
        self._workflows = workflows
        self._leases = Freshness(lease_seconds)
        self._processes = Freshness(lease_seconds)
        self._doubts = Freshness(lease_seconds)
        self._queues = {lane: queue_name(lane, context.store_id, context.machine_id) for lane in PLACES}

    @property
    def queues(self) -> dict[str, int]:
        """This worker's queues and how much of each it does at a time."""
        return {self._queues[lane]: places for lane, places in PLACES.items()}

    async def run_once(self) -> None:
        """One look at all queued and running rows of the store."""
        async with self._context.readers.begin() as session:
            machines = (await session.exec(select(Machine.id, Machine.heartbeat_at))).all()
            rows = await list_active(session, self._context.store_id)
        alive = {machine_id for machine_id, heartbeat_at in machines if self._leases.is_fresh(machine_id, heartbeat_at)}
        # Only after the rows, so that work that ended between the two is not taken for lost.
        handed = await self._workflows.find([key_of(row) for row in rows])
        view = _View(frozenset(alive | {self._context.machine_id}), handed)
        for row in rows:
            await self._mend(row, view)
        await self._hand_over(rows, view)
        self._processes.forget_others({row.id for row in rows})
        self._doubts.forget_others({key_of(row) for row in rows})

    async def _hand_over(self, rows: list[WorkRow], view: _View) -> None:
        """Fill the free places with the oldest rows that nobody has."""
        queues = {key_of(row): self._queues[ACCELERATOR if needs_accelerator(row) else IO] for row in rows}
        free = dict(self.queues)
        for handed in view.handed.values():
            if handed.queue in free and handed.state in (WorkState.WAITING, WorkState.RUNNING):
                free[handed.queue] -= 1
        for row in rows:
            key = key_of(row)
            is_lost = row.status == JobStatus.RUNNING and row.machine_id == self._context.machine_id
            if key not in view.handed and (is_lost or (row.status == JobStatus.QUEUED and free[queues[key]] > 0)):
                await self._workflows.enqueue(queues[key], key)
                free[queues[key]] -= 1
                log.info("work_handed_over", work=str(key), queue=queues[key])

    async def _mend(self, row: WorkRow, view: _View) -> None:
        if row.status == JobStatus.RUNNING and row.machine_id != self._context.machine_id:
            await self._mend_of_other(row, view)
        elif handed := view.handed.get(key_of(row)):
            await self._mend_handed(key_of(row), handed, view)

    async def _mend_of_other(self, row: WorkRow, view: _View) -> None:
        """What another machine runs is its own affair while its worker lives, or the process that the worker started for it."""
        # Processes are watched before their worker is dead, so as to know then.
        has_process = await self._has_live_process(row)
        if row.machine_id not in view.alive and not has_process:
            await self._requeue(key_of(row), reason="machine_died", machine_id=row.machine_id)

    async def _has_live_process(self, row: WorkRow) -> bool:
        """Whether a trainer or a tool writes on, or did until a moment ago, as far as we have seen."""
        folder = _folder_of(row, self._context.settings.data_dir)
        beat = await asyncio.to_thread(read_heartbeat, folder) if folder else None
        return beat is not None and self._processes.is_fresh(row.id, beat)

    async def _mend_handed(self, key: WorkKey, handed: Handed, view: _View) -> None:
        if handed.state == WorkState.GIVEN_UP:
            await self._give_up(key, "The worker died again and again while it was at this")
        elif handed.state == WorkState.BROKEN:
            await self._mend_broken(key)
        elif handed.state == WorkState.DONE:
            await self._requeue(key, reason="ended_without_result")
        elif not self._is_in_good_hands(key, handed, view):
            await self._requeue(key, reason="nobody_has_it")

    def _is_in_good_hands(self, key: WorkKey, handed: Handed, view: _View) -> bool:
        """Whether it waits or runs where somebody lives. What hangs between its queue and this worker gets some time."""
        if handed.queue in self._queues.values():
            if handed.state == WorkState.WAITING or self._workflows.is_running_here(key):
                return True
            return self._doubts.is_fresh(key, handed)
        store_id = self._context.store_id
        return handed.queue in {queue_name(lane, store_id, machine_id) for lane in PLACES for machine_id in view.alive}

    async def _mend_broken(self, key: WorkKey) -> None:
        before = await self._workflows.find(key.earlier(MAX_BREAKS - 1))
        if sum(handed.state == WorkState.BROKEN for handed in before.values()) == MAX_BREAKS - 1:
            await self._give_up(key, f"It broke {MAX_BREAKS} times in a row because of a mistake in this program")
        else:
            await self._requeue(key, reason="work_broke")

    async def _requeue(self, key: WorkKey, *, reason: str, machine_id: str | None = None) -> None:
        async with self._context.sessions.begin() as session:
            is_done = await requeue(session, key)
        if is_done:
            log.warning("work_queued_again", work=str(key), reason=reason, machine_id=machine_id)

    async def _give_up(self, key: WorkKey, reason: str) -> None:
        async with self._context.sessions.begin() as session:
            is_done = await give_up(session, key, f"{reason}; the worker's log says more.")
        if is_done:
            log.error("work_given_up", work=str(key), reason=reason)

    async def mark_stranded(self) -> None:
        """Say of jobs whose data folder no living worker sees that they wait for their machine."""
        async with self._context.sessions.begin() as session:
            machines = (await session.exec(select(Machine))).all()
            seen = {row.store_id for row in machines if self._leases.is_fresh(row.id, row.heartbeat_at)}
            stranded = (
                col(TrainingJob.status) == JobStatus.RUNNING,
                col(TrainingJob.store_id).not_in(seen | {self._context.store_id}),
                col(TrainingJob.phase) != WAITING_FOR_MACHINE,
            )
            for job in (await session.exec(select(TrainingJob).where(*stranded))).all():
                await session.exec(
                    update(TrainingJob).where(*stranded, col(TrainingJob.id) == job.id).values(phase=WAITING_FOR_MACHINE)
                )
                await session.refresh(job)
                await publish_job(session, job)
                log.warning("job_waits_for_machine", job_id=str(job.id), machine_id=job.machine_id)
