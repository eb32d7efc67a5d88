"""Brings one trainer to its end: starts or adopts it, stops it when asked, starts it again when it hangs or dies.

A run that is started again goes on from its newest checkpoint. It is given up after so many starts without a newer one.
"""

import asyncio
import signal
import statistics
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from mlx_hub.core.checkpoints import newest_checkpoint
from mlx_hub.core.durable_files import write_atomically
from mlx_hub.core.run_files import (
    DISK_FULL_EXIT_CODE,
    EXIT_FILES,
    LOCKED_EXIT_CODE,
    LOG_FILE,
    ExitReport,
    Heartbeat,
    Mode,
    read_exit,
    read_heartbeat,
)
from mlx_hub.core.run_reports import read_report
from mlx_hub.services.detached_process import DetachedProcess, Program, bound_log, read_log_tail

TRAINER = Program("mlx_hub.core.train", LOG_FILE)
RESTARTS_FILE = "restarts.json"
POLL_SECONDS = 0.2
TICK_SECONDS = 1.0
"""How often progress is stored and the wish of the people read."""
STOP_SECONDS = 30.0
"""From SIGTERM, which saves a checkpoint, to SIGKILL."""
MAX_RESTARTS: dict[Mode, int] = {"train": 3, "probe": 0, "evaluate": 1}
"""Without progress. A probe that dies most likely had too little memory."""
_OPTIONS: dict[Mode, list[str]] = {"train": [], "probe": ["--probe"], "evaluate": ["--evaluate"]}
_STALL_STEPS = 20
_TRACE_SECONDS = 1.0
_START_SECONDS = 120.0
"""For imports and the loading of a model, before the first safe point."""
_MAX_LOCKED = 20
_WATCHDOG_SIGN = "ImpactingInteractivity"
_RELAXED = {"AGX_RELAX_CDM_CTXSTORE_TIMEOUT": "1"}
"""macOS kills kernels that hold up the display (ml-explore/mlx#3267); with this it waits longer."""
_ADVICE = {
    "out_of_memory": "Lower batch_size or max_seq_length, turn gradient_checkpointing on, or choose a smaller model; then retry.",
    "storage_full": "Free some space, then resume.",
    "gpu_watchdog": "Lower batch_size or max_seq_length, so that each step takes less time; then retry.",
}

log = structlog.get_logger(__name__)


class _Restarts(msgspec.Struct, kw_only=True):
    """`restarts.json`: starts since checkpoint `step` was the newest. It outlives the worker, which may die of the same cause."""

    num_restarts: int = 0
    step: int = -1
    relaxes_watchdog: bool = False


@dataclass(frozen=True, slots=True)
class TrainerEnd:
    """How it ended; `exit_signal` is what killed the last process, if that is known."""

    report: ExitReport
    exit_signal: int | None = None


class TrainerWatch:
    """One mode of one run folder, on one event loop. Cancelled, it leaves the trainer alive, to be adopted."""

    def __init__(
        self, run_dir: Path, mode: Mode, *, stall_seconds: float, on_tick: Callable[[Heartbeat | None], Awaitable[bool]]
    ) -> None:
        """`on_tick` gets the trainer's last heartbeat and answers whether it shall stop; what it raises ends the watch."""
        self._run_dir = run_dir
        self._mode: Mode = mode
        self._stall_seconds = stall_seconds
        self._on_tick = on_tick
        self._shall_stop = False
        self._cause = ""
        known = read_report(run_dir / RESTARTS_FILE, _Restarts) if mode == "train" else None
        self._restarts = known or _Restarts()
        self._num_locked = 0
        self._log = log.bind(run=run_dir.name, mode=mode)

    async def run(self) -> TrainerEnd:
        """The end, also of a trainer that ended while nobody watched."""
        while True:
            process = await self._attach()
            if process is not None:
                await self._follow(process)
            else:
                # What it wrote when nobody watched is still to be stored.
                await self._on_tick(None)
            end = await self._end(process)
            if end is not None:
                return end

    async def _attach(self) -> DetachedProcess | None:
        """A living trainer or a new one; None when there is an exit report instead."""
        deadline = time.monotonic() + STOP_SECONDS
        while process := DetachedProcess.find(self._run_dir):
            if process.mode == self._mode:
                self._log.info("trainer_adopted", pid=process.pid)
                return process
            # Left by an earlier attempt; the folder is free when it has gone.
            process.send(signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
            await asyncio.sleep(POLL_SECONDS)
        if self._report() is not None:
            return None
        process = await asyncio.to_thread(self._start)
        self._log.info("trainer_started", pid=process.pid)
        return process

    def _start(self) -> DetachedProcess:
        (self._run_dir / EXIT_FILES[self._mode]).unlink(missing_ok=True)
        variables = _RELAXED if self._restarts.relaxes_watchdog else {}
        return DetachedProcess.start(TRAINER, self._run_dir, *_OPTIONS[self._mode], variables=variables)

    def _report(self) -> ExitReport | None:
        """A trainer that stopped although nobody asked, when the machine goes down for example, has not ended its run."""
        report = read_exit(self._run_dir, exit_file=EXIT_FILES[self._mode])
        return None if report is not None and report.status == "stopped" and not self._shall_stop else report

    async def _follow(self, process: DetachedProcess) -> None:
        """Until the process is gone."""
        self._cause = ""
        patience = _Patience(self._stall_seconds)
        next_tick = float("-inf")
        kill_at: float | None = None
        while not process.has_ended():
            now = time.monotonic()
            if now >= next_tick:
                next_tick = now + TICK_SECONDS
                beat = self._beat_of(process)
                wished = await self._on_tick(beat)
                await asyncio.to_thread(bound_log, self._run_dir / LOG_FILE)
                if wished and kill_at is None:
                    self._shall_stop, kill_at = True, now + STOP_SECONDS
                    self._log.info("trainer_stopping", pid=process.pid)
                    process.send(signal.SIGTERM)
                elif kill_at is not None and now > kill_at:
                    process.send(signal.SIGKILL)
                elif not wished and patience.is_over(beat, now):
                    await self._kill_stalled(process, patience)
            await asyncio.sleep(POLL_SECONDS)
        await self._on_tick(self._beat_of(process))

    def _beat_of(self, process: DetachedProcess) -> Heartbeat | None:
        beat = read_heartbeat(self._run_dir)
        return beat if beat is not None and beat.pid == process.pid else None

    async def _kill_stalled(self, process: DetachedProcess, patience: "_Patience") -> None:
        self._cause = "stalled"
        self._log.warning("trainer_stalled", pid=process.pid, seconds=round(patience.limit_seconds))
        process.send(signal.SIGUSR1)
        # It writes its stacks into the log, if it still can.
        await asyncio.sleep(_TRACE_SECONDS)
        process.send(signal.SIGKILL)

    async def _end(self, process: DetachedProcess | None) -> TrainerEnd | None:
        """None when the trainer is to be started again."""
        status = process.exit_status if process else None
        report = self._report()
        if report is None and status == LOCKED_EXIT_CODE and self._num_locked < _MAX_LOCKED:
            # Another one was starting when this one was; its heartbeat is there in a moment.
            self._num_locked += 1
            await asyncio.sleep(POLL_SECONDS)
            return None
        killed_by = -status if status is not None and status < 0 else None
        if report is None and not self._cause and read_exit(self._run_dir, exit_file=EXIT_FILES[self._mode]) is not None:
            self._cause = "stopped"
        if report is None and self._shall_stop:
            return TrainerEnd(ExitReport(status="stopped"), killed_by)
        if report is None and status == DISK_FULL_EXIT_CODE:
            report = _failure("storage_full", "The disk is full.")
        if report is None and status == LOCKED_EXIT_CODE:
            report = _failure("already_running", "A process of another machine holds the run's folder; stop it, then resume.")
        if report is None or report.error_code == "gpu_watchdog":
            return await self._after_death(report, killed_by)
        return TrainerEnd(_advised(report), killed_by)

    async def _after_death(self, report: ExitReport | None, killed_by: int | None) -> TrainerEnd | None:
        """Without a report it was killed. None when it may try again."""
        restarts = self._restarts
        checkpoint = await asyncio.to_thread(newest_checkpoint, self._run_dir) if self._mode == "train" else None
        step = checkpoint[1].progress.step if checkpoint else 0
        if step > restarts.step:
            restarts.step, restarts.num_restarts = step, 0
        is_watchdog = report is not None or _WATCHDOG_SIGN in "\n".join(read_log_tail(self._run_dir / LOG_FILE, 50))
        is_first_watchdog = is_watchdog and not restarts.relaxes_watchdog
        if not is_first_watchdog and (report is not None or restarts.num_restarts >= MAX_RESTARTS[self._mode]):
            return TrainerEnd(_advised(report or self._given_up(step, killed_by)), killed_by)
        restarts.num_restarts += not is_first_watchdog
        restarts.relaxes_watchdog |= is_first_watchdog
        if self._mode == "train":
            await asyncio.to_thread(write_atomically, self._run_dir / RESTARTS_FILE, msgspec.json.encode(restarts))
        (self._run_dir / EXIT_FILES[self._mode]).unlink(missing_ok=True)
        self._log.warning("trainer_restarts", from_step=step, signal=killed_by, restart=restarts.num_restarts, cause=self._cause)
        return None

    def _given_up(self, step: int, killed_by: int | None) -> ExitReport:
        times = self._restarts.num_restarts + 1
        if self._cause == "stalled":
            message = f"The trainer stood still {times} times after step {step}; its stacks are in the log. Resume to try again."
            return _failure("stalled", message, step=step)
        if self._cause == "stopped":
            message = f"Something else than the worker told the trainer to stop {times} times after step {step}. Resume to go on."
            return _failure("trainer_died", message, step=step)
        how = f"was killed by signal {killed_by}" if killed_by else "ended without a word"
        hint = " The system kills what needs too much memory." if killed_by == signal.SIGKILL else ""
        message = f"The trainer {how} {times} times after step {step}.{hint} The log's last lines may say why."
        return _failure("trainer_died", message, step=step)


class _Patience:
    """How long a trainer may pass no safe point: the configured time, or many of its own steps if these are slow."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._paces: deque[float] = deque(maxlen=50)
        self._last: Heartbeat | None = None
        self._changed_at: float | None = None

    @property
    def limit_seconds(self) -> float:
        if self._last is None or not self._last.num_checks:
            return max(self._seconds, _START_SECONDS)
        return max(self._seconds, _STALL_STEPS * statistics.median(self._paces) if self._paces else 0.0)

    def is_over(self, beat: Heartbeat | None, now: float) -> bool:
        last = self._last
        if self._changed_at is None or (beat is not None and not _is_same_place(beat, last)):
            if last is not None and beat is not None and beat.step > last.step:
                self._paces.append((beat.t - last.t) / (beat.step - last.step))
            self._last, self._changed_at = beat, now
        return now - self._changed_at > self.limit_seconds


def _is_same_place(beat: Heartbeat, other: Heartbeat | None) -> bool:
    return other is not None and (beat.step, beat.num_checks) == (other.step, other.num_checks)


def _failure(code: str, message: str, *, step: int = 0) -> ExitReport:
    return ExitReport(status="failed", error_code=code, error_message=message, step=step)


def _advised(report: ExitReport) -> ExitReport:
    """The same with what to do, where the trainer could not know."""
    advice = _ADVICE.get(report.error_code or "")
    message = f"{(report.error_message or '').rstrip('. ')}. {advice}" if advice else report.error_message
    return msgspec.structs.replace(report, error_message=message)
