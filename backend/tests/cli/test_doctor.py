"""`mlx-hub doctor` finds each thing that is not as it should be, says what to do, and changes nothing."""

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from fixtures.databases import NewDatabase
from fixtures.processes import free_port
from fixtures.terminal import CommandLine

ROOT = Path(__file__).parents[3]


class _Silent(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"something else")

    do_HEAD = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def _another_program() -> Iterator[int]:
    """The port of a web server that is none of ours."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Silent)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def cli(lonely_cli: CommandLine) -> CommandLine:
    return lonely_cli


def _findings(cli: CommandLine, **variables: str) -> dict[str, dict[str, Any]]:
    own = {name: str(free_port()) for name in ("MLX_DASHBOARD_PORT", "MLFLOW_PORT", "MLX_HUB_WORKER_METRICS_PORT")}
    own["HF_ENDPOINT"] = "http://127.0.0.1:1"
    done = cli.run("doctor", "--json", **{**own, **variables})
    return {finding["name"]: finding for finding in json.loads(done.out)}


def test_a_database_of_another_release_is_told(cli: CommandLine, new_database: NewDatabase, tmp_path: Path) -> None:
    url, file = new_database("sqlite", tmp_path), tmp_path / "hub.db"
    seen = {}
    for revision, expected in ((None, "ok"), ("0001", "warning"), ("9999", "bad")):
        if revision:
            with closing(sqlite3.connect(file)) as connection:
                first = "SELECT version_num FROM hub_alembic_version"
                (head,) = connection.execute(first).fetchone()
                changed = head if revision == "0001" and head == "0001" else revision
                connection.execute("UPDATE hub_alembic_version SET version_num = ?", [changed])
                connection.commit()
        seen[expected] = _findings(cli, DATABASE_URL=url)["database"]

    assert {expected: finding["state"] for expected, finding in seen.items()} == {"ok": "ok", "warning": "warning", "bad": "bad"}
    assert "make migrate" in seen["warning"]["remedy"]
    assert "later release" in seen["bad"]["found"]


def test_a_damaged_database_is_told_with_the_way_back(cli: CommandLine, new_database: NewDatabase, tmp_path: Path) -> None:
    url, file = new_database("sqlite", tmp_path), tmp_path / "hub.db"
    content = bytearray(file.read_bytes())
    content[4096 * 3 : 4096 * 8] = b"\xff" * (4096 * 5)
    file.write_bytes(content)

    finding = _findings(cli, DATABASE_URL=url)["database"]

    assert finding["state"] == "bad"
    assert "restore" in finding["remedy"] or "Start the database" in finding["remedy"]


def test_a_database_that_is_not_there_yet_is_not_made(cli: CommandLine, tmp_path: Path) -> None:
    finding = _findings(cli, DATABASE_URL=f"sqlite:///{tmp_path}/none.db")["database"]

    assert (finding["state"], (tmp_path / "none.db").exists()) == ("ok", False)


def test_files_that_other_users_can_read_are_named(cli: CommandLine, new_database: NewDatabase) -> None:
    # In a folder that others may enter; pytest's own is closed to them.
    folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    try:
        folder.chmod(0o755)
        url = new_database("sqlite", folder)
        (folder / "hub.db").chmod(0o644)
        open_to_all = _findings(cli, DATABASE_URL=url)["permissions"]
        (folder / "hub.db").chmod(0o600)
        private = _findings(cli, DATABASE_URL=url)["permissions"]
    finally:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()

    assert (open_to_all["state"], str(folder / "hub.db") in open_to_all["remedy"]) == ("warning", True)
    assert str(folder) not in private["found"]


def test_a_port_that_another_program_has_is_told_with_the_variable(cli: CommandLine) -> None:
    with _another_program() as port:
        findings = _findings(cli, MLFLOW_PORT=str(port), HF_ENDPOINT=f"http://127.0.0.1:{port}")

    assert findings[f"port {port}"]["state"] == "bad"
    assert "MLFLOW_PORT" in findings[f"port {port}"]["remedy"]
    assert findings["hub"]["state"] == "ok"


def test_a_hub_that_cannot_be_reached_is_a_warning(cli: CommandLine) -> None:
    finding = _findings(cli)["hub"]

    assert (finding["state"], "HF_ENDPOINT" in finding["remedy"]) == ("warning", True)


def test_a_damaged_file_of_the_prompt_cache_is_told(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / f"{'a' * 64}.kv").write_bytes(b"torn")

    finding = _findings(cli, MLX_PROMPT_CACHE_DIR=str(tmp_path))["prompt cache"]

    assert finding["state"] == "warning"
    assert "aaaaaaaaaaaa… (truncated)" in finding["found"]
