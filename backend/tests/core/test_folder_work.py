"""How a process that works in a folder ends, and what it says of it."""

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import mlx.core as mx
import pytest
from fixtures.tasks import kept_signals
from mlx_hub.core.folder_work import FolderWork, crash_code, do_work
from mlx_hub.core.run_config import TrainingError
from mlx_hub.core.run_files import EXIT_FILES, LOCKED_EXIT_CODE, ExitReport, read_exit, read_heartbeat, run_lock

_LARGE_BYTES = 2 * 10**6


@contextmanager
def small_files() -> Iterator[None]:
    """No file may grow beyond 1 MB, which programs are told as they are of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def save_tensors(file: Path) -> None:
    mx.save_safetensors(str(file), {"weights": mx.zeros((_LARGE_BYTES,), mx.uint8)})


def write_bytes(file: Path) -> None:
    file.write_bytes(bytes(_LARGE_BYTES))


@pytest.mark.parametrize("write", [save_tensors, write_bytes])
def test_a_full_disk_is_told_as_such_whoever_writes(tmp_path: Path, write: Callable[[Path], None]) -> None:
    def fill(work: FolderWork) -> ExitReport:
        with small_files():
            write(work.folder / "weights.safetensors")
        raise AssertionError("the disk is not full")

    with kept_signals():
        status = do_work(tmp_path, fill)

    report = read_exit(tmp_path)
    assert report is not None
    assert (status, report.status, report.error_code) == (1, "failed", "storage_full"), report


def test_a_signal_stops_it_at_the_next_safe_point(tmp_path: Path) -> None:
    def stop(work: FolderWork) -> ExitReport:
        work.stop.check()
        os.kill(os.getpid(), signal.SIGTERM)
        work.stop.check()
        raise AssertionError("it goes on")

    with kept_signals():
        status = do_work(tmp_path, stop, mode="evaluate")

    report = read_exit(tmp_path, exit_file=EXIT_FILES["evaluate"])
    beat = read_heartbeat(tmp_path)
    assert report is not None
    assert beat is not None
    assert (status, report.status) == (0, "stopped")
    assert (beat.pid, beat.mode, beat.num_checks) == (os.getpid(), "evaluate", 2)
    assert read_exit(tmp_path) is None


def test_what_it_cannot_do_is_in_the_report_and_not_the_one_of_before(tmp_path: Path) -> None:
    def refuse(work: FolderWork) -> ExitReport:
        assert read_exit(work.folder) is None
        raise TrainingError("bad_model", "The model does not load.")

    with kept_signals():
        assert do_work(tmp_path, lambda _: ExitReport(status="completed", step=7)) == 0
        done = read_exit(tmp_path)
        with run_lock(tmp_path):
            assert do_work(tmp_path, refuse) == LOCKED_EXIT_CODE
        assert read_exit(tmp_path) == done == ExitReport(status="completed", step=7)
        assert do_work(tmp_path, refuse) == 1

    assert read_exit(tmp_path) == ExitReport(status="failed", error_code="bad_model", error_message="The model does not load.")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "out_of_memory"),
        (RuntimeError("[metal::malloc] Attempting to allocate 9 bytes"), "out_of_memory"),
        (RuntimeError("[METAL] Command buffer execution failed: Insufficient Memory"), "out_of_memory"),
        (RuntimeError("[METAL] Command buffer execution failed: ImpactingInteractivity"), "gpu_watchdog"),
        (ValueError("[broadcast_shapes] Shapes (2) and (3) cannot be broadcast."), "internal_error"),
    ],
)
def test_a_crash_is_sorted_by_what_it_says(error: Exception, code: str) -> None:
    assert crash_code(error) == code
