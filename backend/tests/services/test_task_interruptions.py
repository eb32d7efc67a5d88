"""What is left of a task when workers, tools and people interfere, and when the disk is full."""

import asyncio
import json
import os
import signal
import struct
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from fixtures.tasks import DEADLINE_SECONDS, AdapterMaker, Tasks
from fixtures.training import ModelMaker
from mlx_hub.core.manifest import read_manifest
from mlx_hub.models.job import Download, JobStatus
from mlx_hub.models.registered_model import ModelVersion, RegisteredModel
from mlx_hub.services.task_run import run_task
from mlx_hub.services.tasks import ExportFormat, cancel_task
from mlx_hub.services.worker_context import WorkerContext
from sqlmodel.ext.asyncio.session import AsyncSession


@pytest.fixture
def base(sqlite_tasks: Tasks, tiny_models: ModelMaker) -> RegisteredModel:
    return sqlite_tasks.add_base(tiny_models())


@pytest.fixture
def version(sqlite_tasks: Tasks, base: RegisteredModel, trained_adapter: AdapterMaker) -> ModelVersion:
    return sqlite_tasks.add_adapter(base, trained_adapter(), base_commit="c" * 40)


def test_killed_tool_is_started_again(sqlite_tasks: Tasks, version: ModelVersion) -> None:
    task_id = sqlite_tasks.ask_export(version, ExportFormat.FUSED)
    killed: list[int] = []

    def kill() -> None:
        beat = sqlite_tasks.wait_for_tool(task_id)
        os.kill(beat.pid, signal.SIGKILL)
        killed.append(beat.pid)

    task = sqlite_tasks.run(task_id, during=lambda: asyncio.to_thread(kill))

    assert task.status == JobStatus.COMPLETED, task.error_message
    assert sqlite_tasks.wait_for_tool(task_id).pid != killed[0]
    read_manifest(sqlite_tasks.job_dir(task_id) / "output")


@pytest.mark.slow
def test_tool_that_dies_each_time_fails_the_task_with_its_log(sqlite_tasks: Tasks, version: ModelVersion) -> None:
    task_id = sqlite_tasks.ask_export(version, ExportFormat.FUSED)

    def kill_all() -> None:
        last: int | None = None
        for _ in range(3):
            last = sqlite_tasks.wait_for_tool(task_id, other_than=last).pid
            with (sqlite_tasks.job_dir(task_id) / "tool.log").open("a") as log:
                log.write("the last words\n")
            os.kill(last, signal.SIGKILL)

    task = sqlite_tasks.run(task_id, during=lambda: asyncio.to_thread(kill_all))

    assert (task.status, task.error_code) == (JobStatus.FAILED, "tool_died")
    assert task.error_message is not None
    assert "the last words" in task.error_message
    assert not (sqlite_tasks.job_dir(task_id) / "output").exists()


def test_tool_outlives_a_killed_worker_and_is_adopted(
    tasks: Tasks, tiny_models: ModelMaker, trained_adapter: AdapterMaker
) -> None:
    version = tasks.add_adapter(tasks.add_base(tiny_models()), trained_adapter())
    task_id = tasks.ask_export(version, ExportFormat.FUSED)
    with tasks.worker(task_id):
        first = tasks.wait_for_tool(task_id)
        os.kill(first.pid, signal.SIGSTOP)
    assert tasks.read(task_id).status == JobStatus.RUNNING

    task = tasks.run(task_id, during=lambda: asyncio.to_thread(os.kill, first.pid, signal.SIGCONT))

    assert task.status == JobStatus.COMPLETED, task.error_message
    assert tasks.wait_for_tool(task_id).pid == first.pid


@pytest.mark.slow
def test_worker_and_tool_both_killed_begin_again(sqlite_tasks: Tasks, base: RegisteredModel) -> None:
    task_id = sqlite_tasks.ask_quantise(base)
    with sqlite_tasks.worker(task_id):
        first = sqlite_tasks.wait_for_tool(task_id)
        os.kill(first.pid, signal.SIGKILL)

    task = sqlite_tasks.run(task_id)

    assert task.status == JobStatus.COMPLETED, task.error_message
    assert Path(task.result["path"], "model.safetensors").is_file()


@pytest.mark.slow
def test_published_but_not_registered_is_registered_by_the_next_run(sqlite_tasks: Tasks, base: RegisteredModel) -> None:
    task_id = sqlite_tasks.ask_quantise(base)
    first = sqlite_tasks.run(task_id).result

    async def forget(session: AsyncSession) -> None:
        for table, key in ((Download, "download_id"), (RegisteredModel, "model_id")):
            await session.delete(await session.get_one(table, UUID(first[key])))
            await session.flush()

    # As if the worker had died between the rename and the transaction.
    sqlite_tasks.in_session(forget)
    sqlite_tasks.change(task_id, status=JobStatus.RUNNING, result={}, completed_at=None)

    second = sqlite_tasks.run(task_id)

    assert second.status == JobStatus.COMPLETED, second.error_message
    assert second.result["commit"] == first["commit"]
    assert second.result["model_id"] != first["model_id"]


@pytest.mark.slow
def test_stopping_worker_leaves_the_tool_at_work(sqlite_tasks: Tasks, version: ModelVersion) -> None:
    task_id = sqlite_tasks.ask_export(version, ExportFormat.FUSED)

    async def stop_worker(context: WorkerContext) -> int:
        running = asyncio.create_task(run_task(context, task_id, 0))
        beat = await asyncio.to_thread(sqlite_tasks.wait_for_tool, task_id)
        os.kill(beat.pid, signal.SIGSTOP)
        running.cancel()
        await asyncio.wait({running})
        return beat.pid

    pid = sqlite_tasks.with_context(stop_worker)

    assert psutil.Process(pid).status() == psutil.STATUS_STOPPED
    assert sqlite_tasks.read(task_id).status == JobStatus.RUNNING
    task = sqlite_tasks.run(task_id, during=lambda: asyncio.to_thread(os.kill, pid, signal.SIGCONT))
    assert task.status == JobStatus.COMPLETED, task.error_message


@pytest.mark.parametrize("kind", ["fused", "quantise"])
def test_running_task_is_cancelled_soon(sqlite_tasks: Tasks, base: RegisteredModel, version: ModelVersion, kind: str) -> None:
    tasks = sqlite_tasks
    task_id = tasks.ask_quantise(base) if kind == "quantise" else tasks.ask_export(version, ExportFormat.FUSED)

    def cancel() -> int:
        beat = tasks.wait_for_tool(task_id)
        # It cannot end before it is cancelled.
        os.kill(beat.pid, signal.SIGSTOP)
        tasks.in_session(lambda session: cancel_task(session, task_id))
        os.kill(beat.pid, signal.SIGCONT)
        return beat.pid

    pids: list[int] = []

    async def interfere() -> None:
        pids.append(await asyncio.to_thread(cancel))

    task = tasks.run(task_id, during=interfere)

    # A tool so near its end that it met no safe point any more is done.
    assert task.status in (JobStatus.CANCELLED, JobStatus.COMPLETED)
    assert not psutil.pid_exists(pids[0]) or psutil.Process(pids[0]).status() == psutil.STATUS_ZOMBIE
    if task.status == JobStatus.CANCELLED:
        assert not (tasks.job_dir(task_id) / "output").exists()
        assert tasks.folder.read_ref("local/small", "main") is None


def test_cancelled_before_a_worker_takes_it(sqlite_tasks: Tasks, version: ModelVersion) -> None:
    task_id = sqlite_tasks.ask_export(version, ExportFormat.ADAPTER)
    sqlite_tasks.in_session(lambda session: cancel_task(session, task_id))

    task = sqlite_tasks.run(task_id)

    assert task.status == JobStatus.CANCELLED
    assert not sqlite_tasks.job_dir(task_id).exists()


def test_cancelled_while_its_worker_was_dead(sqlite_tasks: Tasks, version: ModelVersion) -> None:
    task_id = sqlite_tasks.ask_export(version, ExportFormat.FUSED)
    sqlite_tasks.change(task_id, status=JobStatus.RUNNING, machine_id="here", is_cancel_requested=True)

    assert sqlite_tasks.run(task_id).status == JobStatus.CANCELLED


@pytest.mark.parametrize(("attempt", "machine_id"), [(0, "here"), (1, "elsewhere")])
def test_attempt_of_another_is_left_alone(sqlite_tasks: Tasks, version: ModelVersion, attempt: int, machine_id: str) -> None:
    task_id = sqlite_tasks.ask_export(version, ExportFormat.ADAPTER)
    sqlite_tasks.change(task_id, status=JobStatus.RUNNING, attempt=1, machine_id=machine_id)

    task = sqlite_tasks.run(task_id, attempt=attempt)

    assert (task.status, task.attempt, task.machine_id) == (JobStatus.RUNNING, 1, machine_id)
    assert not (sqlite_tasks.job_dir(task_id) / "output").exists()


def test_attempt_that_is_taken_over_stops_quietly(sqlite_tasks: Tasks, version: ModelVersion) -> None:
    task_id = sqlite_tasks.ask_export(version, ExportFormat.FUSED)

    def take_over() -> None:
        beat = sqlite_tasks.wait_for_tool(task_id)
        os.kill(beat.pid, signal.SIGSTOP)
        sqlite_tasks.change(task_id, status=JobStatus.QUEUED, attempt=1)
        os.kill(beat.pid, signal.SIGCONT)

    first = sqlite_tasks.run(task_id, during=lambda: asyncio.to_thread(take_over))
    assert (first.status, first.attempt) == (JobStatus.QUEUED, 1)

    task = sqlite_tasks.run(task_id, attempt=1)

    assert task.status == JobStatus.COMPLETED, task.error_message


def test_full_disk_fails_the_task_clearly(sqlite_tasks: Tasks, base: RegisteredModel, trained_adapter: AdapterMaker) -> None:
    version = sqlite_tasks.add_adapter(base, trained_adapter(lora_rank=256, steps=1))
    task_id = sqlite_tasks.ask_export(version, ExportFormat.ADAPTER)

    # Less than the adapter's weights, more than the database has.
    with sqlite_tasks.worker(task_id, max_file_bytes=10**6) as worker:
        assert worker.wait(DEADLINE_SECONDS) == 0, (sqlite_tasks.home / "worker.log").read_text()

    task = sqlite_tasks.read(task_id)
    assert (task.status, task.error_code) == (JobStatus.FAILED, "storage_full")
    assert task.error_message == "The disk is full: free some space, then ask again."
    assert not any(sqlite_tasks.job_dir(task_id).iterdir())


def test_export_larger_than_the_disk_is_refused_before_it_begins(
    sqlite_tasks: Tasks, tiny_models: ModelMaker, trained_adapter: AdapterMaker
) -> None:
    base = sqlite_tasks.add_base(tiny_models())
    weights = sqlite_tasks.folder.snapshot("org/base", "c" * 40) / "model-large.safetensors"
    num_bytes = 8 * 2**40
    header = json.dumps({"large": {"dtype": "U8", "shape": [num_bytes], "data_offsets": [0, num_bytes]}}).encode()
    with weights.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + num_bytes)
    version = sqlite_tasks.add_adapter(base, trained_adapter())

    task = sqlite_tasks.run(sqlite_tasks.ask_export(version, ExportFormat.FUSED))

    assert (task.status, task.error_code) == (JobStatus.FAILED, "storage_full")
    assert task.error_message is not None
    assert f"needs {num_bytes + 1476352} bytes" in task.error_message
