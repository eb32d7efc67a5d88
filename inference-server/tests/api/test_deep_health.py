"""`/health/deep` and `/health/startup`: each thing that the inference server stands on is broken in turn, alone."""

import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fixtures.frozen import frozen, postgres_process, processes_of
from fixtures.server import RunningServer, run_server

MAX_SECONDS = 8.0
"""The deadline of a check is 2 s; the rest is for a busy machine."""
CHECKS = {"accepting", "database", "engine", "cache", "disk", "memory", "accelerator"}


def deep(server: RunningServer) -> tuple[int, dict[str, Any]]:
    """Status and answer, which comes in time whatever hangs."""
    started = time.monotonic()
    answer = server.get("/health/deep")
    assert time.monotonic() - started < MAX_SECONDS, answer.text
    assert "checks" in answer.json(), answer.text
    return answer.status_code, answer.json()


def broken(server: RunningServer) -> set[str]:
    return {name for name, check in deep(server)[1]["checks"].items() if check["status"] != "ok"}


@contextmanager
def _frozen_database(server: RunningServer, database_url: str) -> Iterator[None]:
    with frozen(processes_of(postgres_process(urlsplit(database_url).port or 0))):
        yield


@contextmanager
def _without_cache_folder(server: RunningServer, _database_url: str) -> Iterator[None]:
    folder = server.home / ".unified-mlx/cache/prompts"
    shutil.rmtree(folder)
    folder.write_text("no folder")
    yield


@contextmanager
def _silent_engine(server: RunningServer, _database_url: str) -> Iterator[None]:
    with frozen([server.engine()["pid"]]):
        yield


BREAKS: dict[str, Callable[[RunningServer, str], AbstractContextManager[None]]] = {
    "database": _frozen_database,
    "cache": _without_cache_folder,
    "engine": _silent_engine,
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_hangs_or_is_gone_shows_in_its_own_field_and_in_no_other(
    name: str, tmp_path: Path, tiny_models: Callable[..., Path], postgres_url: str
) -> None:
    with run_server(tmp_path, tiny_models(), DATABASE_URL=postgres_url) as server:
        server.wait_until(lambda it: broken(it) == set(), 60)
        assert server.get("/health/startup").json()["started"] is True

        with BREAKS[name](server, postgres_url):
            server.wait_until(lambda it: broken(it) == {name}, 60)
            answer = deep(server)[1]
            others = [server.get(path).status_code for path in ("/health", "/health/live", "/health/startup", "/metrics")]
            status = server.stop()

        assert status == 0
        assert answer["checks"].keys() == CHECKS
        assert answer["checks"][name]["message"]
        assert answer["checks"][name]["decides_ready"] == (name == "engine")
        assert others == [200] * len(others)


def test_a_dead_engine_fails_readiness_and_the_start_stays_done(tmp_path: Path, tiny_models: Callable[..., Path]) -> None:
    with run_server(tmp_path, tiny_models()) as server:
        os.kill(server.engine()["pid"], signal.SIGKILL)

        server.wait_until(lambda it: deep(it)[0] == 503, 30)
        assert server.get("/health/startup").status_code == 200
        server.wait_until(lambda it: broken(it) == set(), 60)


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("disk", {"MLX_MIN_FREE_DISK": "1000000TB"}),
        ("memory", {"MLX_MIN_FREE_MEMORY": "1000000TB"}),
        ("accelerator", {"PATH": "{programs}:/usr/bin:/bin"}),
    ],
)
def test_a_machine_that_runs_short_shows_in_its_own_field(
    tmp_path: Path, tiny_models: Callable[..., Path], name: str, variables: dict[str, str]
) -> None:
    sensor = tmp_path / "programs" / "nvidia-smi"
    sensor.parent.mkdir()
    sensor.write_text("#!/bin/sh\nexit 9\n")
    sensor.chmod(0o755)
    given = {key: value.format(programs=sensor.parent) for key, value in variables.items()}

    with run_server(tmp_path, tiny_models(), **given) as server:
        server.wait_until(lambda it: broken(it) == {name}, 60)
        status, answer = deep(server)

    assert (status, answer["status"]) == (200, "degraded")
    assert answer["checks"][name]["message"]


def test_a_database_whose_lock_somebody_keeps_is_told(tmp_path: Path, tiny_models: Callable[..., Path]) -> None:
    with run_server(tmp_path, tiny_models()) as server:
        with closing(sqlite3.connect(tmp_path / ".mlx-hub/mlx-hub.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")

            check = deep(server)[1]["checks"]["database"]

        assert check["status"] == "warning"
        assert "lsof" in check["message"]
        assert server.chat("Hi", max_tokens=2).status_code == 200
