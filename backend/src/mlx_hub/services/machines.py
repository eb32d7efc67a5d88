"""Which data folder and which machine this is, and the lease by which the other workers know that this one lives.

A store is a data folder; workers that see the same one share its work.
"""

import fcntl
import os
import platform
import re
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.errors import InUseError
from mlx_hub.models.base import utc_now
from mlx_hub.models.job import Machine

STORE_FILE = "store-id"
_PROBE_SECONDS = 5.0


def store_id(data_dir: Path) -> str:
    """The id of the data folder, made when the folder has none. Processes that start together agree on one."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = data_dir / STORE_FILE
    if not file.exists():
        part = data_dir / f".{STORE_FILE}-{uuid.uuid4().hex}"
        part.write_text(uuid.uuid4().hex)
        try:
            os.link(part, file)
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return file.read_text().strip()


def default_machine_id() -> str:
    """The host's name and a part of its hardware address: the same after a restart, another on another machine."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname())[:40] or "machine"
    return f"{name}-{uuid.getnode():012x}"


@contextmanager
def machine_lock(data_dir: Path, machine_id: str) -> Generator[None]:
    """Keeps a second worker of this machine and store out; the lock goes with the process. Raises InUseError."""
    file = data_dir / "machines" / f"{machine_id}.lock"
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUseError(f"A worker called {machine_id} is already running for the data folder {data_dir}.") from None
        yield
    finally:
        os.close(descriptor)


def live_machines(data_dir: Path) -> list[str]:
    """Workers of the data folder that run on this machine now."""
    return [file.stem for file in sorted((data_dir / "machines").glob("*.lock")) if _is_locked(file)]


def _is_locked(file: Path) -> bool:
    descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@dataclass(frozen=True, slots=True)
class Device:
    """What models run on: an accelerator with memory of its own, or this machine's chip and memory."""

    name: str
    memory_bytes: int


def describe_device() -> Device:
    """Asks the system, never MLX, whose import would claim the device. Blocks for a moment."""
    if any(name.startswith("mlx-cuda") for name in _installed()) and (device := _nvidia_device()):
        return device
    return Device(_chip() or platform.machine(), psutil.virtual_memory().total)


def _installed() -> set[str]:
    return {(found.metadata["name"] or "").lower() for found in metadata.distributions()}


def _nvidia_device() -> Device | None:
    answer = _output("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
    with suppress(ValueError):
        name, memory_mebibytes = answer.splitlines()[0].rsplit(",", 1) if answer else ("", "")
        return Device(name.strip(), int(memory_mebibytes) * 2**20)
    return None


def _chip() -> str:
    if platform.system() == "Darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string")
    with suppress(OSError):
        names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        return names[0] if names else ""
    return ""


def _output(*command: str) -> str:
    """What a program says; nothing when it is missing or fails."""
    if not (program := shutil.which(command[0])):
        return ""
    with suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=True)
        return answer.stdout.strip()
    return ""


async def check_name_is_free(session: AsyncSession, machine: Machine, *, lease_seconds: float) -> None:
    """Raises InUseError when a worker of another data folder lives under this name."""
    known = await session.get(Machine, machine.id)
    if known and known.store_id != machine.store_id and utc_now() - known.heartbeat_at < timedelta(seconds=lease_seconds):
        raise InUseError(
            f"A worker called {machine.id} is running on {known.hostname} with another data folder: "
            "give this one a name of its own in MLX_HUB_MACHINE_ID."
        )


async def renew_lease(session: AsyncSession, machine: Machine) -> None:
    """Say that the machine's worker lives."""
    insert: Any = insert_postgresql if session.get_bind().dialect.name == "postgresql" else insert_sqlite
    values = machine.model_dump() | {"heartbeat_at": utc_now()}
    await session.exec(insert(Machine).values(**values).on_conflict_do_update(index_elements=["id"], set_=values))


async def end_lease(session: AsyncSession, machine: Machine) -> None:
    """Say that it stops, so that others need not wait for the lease to run out."""
    await session.exec(delete(Machine).where(col(Machine.id) == machine.id, col(Machine.store_id) == machine.store_id))


class Freshness:
    """Whether what somebody else keeps changing still changes, judged by this process's own clock.

    Clocks of machines differ and jump; that a value has not changed for so long while we kept looking is certain. While
    we could not look, because the database was away or this machine slept, nobody else could be expected to change it.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._seen: dict[object, _Seen] = {}

    def is_fresh(self, key: object, value: object) -> bool:
        """Whether `value` is new, or was new less than so many seconds of looking ago."""
        now, known = self._clock(), self._seen.get(key)
        is_watched = known is not None and now - known.looked_at < self._seconds / 2
        since = known.since if known is not None and is_watched and known.value == value else now
        self._seen[key] = _Seen(value, since, now)
        return now - since < self._seconds

    def forget_others(self, keys: set[object]) -> None:
        """Remember nothing but `keys`."""
        self._seen = {key: seen for key, seen in self._seen.items() if key in keys}


@dataclass(frozen=True, slots=True)
class _Seen:
    value: object
    since: float
    looked_at: float
