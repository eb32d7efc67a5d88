"""What the accelerator's own sensors say: utilisation, clock, power, temperature, memory.

A program that prints a reading each second is followed: `macmon` on Macs, which needs no root, `nvidia-smi` beside NVIDIA's
driver. Without one, every value is unknown and a reason says why; a zero is never made up.
"""

import json
import math
import platform
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import structlog

log = structlog.get_logger(__name__)

Provider = Literal["macmon", "nvidia-smi"]

_MAX_AGE_SECONDS = 5.0
_RESTART_SECONDS = 30.0
_MAX_LINE_CHARS = 65_536
_MEBIBYTE = 2**20
_NVIDIA_QUERY = "name,utilization.gpu,clocks.sm,power.draw,temperature.gpu,memory.used,memory.total"
_COMMANDS: dict[Provider, tuple[str, ...]] = {
    "macmon": ("macmon", "pipe"),
    # MLX takes the first card unless told otherwise.
    "nvidia-smi": ("nvidia-smi", "--id=0", f"--query-gpu={_NVIDIA_QUERY}", "--format=csv,noheader,nounits", "--loop=1"),
}


@dataclass(frozen=True, slots=True)
class AcceleratorReading:
    """None is what the sensor does not tell. On Macs the memory is the machine's, which CPU and GPU share."""

    utilization_percent: float | None = None
    frequency_mhz: float | None = None
    power_watts: float | None = None
    system_power_watts: float | None = None
    """Of the whole machine."""
    temperature_celsius: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class AcceleratorState:
    """Who tells the readings. `reason` says why there are none; None while there are."""

    provider: Provider | None
    name: str | None
    reason: str | None


class AcceleratorProbe:
    """Follows the sensor program in a daemon thread. Every method may be called from any thread, and none waits for it."""

    def __init__(self) -> None:
        self._provider: Provider | None = _find_provider()
        self._seen: tuple[float, AcceleratorReading] | None = None
        self._name: str | None = None
        self._failure: str | None = None
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._is_closed = threading.Event()

    def start(self) -> None:
        if self._provider is not None:
            threading.Thread(target=self._follow, args=(self._provider,), name="sensor-accelerator", daemon=True).start()

    def close(self) -> None:
        """Ends the program."""
        with self._lock:
            self._is_closed.set()
            if self._process is not None:
                self._process.kill()

    @property
    def reading(self) -> AcceleratorReading | None:
        """The newest one, unless it has become old."""
        seen = self._seen
        return seen[1] if seen is not None and time.monotonic() - seen[0] < _MAX_AGE_SECONDS else None

    @property
    def state(self) -> AcceleratorState:
        if self._provider is None:
            return AcceleratorState(None, None, _why_no_provider())
        reason = None if self.reading is not None else self._failure or f"{self._provider} has not said anything yet."
        return AcceleratorState(self._provider, self._name, reason)

    def _follow(self, provider: Provider) -> None:
        while not self._is_closed.is_set():
            try:
                status = self._follow_once(provider)
            except OSError as error:
                status = error.strerror or type(error).__name__
            self._failure = f"{provider} ended ({status}); it is started again."
            if not self._is_closed.is_set():
                log.warning("accelerator_sensor_ended", provider=provider, status=status)
            self._is_closed.wait(_RESTART_SECONDS)

    def _follow_once(self, provider: Provider) -> int | str:
        with self._lock:
            if self._is_closed.is_set():
                return "closed"
            self._process = process = subprocess.Popen(
                _COMMANDS[provider], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        with process:
            assert process.stdout is not None
            self._failure = f"{provider} has said nothing for a while."
            while line := process.stdout.readline(_MAX_LINE_CHARS):
                if (reading := _PARSERS[provider](line)) is not None:
                    self._name = reading.name or self._name
                    self._seen = (time.monotonic(), reading)
            process.kill()
            return process.wait()


def _find_provider() -> Provider | None:
    return next((provider for provider in _COMMANDS if shutil.which(provider)), None)


def _why_no_provider() -> str:
    if platform.system() == "Darwin":
        return "macmon is not installed, which reads the GPU's sensors: brew install macmon"
    return "This machine has no NVIDIA driver (nvidia-smi), and no other sensor of an accelerator is known."


def parse_macmon(line: str) -> AcceleratorReading | None:
    """One line of `macmon pipe`: older releases tell `gpu_usage`, newer ones `gpu_active_ratio`. None for anything else."""
    try:
        value: Any = json.loads(line)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    old: Any = value.get("gpu_usage")
    frequency, ratio = old if isinstance(old, list) and len(old) == 2 else (None, None)
    share = _number(value.get("gpu_active_ratio", ratio))
    temperature, memory = _object(value.get("temp")), _object(value.get("memory"))
    return AcceleratorReading(
        utilization_percent=None if share is None else round(100 * share, 1),
        frequency_mhz=_number(value.get("gpu_freq_mhz", frequency)),
        power_watts=_number(value.get("gpu_power")),
        # macmon says 0 for a sensor that it did not find.
        system_power_watts=_number(value.get("sys_power")) or None,
        temperature_celsius=_number(temperature.get("gpu_temp_avg")) or None,
        memory_used_bytes=_integer(memory.get("ram_usage")),
        memory_total_bytes=_integer(memory.get("ram_total")),
    )


def parse_nvidia(line: str) -> AcceleratorReading | None:
    """One line of nvidia-smi's CSV, where `[N/A]` and the like stand for what a card does not tell. None for anything else."""
    fields = [field.strip() for field in line.split(",")]
    if len(fields) != len(_NVIDIA_QUERY.split(",")):
        return None
    utilization, frequency, power, temperature, used, total = (_number(field) for field in fields[1:])
    return AcceleratorReading(
        utilization_percent=utilization,
        frequency_mhz=frequency,
        power_watts=power,
        temperature_celsius=temperature,
        memory_used_bytes=None if used is None else int(used * _MEBIBYTE),
        memory_total_bytes=None if total is None else int(total * _MEBIBYTE),
        name=fields[0],
    )


_PARSERS: dict[Provider, Callable[[str], AcceleratorReading | None]] = {"macmon": parse_macmon, "nvidia-smi": parse_nvidia}


def _number(value: object) -> float | None:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        return None
    return number if number is not None and math.isfinite(number) else None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
