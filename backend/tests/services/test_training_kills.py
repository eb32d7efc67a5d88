"""Whatever dies, hangs, or is stopped on the way, a job ends as if nothing had happened, or says what did."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fixtures.jobs import Jobs, change_row, training_beat, wait_for, wait_for_row
from fixtures.training import write_run_folder
from mlx_hub.core.run_files import (
    EXIT_FILES,
    HEARTBEAT_SECONDS,
    LOG_FILE,
    ExitReport,
    Heartbeat,
    is_running,
    read_exit,
    read_heartbeat,
)
from mlx_hub.models.job import JobStatus, Metric
from mlx_hub.models.registered_model import ModelVersion
from mlx_hub.services import training
from mlx_hub.services.detached_process import read_log_tail
from mlx_hub.services.dispatch import WAITING_FOR_MACHINE
from mlx_hub.services.trainer_watch import TrainerWatch
from mlx_hub.services.training_run import run_training
from mlx_hub.services.worker_context import WorkerContext
from sqlmodel import col, select

pytestmark = pytest.mark.timeout(300)

RunTrainer = Callable[..., ExitReport]

_ROWS = [{"prompt": f"question {i}", "completion": f"answer {i} " * (i % 3 + 1)} for i in range(24)]
_STEPS = 64
_SETTINGS: dict[str, Any] = {
    "steps": _STEPS,
    "batch_size": 2,
    "save_every": 8,
    "eval_every": 32,
    "lora_rank": 4,
    "lora_dropout": 0.1,
    "learning_rate": 1e-3,
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny_models: Any, run_trainer: RunTrainer) -> bytes:
    """The adapter that a job with `_SETTINGS` shall end with."""
    run_dir = write_run_folder(tmp_path_factory.mktemp("undisturbed"), _ROWS, tiny_models(), **_SETTINGS)
    assert run_trainer(run_dir).status == "completed"
    return (run_dir / "adapter" / "adapters.safetensors").read_bytes()


def _num_starts(run_dir: Path) -> int:
    return sum("training_started" in line for line in read_log_tail(run_dir / LOG_FILE, 10_000))


async def hang(run_dir: Path, *, step: int) -> Heartbeat:
    """Stop the trainer after it has done the step and told that it is at work; until then it works by moments."""
    beat = await training_beat(run_dir, step=step)
    os.kill(beat.pid, signal.SIGSTOP)
    while not beat.num_checks:
        await asyncio.sleep(HEARTBEAT_SECONDS)
        os.kill(beat.pid, signal.SIGCONT)
        await asyncio.sleep(0.01)
        os.kill(beat.pid, signal.SIGSTOP)
        beat = read_heartbeat(run_dir) or beat
    return beat


async def leave(running: asyncio.Task[None]) -> None:
    """As a worker does that stops."""
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def test_a_disturbed_job_ends_with_the_undisturbed_adapter(sqlite_jobs: Jobs, undisturbed: bytes) -> None:
    jobs = sqlite_jobs
    jobs.stall_seconds = 2.0
    job_id = jobs.create(_ROWS, **_SETTINGS)
    run_dir = jobs.run_dir(job_id)

    async def disturb(context: WorkerContext) -> None:
        first_try = asyncio.create_task(run_training(context, job_id, 0))
        hung = await hang(run_dir, step=10)
        await leave(first_try)
        assert is_running(hung)

        # It adopts the one that hangs, which keeps others out of the folder, and replaces it.
        second_try = asyncio.create_task(run_training(context, job_id, 0))
        restarted = await training_beat(run_dir, step=20, other_than=hung.pid)
        os.kill(restarted.pid, signal.SIGKILL)
        await second_try

    jobs.run(disturb)

    job = jobs.read(job_id)
    assert (job.status, job.error_message) == (JobStatus.COMPLETED, None)
    assert _num_starts(run_dir) == 3
    assert jobs.adapter(job_id) == undisturbed
    losses = jobs.rows(select(Metric.step).where(col(Metric.job_id) == job_id, col(Metric.name) == "train_loss"))
    assert sorted(losses) == list(range(1, _STEPS + 1))
    assert len(jobs.rows(select(ModelVersion))) == 1


def test_a_cancelled_job_is_resumed_to_the_same_adapter(sqlite_jobs: Jobs, undisturbed: bytes) -> None:
    jobs = sqlite_jobs
    job_id = jobs.create(_ROWS, **_SETTINGS)
    run_dir = jobs.run_dir(job_id)

    async def cancel(context: WorkerContext) -> None:
        running = asyncio.create_task(run_training(context, job_id, 0))
        await training_beat(run_dir, step=7)
        async with context.sessions.begin() as session:
            job = await training.cancel_job(session, job_id)
        assert (job.status, job.is_cancel_requested) == (JobStatus.RUNNING, True)
        await running

    jobs.run(cancel)
    cancelled = jobs.read(job_id)
    beat = read_heartbeat(run_dir)
    resumed = jobs.in_session(lambda session: training.resume_job(session, job_id))
    jobs.run(lambda context: run_training(context, job_id, 0))
    still_queued = jobs.read(job_id)
    job = jobs.train(job_id, attempt=1)

    assert (cancelled.status, cancelled.phase, cancelled.error_code) == (JobStatus.CANCELLED, "training", None)
    assert 7 <= cancelled.step < _STEPS
    assert beat is not None
    assert not is_running(beat)
    assert (resumed.status, resumed.attempt, resumed.is_cancel_requested) == (JobStatus.QUEUED, 1, False)
    # An old attempt leaves a queued job alone.
    assert still_queued.status == JobStatus.QUEUED
    assert job.status == JobStatus.COMPLETED
    assert jobs.adapter(job_id) == undisturbed


def test_a_trainer_that_always_dies_fails_the_job_with_its_last_words(sqlite_jobs: Jobs) -> None:
    jobs = sqlite_jobs
    job_id = jobs.create(_ROWS, **{**_SETTINGS, "save_every": 1000, "validation_share": 0.0})

    async def kill(context: WorkerContext) -> int:
        running = asyncio.create_task(run_training(context, job_id, 0))
        num_kills = 0
        killed: int | None = None
        while not running.done():
            beat = read_heartbeat(jobs.run_dir(job_id))
            has_begun = beat is not None and beat.mode == "train" and (killed is not None or beat.step >= 1)
            if beat and has_begun and beat.pid != killed and is_running(beat):
                os.kill(beat.pid, signal.SIGKILL)
                killed, num_kills = beat.pid, num_kills + 1
            await asyncio.sleep(0.02)
        await running
        return num_kills

    num_kills = jobs.run(kill)

    job = jobs.read(job_id)
    assert num_kills == 4
    assert (job.status, job.phase, job.error_code) == (JobStatus.FAILED, "training", "trainer_died")
    assert job.exit_signal == signal.SIGKILL
    assert "4 times after step 0" in (job.error_message or "")
    assert "training_started" in job.log_tail


def test_a_job_that_another_has_taken_is_left(sqlite_jobs: Jobs) -> None:
    jobs = sqlite_jobs
    job_id = jobs.create(_ROWS, **_SETTINGS)

    async def take_away(context: WorkerContext) -> None:
        running = asyncio.create_task(run_training(context, job_id, 0))
        beat = await training_beat(jobs.run_dir(job_id), step=1)
        async with context.sessions.begin() as session:
            await change_row(session, job_id, attempt=1, machine_id="another")
        await running
        # The other's trainer is not to find this one in the run's folder.
        await wait_for(lambda: not is_running(beat) or None)

    jobs.run(take_away)

    job = jobs.read(job_id)
    assert (job.status, job.attempt, job.machine_id, job.error_code) == (JobStatus.RUNNING, 1, "another", None)


def test_a_job_whose_machine_was_away_goes_on_with_what_its_trainer_did_meanwhile(sqlite_jobs: Jobs) -> None:
    jobs = sqlite_jobs
    job_id = jobs.create(_ROWS, **_SETTINGS)
    run_dir = jobs.run_dir(job_id)

    async def go_away(context: WorkerContext, running: asyncio.Task[None]) -> None:
        """Others say of the job what it waits for."""
        await leave(running)
        async with context.sessions.begin() as session:
            await change_row(session, job_id, phase=WAITING_FOR_MACHINE)

    async def come_and_go(context: WorkerContext) -> None:
        running = asyncio.create_task(run_training(context, job_id, 0))
        trainer = await training_beat(run_dir, step=1)
        os.kill(trainer.pid, signal.SIGSTOP)
        await go_away(context, running)

        running = asyncio.create_task(run_training(context, job_id, 0))
        await wait_for_row(context, job_id, phase="training")
        await go_away(context, running)

        os.kill(trainer.pid, signal.SIGCONT)
        await wait_for(lambda: not is_running(trainer) and read_exit(run_dir))
        await run_training(context, job_id, 0)

    jobs.run(come_and_go)

    job = jobs.read(job_id)
    assert (job.status, job.phase, job.step, job.error_message) == (JobStatus.COMPLETED, "completed", _STEPS, None)
    assert _num_starts(run_dir) == 1
    losses = jobs.rows(select(Metric.step).where(col(Metric.job_id) == job_id, col(Metric.name) == "train_loss"))
    assert sorted(losses) == list(range(1, _STEPS + 1))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_worker_may_stop_at_any_moment(jobs: Jobs, undisturbed: bytes) -> None:
    """Each try is stopped a little later than the one before, so that every phase is hit."""
    job_id = jobs.create(_ROWS, **_SETTINGS)

    async def run_for(context: WorkerContext, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await run_training(context, job_id, 0)

    tries = 0
    while jobs.read(job_id).status in (JobStatus.QUEUED, JobStatus.RUNNING):
        tries += 1
        jobs.run(lambda context, seconds=0.3 * tries: run_for(context, seconds))

    job = jobs.read(job_id)
    assert (job.status, job.error_message) == (JobStatus.COMPLETED, None)
    assert _num_starts(jobs.run_dir(job_id)) == 1
    assert jobs.adapter(job_id) == undisturbed
    assert [version.version for version in jobs.rows(select(ModelVersion))] == [1]
    losses = jobs.rows(select(Metric.step).where(col(Metric.job_id) == job_id, col(Metric.name) == "train_loss"))
    assert sorted(losses) == list(range(1, _STEPS + 1))


@pytest.mark.parametrize("loses_report", [True, False], ids=["report lost", "report there"])
def test_a_trainer_that_ended_well_has_failed_when_its_report_is_lost(
    tmp_path: Path, tiny_models: Any, loses_report: bool
) -> None:
    run_dir = write_run_folder(tmp_path / "run", _ROWS, tiny_models(), **_SETTINGS)

    async def on_tick(_: Heartbeat | None) -> bool:
        """As a disk does that loses its last writes."""
        if loses_report:
            (run_dir / EXIT_FILES["probe"]).unlink(missing_ok=True)
        return False

    end = asyncio.run(TrainerWatch(run_dir, "probe", stall_seconds=600.0, on_tick=on_tick).run())

    expected = ("failed", "trainer_died", None) if loses_report else ("completed", None, None)
    assert (end.report.status, end.report.error_code, end.exit_signal) == expected


def test_a_trainer_that_somebody_else_stops_goes_on(sqlite_jobs: Jobs, undisturbed: bytes) -> None:
    jobs = sqlite_jobs
    job_id = jobs.create(_ROWS, **_SETTINGS)
    run_dir = jobs.run_dir(job_id)

    async def stop(context: WorkerContext) -> None:
        running = asyncio.create_task(run_training(context, job_id, 0))
        stopped = await training_beat(run_dir, step=7)
        os.kill(stopped.pid, signal.SIGTERM)
        await running

    jobs.run(stop)

    job = jobs.read(job_id)
    assert (job.status, job.error_message) == (JobStatus.COMPLETED, None)
    assert _num_starts(run_dir) == 2
    assert any("training_resumed" in line for line in read_log_tail(run_dir / LOG_FILE, 10_000))
    assert jobs.adapter(job_id) == undisturbed
