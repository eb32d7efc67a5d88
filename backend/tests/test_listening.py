"""A backend that other machines could reach does not start while nobody could be asked for a key."""

import subprocess
import sys
from pathlib import Path

import pytest
from fixtures.backend import run_backend
from fixtures.keys import bearer
from fixtures.processes import clean_environment
from fixtures.terminal import CommandLine

UVICORN = ("uvicorn", "mlx_hub.main:app", "--port", "0")
MAIN = ("mlx_hub.main", "--port", "0")


@pytest.mark.parametrize(
    ("command", "variables"),
    [
        (MAIN, {"MLX_HUB_HOST": "0.0.0.0"}),
        ((*MAIN, "--host", "::"), {}),
        ((*UVICORN, "--host", "0.0.0.0"), {}),
        (UVICORN, {"MLX_HUB_HOST": "192.0.2.7"}),
    ],
    ids=["variable", "option", "uvicorn's option", "variable under uvicorn"],
)
def test_without_a_key_it_refuses_to_listen_and_says_what_to_do(
    tmp_path: Path, migrated_sqlite_url: str, command: tuple[str, ...], variables: dict[str, str]
) -> None:
    environment = clean_environment(HOME=str(tmp_path), DATABASE_URL=migrated_sqlite_url, **variables)

    done = subprocess.run(
        [sys.executable, "-m", *command], env=environment, capture_output=True, text=True, timeout=100, check=False
    )

    assert done.returncode == 2, done.stderr
    assert "mlx-hub keys create" in done.stderr
    assert "MLX_HUB_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_is_away_is_told_apart_from_one_without_keys(tmp_path: Path) -> None:
    environment = clean_environment(
        HOME=str(tmp_path), DATABASE_URL="postgresql://nobody:password-of-it@127.0.0.1:1/hub", MLX_HUB_HOST="0.0.0.0"
    )

    done = subprocess.run(
        [sys.executable, "-m", *MAIN], env=environment, capture_output=True, text=True, timeout=100, check=False
    )

    assert (done.returncode, "does not answer" in done.stderr) == (2, True)
    assert "password-of-it" not in done.stderr


@pytest.mark.parametrize(("key", "told"), [("short", "at least 16 characters")])
def test_an_operators_key_that_could_be_guessed_is_refused(tmp_path: Path, key: str, told: str) -> None:
    environment = clean_environment(HOME=str(tmp_path), MLX_HUB_API_KEY=key)

    done = subprocess.run(
        [sys.executable, "-m", *MAIN], env=environment, capture_output=True, text=True, timeout=100, check=False
    )

    assert (done.returncode, "MLX_HUB_API_KEY" in done.stderr, told in done.stderr) == (2, True, True)


def test_a_key_made_before_anything_ran_is_enough(tmp_path: Path) -> None:
    """An empty database, the command, then the backend on all addresses."""
    url = f"sqlite:///{tmp_path}/new.db"
    command_line = CommandLine("http://127.0.0.1:1", "http://127.0.0.1:1", str(tmp_path))
    key = command_line.run("keys", "create", "first", "--scope", "read", DATABASE_URL=url).out.strip()

    with run_backend(tmp_path, url, MLX_HUB_HOST="0.0.0.0") as backend:
        refused, answered = backend.get("/api/v1/models"), backend.get("/api/v1/models", headers=bearer(key))
        command = CommandLine(backend.base_url, "http://127.0.0.1:1", str(tmp_path))
        without = command.run("models", "list")
        with_key = command.run("models", "list", "--json", "--hub-api-key", key)

    assert (refused.status_code, answered.status_code) == (401, 200)
    assert answered.headers["ratelimit-policy"] == '"read";q=1200;w=60'
    assert (without.status, "API key" in without.err) == (1, True)
    assert with_key.json() == []
