"""A tool's process as the worker sees it: one that hangs is replaced, one that others stopped is started again."""

import asyncio
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from fixtures.tasks import AdapterMaker
from fixtures.training import ModelMaker
from mlx_hub.core.model_card import Lineage
from mlx_hub.core.run_config import TrainingError
from mlx_hub.core.run_files import ExitReport, read_heartbeat
from mlx_hub.core.tool_files import FuseSpec, write_spec
from mlx_hub.services.tool_process import run_tool

MODULE = "mlx_hub.core.export"
DEADLINE_SECONDS = 60


@pytest.fixture
def job_dir(tmp_path: Path, tiny_models: ModelMaker, trained_adapter: AdapterMaker) -> Path:
    folder = tmp_path / "job"
    paths = {"model_path": str(tiny_models()), "adapter_path": str(trained_adapter()), "output_path": str(folder / "output")}
    write_spec(folder, FuseSpec(**paths, lineage=Lineage(name="answers", base_model="org/base")))
    return folder


def run(job_dir: Path, *, stall_seconds: float = 600.0, is_stopped: threading.Event | None = None) -> ExitReport:
    stop = is_stopped or threading.Event()
    return asyncio.run(run_tool(job_dir, MODULE, is_stopped=stop.is_set, stall_seconds=stall_seconds))


def signal_first(job_dir: Path, number: int, pids: list[int]) -> threading.Thread:
    """Sends a signal to the first tool as soon as it works, beside the test."""

    def send() -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (beat := read_heartbeat(job_dir)) is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(beat.pid, number)
        pids.append(beat.pid)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_tool_that_a_shutdown_stopped_is_started_again(job_dir: Path) -> None:
    pids: list[int] = []
    thread = signal_first(job_dir, signal.SIGTERM, pids)

    report = run(job_dir)

    thread.join()
    beat = read_heartbeat(job_dir)
    assert beat is not None
    assert report.status == "completed"
    assert beat.pid != pids[0]


def test_stop_that_comes_first_starts_nothing(job_dir: Path) -> None:
    stop = threading.Event()
    stop.set()

    assert run(job_dir, is_stopped=stop).status == "stopped"
    assert read_heartbeat(job_dir) is None


def test_tool_that_ends_well_without_a_report_has_failed(job_dir: Path) -> None:
    with pytest.raises(TrainingError, match="without a report") as failure:
        asyncio.run(run_tool(job_dir, "this", is_stopped=lambda: False, stall_seconds=600.0))

    assert failure.value.code == "tool_died"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_tool_that_hangs_is_killed_and_replaced(job_dir: Path) -> None:
    pids: list[int] = []
    thread = signal_first(job_dir, signal.SIGSTOP, pids)

    report = run(job_dir, stall_seconds=30.0)

    thread.join()
    beat = read_heartbeat(job_dir)
    assert beat is not None
    assert report.status == "completed"
    assert beat.pid != pids[0]
