"""One training job from its row to a served adapter: prepare, train, evaluate, register.

Any worker of the job's store may run it, and run it again after anything was killed at any moment: each phase finds what the
last try left. A trainer outlives the worker and is adopted.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.core.durable_files import is_disk_full
from mlx_hub.core.run_config import TrainingError
from mlx_hub.core.run_files import EXIT_FILE, EXIT_FILES, LOG_FILE, Heartbeat, Mode, read_exit
from mlx_hub.db import is_away
from mlx_hub.errors import HubError
from mlx_hub.models.base import utc_now
from mlx_hub.models.dataset import Dataset
from mlx_hub.models.job import JobStatus, TrainingJob
from mlx_hub.models.registered_model import RegisteredModel
from mlx_hub.observability.tracing import annotate, mark_failed, span
from mlx_hub.services import metrics_tail, outbox
from mlx_hub.services.detached_process import DetachedProcess, read_log_tail
from mlx_hub.services.events import publish
from mlx_hub.services.job_claim import PREPARING, CancelRequestedError, JobClaim, LostJobError, refuse_cancelled
from mlx_hub.services.metrics_tail import MetricsTail, store_metrics
from mlx_hub.services.model_cache import leased_snapshot
from mlx_hub.services.run_folder import run_folder
from mlx_hub.services.trainer_watch import TICK_SECONDS, TrainerEnd, TrainerWatch
from mlx_hub.services.training_events import publish_job
from mlx_hub.services.training_prepare import JobInputs, has_passed, is_prepared, prepare_run
from mlx_hub.services.training_results import Registered, read_outcome, register
from mlx_hub.services.worker_context import WorkerContext

TRAINING, EVALUATING, REGISTERING = "training", "evaluating", "registering"
LOG_LINES = 200
_JOB_EVENT_SECONDS = 5.0
_NAME_TRIES = 3

log = structlog.get_logger(__name__)


class _FailedError(Exception):
    """The job ends as failed. `has_log` when the trainer's log says more."""

    def __init__(self, code: str, message: str, *, exit_signal: int | None = None, has_log: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.exit_signal = exit_signal
        self.has_log = has_log


async def run_training(context: WorkerContext, job_id: UUID, attempt: int) -> None:
    """Bring the attempt to its end. What went wrong is in the row, not raised.

    Leaves quietly when the attempt is no longer the job's. Cancelled (the worker stops), it leaves the row as running and
    the trainer alive, to be run again. Raises what a database raises that is away.
    """
    claim = JobClaim(context.sessions, job_id, attempt, context.machine_id)
    job = await claim.take()
    if job is None:
        return
    await _Run(context, claim, job).run()


class _Run:
    """One try at one attempt, on one event loop."""

    def __init__(self, context: WorkerContext, claim: JobClaim, job: TrainingJob) -> None:
        self._context = context
        self._claim = claim
        self._job = job
        self._run_dir = run_folder(context.settings.data_dir, job.id)
        self._told_at = float("-inf")
        self._log = log.bind(job_id=str(job.id), attempt=claim.attempt)

    async def run(self) -> None:
        try:
            await self._phases()
        except LostJobError:
            await self._leave()
        except CancelRequestedError:
            await self._end(JobStatus.CANCELLED)
            self._log.info("job_cancelled")
        except _FailedError as error:
            await self._fail(error)
        except (HubError, TrainingError) as error:
            await self._fail(_FailedError(error.code, error.message, has_log=False))
        except Exception as error:
            if is_away(error):
                raise
            await self._fail(self._unexpected(error))

    def _unexpected(self, error: Exception) -> _FailedError:
        if is_disk_full(error):
            return _FailedError("storage_full", "The disk is full: free some space, then resume.")
        self._log.exception("job_broke")
        return _FailedError(HubError.code, "The job broke because of a mistake in this program; see the worker's log.")

    async def _phases(self) -> None:
        refuse_cancelled(self._job)
        async with AsyncExitStack() as stack:
            inputs = await self._inputs(stack)
            if self._job.phase not in (TRAINING, EVALUATING, REGISTERING):
                if is_prepared(self._job):
                    # Another machine has written over the phase while this one was away; the run's files know how far it is.
                    await self._enter(TRAINING)
                else:
                    with span("prepare"):
                        await self._prepare(inputs)
            if self._job.phase == TRAINING:
                with span("train"):
                    await self._train()
            if self._job.phase == EVALUATING:
                with span("evaluate"):
                    await self._evaluate()
            with span("register"):
                registered = await self._register(inputs)
        self._log.info("job_completed", version=registered.version)
        with span("serve"):
            for alias in registered.moved:
                await self._context.promotions.follow(registered.model_id, alias)

    async def _inputs(self, stack: AsyncExitStack) -> JobInputs:
        """With the model's weights kept in the cache until `stack` is closed."""
        context, job = self._context, self._job
        async with context.readers.begin() as session:
            model = await session.get(RegisteredModel, job.model_id) if job.model_id else None
            dataset = await session.get(Dataset, job.dataset_id) if job.dataset_id else None
        if model is None or dataset is None:
            gone = "model" if model is None else "dataset"
            raise _FailedError(f"{gone}_missing", f"The job's {gone} was deleted; start a new job with another.", has_log=False)
        lease = leased_snapshot(context.sessions, context.folder, model)
        path, commit = await stack.enter_async_context(lease)
        return JobInputs(job, model, dataset, path, commit)

    async def _prepare(self, inputs: JobInputs) -> None:
        self._log.info("job_preparing", model=inputs.model.name)
        async with self._claim.transaction(phase=PREPARING) as (session, job):
            await publish_job(session, job)
        had_passed = has_passed(self._job)
        work = prepare_run(inputs, self._run_dir, self._context.core, probe=lambda: self._watch("probe", self._stay))
        report = await self._unless_cancelled(work)
        values: dict[str, Any] = {"preflight": {**report, "prepared_attempt": self._claim.attempt}}
        if report["refusal_code"] is not None:
            async with self._claim.transaction(**values):
                pass
            raise _FailedError(report["refusal_code"], report["refusal"])
        if not had_passed:
            values["num_steps"] = report["num_steps"]
        async with self._claim.transaction(phase=TRAINING, **values) as (session, job):
            refuse_cancelled(job)
            starts_over = job.attempt > 0 and not had_passed
            outbox.start_run(session, job, _parameters(inputs), starts_over=starts_over)
            await publish_job(session, job)
        self._job = job

    async def _unless_cancelled(self, work: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        """What `work` gives, which is stopped when people cancel the job."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=TICK_SECONDS))[0]:
                if await self._stay(None):
                    raise CancelRequestedError
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _train(self) -> None:
        async with self._context.readers.begin() as session:
            tail = MetricsTail(self._run_dir, await metrics_tail.last_steps(session, self._job.id))
        end = await self._watch("train", lambda beat: self._store_progress(tail, beat))
        self._raise_unless_completed(end)
        annotate({"mlx.training.steps": end.report.num_steps})
        values = {"step": end.report.step, "num_steps": end.report.num_steps}
        await self._enter(EVALUATING, **values)

    async def _evaluate(self) -> None:
        """A comparison that fails costs the version its numbers, not its existence."""
        end = await self._watch("evaluate", self._stay)
        if end.report.status == "failed":
            self._log.warning("evaluation_failed", code=end.report.error_code, reason=end.report.error_message)
        await self._enter(REGISTERING)

    async def _enter(self, phase: str, **values: Any) -> None:
        async with self._claim.transaction(phase=phase, **values) as (session, job):
            refuse_cancelled(job)
            await publish_job(session, job)
        self._job = job

    async def _register(self, inputs: JobInputs) -> Registered:
        data_dir = self._context.settings.data_dir
        report = read_exit(self._run_dir)
        if report is None:
            raise _FailedError("run_missing", f"The run's folder has lost its {EXIT_FILE}; resume the job.")
        evaluation = read_exit(self._run_dir, exit_file=EXIT_FILES["evaluate"])
        outcome = await asyncio.to_thread(read_outcome, self._run_dir, report, evaluation)
        for _ in range(_NAME_TRIES - 1):
            try:
                return await register(self._claim, inputs, self._run_dir, data_dir, outcome)
            except IntegrityError:
                # Another job made a model of the same name at the same moment; now it is there.
                continue
        return await register(self._claim, inputs, self._run_dir, data_dir, outcome)

    async def _watch(self, mode: Mode, on_tick: Callable[[Heartbeat | None], Awaitable[bool]]) -> TrainerEnd:
        stall_seconds = self._context.settings.worker_stall_seconds
        figures = self._context.metrics.trainer

        async def see(beat: Heartbeat | None) -> bool:
            figures.see(beat)
            return await on_tick(beat)

        with figures.watching(mode):
            end = await TrainerWatch(self._run_dir, mode, stall_seconds=stall_seconds, on_tick=see).run()
        if end.report.status == "stopped":
            raise CancelRequestedError
        return end

    def _raise_unless_completed(self, end: TrainerEnd) -> None:
        report = end.report
        if report.status == "failed":
            message = report.error_message or "The trainer failed."
            raise _FailedError(report.error_code or HubError.code, message, exit_signal=end.exit_signal)

    async def _stay(self, _: Heartbeat | None) -> bool:
        """Renew the hold on the job; whether people want it to end."""
        async with self._claim.transaction() as (_session, job):
            return job.is_cancel_requested

    async def _store_progress(self, tail: MetricsTail, beat: Heartbeat | None) -> bool:
        """Everything that the trainer has written since, in as many transactions as it takes."""
        while True:
            part = await asyncio.to_thread(tail.read)
            values = {"step": beat.step, "num_steps": beat.num_steps} if beat and beat.num_steps else {}
            async with self._claim.transaction(**values) as (session, job):
                if part.points:
                    await store_metrics(session, job.id, part.points)
                    outbox.log_metrics(session, job.id, part.points)
                    await publish(session, "metrics", job.id, {"job_id": str(job.id), "points": part.points})
                    await self._tell_now_and_then(session, job)
            tail.confirm(part)
            self._context.metrics.trainer.record(part.points)
            if part.is_last:
                return job.is_cancel_requested

    async def _tell_now_and_then(self, session: AsyncSession, job: TrainingJob) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._told_at > _JOB_EVENT_SECONDS:
            self._told_at = now
            await publish_job(session, job)

    async def _fail(self, error: _FailedError) -> None:
        mark_failed(error.code)
        self._log.warning("job_failed", code=error.code, reason=error.message, signal=error.exit_signal)
        lines = await asyncio.to_thread(read_log_tail, self._run_dir / LOG_FILE, LOG_LINES) if error.has_log else []
        await self._end(
            JobStatus.FAILED,
            error_code=error.code,
            error_message=error.message[:10_000],
            exit_signal=error.exit_signal,
            log_tail="\n".join(lines),
        )

    async def _end(self, status: JobStatus, **values: Any) -> None:
        """Nothing is left at work in the run's folder."""
        await self._stop_trainer()
        try:
            async with self._claim.transaction(status=status, completed_at=utc_now(), **values) as (session, job):
                if has_passed(job):
                    outbox.end_run(session, job.id, status)
                await publish_job(session, job)
        except LostJobError:
            await self._leave()

    async def _leave(self) -> None:
        """Another has the job. Its trainer is ours to keep out of the folder unless that other adopts it on this machine."""
        self._log.info("job_left_to_another")
        job = await self._claim.holder()
        if job is None or job.machine_id != self._context.machine_id:
            await self._stop_trainer()

    async def _stop_trainer(self) -> None:
        if found := await asyncio.to_thread(DetachedProcess.find, self._run_dir):
            found.send(signal.SIGKILL)


def _parameters(inputs: JobInputs) -> dict[str, object]:
    """What MLflow shows of a run."""
    return {
        **inputs.job.config,
        "base_model": inputs.model.name,
        "base_commit": inputs.base_commit,
        "dataset": inputs.dataset.name,
        "dataset_sha256": inputs.dataset.sha256,
    }
