"""Files through which a process at work in a folder and its worker talk: metrics, heartbeat, exit report, and the lock."""

import fcntl
import os
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import psutil

from mlx_hub.core.run_config import TrainingError
from mlx_hub.core.stopping import StopRequest

METRICS_FILE, HEARTBEAT_FILE, EXIT_FILE, LOCK_FILE = "metrics.jsonl", "heartbeat", "exit.json", "lock"
LOG_FILE = "trainer.log"
"""What a trainer writes to stdout and stderr."""
HEARTBEAT_SECONDS = 1.0
_CLOCK_STEP_SECONDS = 10.0
EXIT_CODES = {"completed": 0, "stopped": 0, "failed": 1}
"""To stop when asked to, with everything saved, is no failure. Which of the two it was is in the report, and only there."""
LOCKED_EXIT_CODE = 4
"""Refused: another process holds the folder."""
DISK_FULL_EXIT_CODE = 5
"""The disk has no room even for the exit report."""

Mode = Literal["train", "probe", "evaluate"]
EXIT_FILES: dict[Mode, str] = {"train": EXIT_FILE, "probe": "probe-exit.json", "evaluate": "evaluate-exit.json"}


class ExitReport(msgspec.Struct, frozen=True, kw_only=True):
    """`exit.json`, the last file a trainer writes. A run without it was killed, whatever its status, and may be started again.

    `stopped`: a signal asked for it, and a later start goes on where this one ended.
    """

    status: Literal["completed", "stopped", "failed"]
    step: int = 0
    num_steps: int = 0
    error_code: str | None = None
    error_message: str | None = None
    adapter_step: int | None = None
    best_step: int | None = None
    best_val_loss: float | None = None
    stopped_early: bool = False
    num_train_rows: int = 0
    num_held_out_rows: int = 0
    num_dropped_rows: int = 0
    num_truncated_rows: int = 0
    problem_counts: dict[str, int] = {}


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """Which process works (a pid alone may be used again by another) and at what, its step, when it said so (Unix seconds).

    `num_checks` counts the safe points that the work has passed, between batches for example: it stands still when the
    work hangs, while the thread that writes this may live on.
    """

    pid: int
    create_time: float
    step: int
    t: float
    mode: Mode = "train"
    num_steps: int = 0
    num_checks: int = 0


def read_exit(run_dir: Path, *, exit_file: str = EXIT_FILE) -> ExitReport | None:
    """None while the run goes on, or when it was killed."""
    try:
        return msgspec.json.decode((run_dir / exit_file).read_bytes(), type=ExitReport)
    except (OSError, msgspec.DecodeError):
        return None


def read_heartbeat(run_dir: Path) -> Heartbeat | None:
    try:
        return msgspec.json.decode((run_dir / HEARTBEAT_FILE).read_bytes(), type=Heartbeat)
    except (OSError, msgspec.DecodeError):
        return None


def is_running(heartbeat: Heartbeat) -> bool:
    """Whether the very process that wrote `heartbeat` still exists on this machine."""
    try:
        process = psutil.Process(heartbeat.pid)
        return is_same_process(process, heartbeat.create_time) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def is_same_process(process: psutil.Process, create_time: float) -> bool:
    """Whether it is the process with its pid that began at `create_time`, and no later one.

    Linux tells the moment by the clock of now, so each correction of the clock moves it a little.
    """
    return abs(process.create_time() - create_time) < _CLOCK_STEP_SECONDS


class HeartbeatWriter:
    """Writes the heartbeat from a thread of its own; `step` and `num_steps` are set by the training thread."""

    def __init__(self, run_dir: Path, *, mode: Mode = "train", stop: StopRequest | None = None) -> None:
        self.step = 0
        self.num_steps = 0
        self._mode: Mode = mode
        self._stop = stop
        self._path = run_dir / HEARTBEAT_FILE
        self._create_time = psutil.Process().create_time()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._write()
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; the file keeps the last step."""
        self._stopped.set()
        self._thread.join()
        self._write()

    def _run(self) -> None:
        while not self._stopped.wait(HEARTBEAT_SECONDS):
            self._write()

    def _write(self) -> None:
        beat = Heartbeat(
            pid=os.getpid(),
            create_time=self._create_time,
            step=self.step,
            t=time.time(),
            mode=self._mode,
            num_steps=self.num_steps,
            num_checks=self._stop.num_checks if self._stop else 0,
        )
        part = self._path.with_name(f".{self._path.name}.part")
        try:
            part.write_bytes(msgspec.json.encode(beat))
            part.replace(self._path)
        except OSError:
            # A full disk stops the run where it saves, with a reason; a missed beat must not.
            return


class MetricsLog:
    """`metrics.jsonl`: a line is `{"step": 7, "t": …, "train_loss": …}`. Steps never go back. Belongs to one thread."""

    def __init__(self, run_dir: Path, *, last_step: int | None) -> None:
        """Opens the log and cuts off what lies beyond `last_step`, or everything for None: it will be written again."""
        path = run_dir / METRICS_FILE
        self._file = path.open("ab")
        self._file.truncate(_bytes_through(path, last_step))

    def write(self, step: int, values: dict[str, float]) -> None:
        self._file.write(msgspec.json.encode({"step": step, "t": time.time(), **values}) + b"\n")
        self._file.flush()

    def sync(self) -> None:
        """Have the lines on the disk, which a checkpoint that counts on them needs."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def _bytes_through(path: Path, last_step: int | None) -> int:
    if last_step is None:
        return 0
    size = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n") or _step_of(line) > last_step:
                break
            size += len(line)
    return size


def _step_of(line: bytes) -> float:
    try:
        values: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
        return values["step"]
    except (msgspec.DecodeError, KeyError):
        return float("inf")


@contextmanager
def run_lock(run_dir: Path) -> Generator[None]:
    """Keeps a second process out of the folder; the lock goes with the process. Raises TrainingError `already_running`."""
    with (run_dir / LOCK_FILE).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError("already_running", "Another process is at work in this folder.") from error
        yield
