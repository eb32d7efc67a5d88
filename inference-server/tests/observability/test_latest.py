"""Sensors that are slow, fail or hang never hold up whoever asks for their values."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from unified_mlx_app.observability.host import HostProbe, ProcessProbe, host_size
from unified_mlx_app.observability.latest import Latest
from unified_mlx_app.observability.recent import RecentValues


def wait_for(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_newest_value_is_kept() -> None:
    numbers = iter(range(1, 1_000_000))
    latest = Latest("count", lambda: next(numbers), interval_seconds=0.01)
    latest.start()

    wait_for(lambda: (latest.value or 0) > 3)

    latest.close()


def test_a_sensor_that_hangs_becomes_unknown_and_is_not_waited_for() -> None:
    released = threading.Event()
    is_first = iter([True])

    def read() -> int:
        if not next(is_first, False):
            released.wait(60)
        return 7

    latest = Latest("hanging", read, interval_seconds=0.01)
    latest.start()
    wait_for(lambda: latest.value == 7)

    wait_for(lambda: latest.value is None)

    latest.close()
    released.set()


def test_a_sensor_that_fails_is_unknown_until_it_works_again() -> None:
    answers: list[int | Exception] = [OSError(), psutil.AccessDenied(), 3]

    def read() -> int:
        answer = answers[0] if len(answers) == 1 else answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    latest = Latest("failing", read, interval_seconds=0.05)
    latest.start()

    wait_for(lambda: latest.value == 3)

    latest.close()


def test_the_machine_and_this_process_are_measured(tmp_path: Path) -> None:
    host, process = HostProbe(), ProcessProbe()
    host.read(), process.read([psutil.Process().pid])
    busy_until = time.process_time() + 0.3
    while time.process_time() < busy_until:
        pass

    machine, own = host.read(), process.read([psutil.Process().pid, 2**22 + 1])
    size = host_size(tmp_path / "not" / "there")

    assert machine.cpu_percent is not None
    assert 0 <= machine.cpu_percent <= 100
    assert machine.memory_used_bytes is not None
    assert size.memory_total_bytes is not None
    assert 0 < machine.memory_used_bytes < size.memory_total_bytes
    assert size.disk_total_bytes
    assert own.cpu_percent is not None
    assert own.cpu_percent > 0
    assert own.memory_bytes > 2**20
    assert own.num_threads >= 1


def test_percentiles_are_those_of_nearest_rank() -> None:
    recent = RecentValues()
    assert recent.percentiles(50, 95) == [None, None]

    for value in range(100, 0, -1):
        recent.add(value)

    assert recent.percentiles(0, 50, 95, 100) == [1, 50, 95, 100]
