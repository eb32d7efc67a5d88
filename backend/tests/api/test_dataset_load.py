"""Very large uploads: the memory of every process stays bounded, and the API answers others meanwhile."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from fixtures.backend import RunningBackend, run_backend
from fixtures.datasets import DATASETS

MEBIBYTE = 2**20
LINE_BYTES = 300 * MEBIBYTE


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBackend]:
    home = tmp_path_factory.mktemp("roomy")
    with run_backend(home, f"sqlite:///{home}/hub.db", MLX_HUB_MAX_UPLOAD="2GB") as running:
        yield running


@dataclass
class Watch:
    """What was seen of a backend: the most memory of each of its processes above the least, and the slowest /health."""

    base_rss: dict[int, int] = field(default_factory=dict)
    peak_rss: dict[int, int] = field(default_factory=dict)
    health_seconds: list[float] = field(default_factory=list)

    def growth(self) -> int:
        return max(self.peak_rss[pid] - base for pid, base in self.base_rss.items())

    def look(self, pid: int) -> None:
        rss = psutil.Process(pid).memory_info().rss
        self.base_rss.setdefault(pid, rss)
        self.peak_rss[pid] = max(self.peak_rss.get(pid, 0), rss)


@contextmanager
def watching(backend: RunningBackend) -> Iterator[Watch]:
    watch, ended = Watch(), threading.Event()

    def run() -> None:
        process = psutil.Process(backend.process.pid)
        while not ended.wait(0.02):
            for pid in (process.pid, *(child.pid for child in process.children(recursive=True))):
                try:
                    watch.look(pid)
                except psutil.Error:
                    continue

    def ask() -> None:
        with httpx.Client(base_url=backend.base_url, timeout=60) as client:
            while not ended.wait(0.05):
                started = time.monotonic()
                assert client.get("/health/live").status_code == 200
                watch.health_seconds.append(time.monotonic() - started)

    threads = [threading.Thread(target=target) for target in (run, ask)]
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def send_file(backend: RunningBackend, path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        answer = httpx.post(backend.base_url + DATASETS, files={"file": (path.name, file)}, timeout=600)
    assert answer.status_code == 201, answer.text
    return answer.json()


def long_line(path: Path, num_bytes: int) -> Path:
    with path.open("wb") as file:
        file.write(b'{"text": "first"}\n{"text": "')
        for _ in range(num_bytes // MEBIBYTE):
            file.write(b"x" * MEBIBYTE)
        file.write(b'"}\n{"text": "last"}\n')
    return path


def many_rows(path: Path, count: int) -> Path:
    with path.open("w") as file:
        for number in range(count):
            file.write(f'{{"prompt": "question {number % (count - 10)}", "completion": "answer"}}\n')
    return path


def test_one_line_of_300_megabytes_takes_little_memory(roomy: RunningBackend, tmp_path: Path) -> None:
    path = long_line(tmp_path / "line.jsonl", LINE_BYTES)

    with watching(roomy) as watch:
        made = send_file(roomy, path)

    assert (made["num_rows"], made["report"]["problem_counts"]) == (3, {"line_too_long": 1})
    # A line is read up to 16 MiB; the client's bytes wait in pieces of 1 MiB.
    assert watch.growth() < 100 * MEBIBYTE
    assert _share_above(watch, 1.0) < 0.05


def test_a_hundred_thousand_rows_take_little_memory_and_disturb_nobody(roomy: RunningBackend, tmp_path: Path) -> None:
    path = many_rows(tmp_path / "rows.jsonl", 100_000)

    with watching(roomy) as watch:
        made = send_file(roomy, path)

    assert (made["num_rows"], made["report"]["num_duplicates"]) == (100_000, 10)
    assert watch.growth() < 60 * MEBIBYTE
    assert _share_above(watch, 1.0) < 0.05


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_million_rows_take_little_memory_and_disturb_nobody(roomy: RunningBackend, tmp_path: Path) -> None:
    path = many_rows(tmp_path / "millions.jsonl", 2_000_000)

    with watching(roomy) as watch:
        made = send_file(roomy, path)

    assert (made["num_rows"], made["report"]["num_duplicates"]) == (2_000_000, 10)
    assert watch.growth() < 300 * MEBIBYTE
    assert _share_above(watch, 1.0) < 0.05


def _share_above(watch: Watch, seconds: float) -> float:
    assert watch.health_seconds
    return sum(found > seconds for found in watch.health_seconds) / len(watch.health_seconds)
