"""`mlx-hub backup` and `restore` on both databases: what comes back, what is refused, and what a damaged file does."""

import asyncio
import hashlib
import itertools
import json
import os
import shutil
import sqlite3
import stat
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from fixtures.backend import RunningBackend, run_backend
from fixtures.databases import NewDatabase
from fixtures.terminal import CommandLine, Done
from fixtures.worker import run_worker
from mlx_hub.db import alembic_config, async_url

pytestmark = pytest.mark.timeout(300)

ROWS = "".join(json.dumps({"text": f"line {number}"}) + "\n" for number in range(200)).encode()


@dataclass
class Kept:
    """A data folder and a database of one kind, on which a backend runs when a test wants one."""

    home: Path
    database_url: str
    empty_database: Callable[[], None]

    @property
    def data_dir(self) -> Path:
        return self.home / "data"

    @contextmanager
    def backend(self) -> Iterator[RunningBackend]:
        with run_backend(self.home, self.database_url, MLX_HUB_MAX_UPLOAD="10MB") as running:
            yield running
            assert running.stop() == 0

    def run(self, *arguments: str, url: str = "http://127.0.0.1:1") -> Done:
        cli = CommandLine(url, "http://127.0.0.1:1", str(self.home))
        return cli.run_process(*arguments, DATABASE_URL=self.database_url)

    def wipe(self) -> None:
        shutil.rmtree(self.data_dir)
        self.empty_database()


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path: Path, new_database: NewDatabase) -> Kept:
    url = new_database(request.param, tmp_path)

    def empty() -> None:
        if request.param == "sqlite":
            for file in tmp_path.glob("hub.db*"):
                file.unlink()
        else:
            asyncio.run(_execute(url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public"))

    return Kept(tmp_path, url, empty)


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _upload(backend: RunningBackend, name: str) -> dict[str, Any]:
    answer = backend.request("POST", "/api/v1/datasets", files={"file": ("rows.jsonl", ROWS)}, data={"name": name})
    assert answer.status_code == 201, answer.text
    return answer.json()


def _everything(backend: RunningBackend) -> dict[str, Any]:
    """What people see of the registry."""
    return {
        path: {item["id"]: item for item in backend.get(f"/api/v1{path}?page_size=100").json()["items"]}
        for path in ("/models", "/datasets", "/training")
    }


def test_what_was_there_before_a_backup_under_load_is_there_after_a_restore(kept: Kept) -> None:
    with kept.backend() as backend:
        backend.create_model("first")
        _upload(backend, "first rows")
        before = _everything(backend)
        is_over = threading.Event()
        load = threading.Thread(target=lambda: _write_until(backend, is_over))
        load.start()
        done = kept.run("backup", str(kept.home / "backup.tar"), url=backend.base_url)
        is_over.set()
        load.join()
    assert done.status == 0, done.err
    assert stat.S_IMODE((kept.home / "backup.tar").stat().st_mode) == 0o600
    assert not list(kept.data_dir.glob(".backup-*"))

    kept.wipe()
    restored = kept.run("restore", str(kept.home / "backup.tar"))

    assert restored.status == 0, restored.err
    with kept.backend() as backend:
        after = _everything(backend)
        assert all(after[path].items() >= rows.items() for path, rows in before.items())
        assert all(backend.post(f"/api/v1/datasets/{found}/verify").json()["is_intact"] for found in after["/datasets"])
        backend.create_model("after")
        assert backend.post("/api/v1/models", {"name": "first", "base_model": "org/base"}).status_code == 409
    command.check(alembic_config(async_url(kept.database_url)))


def _write_until(backend: RunningBackend, is_over: threading.Event) -> None:
    for number in itertools.count():
        backend.create_model()
        _upload(backend, f"rows {number}")
        if is_over.wait(0.2):
            return


def test_a_restore_over_data_needs_force_and_keeps_what_was_there(kept: Kept) -> None:
    with kept.backend() as backend:
        _upload(backend, "old")
        assert kept.run("backup", str(kept.home / "backup.tar"), url=backend.base_url).status == 0
        newer = _upload(backend, "newer")

    refused = kept.run("restore", str(kept.home / "backup.tar"))
    forced = kept.run("restore", str(kept.home / "backup.tar"), "--force", "--json")

    assert (refused.status, "--force" in refused.err) == (1, True)
    asides = [Path(path) for path in forced.json()["kept"]]
    assert any((aside / "datasets" / f"{newer['id']}.jsonl").exists() for aside in asides)
    with kept.backend() as backend:
        assert [row["name"] for row in _everything(backend)["/datasets"].values()] == ["old"]


def test_a_restore_is_refused_while_the_platform_runs(kept: Kept) -> None:
    with kept.backend() as backend:
        backend.create_model("kept")
        assert kept.run("backup", str(kept.home / "backup.tar")).status == 0
        by_address = kept.run("restore", str(kept.home / "backup.tar"), "--force", url=backend.base_url)
        by_database = kept.run("restore", str(kept.home / "backup.tar"), "--force")
        still_there = backend.get("/api/v1/models").json()["total"]
    with run_worker(kept.home, kept.database_url):
        by_lock = kept.run("restore", str(kept.home / "backup.tar"), "--force")

    assert [done.status for done in (by_address, by_database, by_lock)] == [1, 1, 1]
    assert "is running" in by_address.err
    assert "in use" in by_database.err
    assert "test-machine" in by_lock.err
    assert still_there == 1


def _flip_byte(file: Path) -> None:
    with tarfile.open(file) as archive:
        info = max(archive, key=lambda member: member.size)
        place = info.offset_data + info.size // 2
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def _cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _add_member(file: Path) -> None:
    """Whose name leads out of the data folder."""
    with tarfile.open(file, "a") as archive:
        archive.add(__file__, arcname="store/../../../planted")


def _lie(file: Path) -> None:
    with tarfile.open(file) as archive, tarfile.open(file.with_suffix(".new"), "w") as other:
        for info in archive:
            if info.name != next(iter(archive.getnames())):
                other.addfile(info, archive.extractfile(info))
    file.with_suffix(".new").replace(file)


@pytest.mark.parametrize("damage", [_flip_byte, _cut, _add_member, _lie])
def test_a_damaged_backup_is_told_by_check_and_changes_nothing(
    tmp_path: Path, migrated_sqlite_url: str, damage: Callable[[Path], None]
) -> None:
    kept = Kept(tmp_path, migrated_sqlite_url, lambda: None)
    with kept.backend() as backend:
        _upload(backend, "rows")
        assert kept.run("backup", str(tmp_path / "backup.tar")).status == 0
    assert kept.run("restore", str(tmp_path / "backup.tar"), "--check").status == 0
    digest = _digest(tmp_path)

    damage(tmp_path / "backup.tar")
    checked = kept.run("restore", str(tmp_path / "backup.tar"), "--check")
    restored = kept.run("restore", str(tmp_path / "backup.tar"), "--force")

    assert (checked.status, restored.status) == (1, 1)
    assert "backup" in checked.err
    assert _digest(tmp_path) == digest
    assert not list(tmp_path.rglob("planted"))


def _digest(home: Path) -> str:
    """Of every file of the data folder and of the rows."""
    with closing(sqlite3.connect(home / "hub.db")) as connection:
        text = "".join(connection.iterdump())
    files = sorted(path for path in (home / "data").rglob("*") if path.is_file())
    return hashlib.sha256(text.encode() + b"".join(str(path).encode() + path.read_bytes() for path in files)).hexdigest()


def test_a_backup_of_another_kind_or_folder_is_refused(kept: Kept, tmp_path_factory: pytest.TempPathFactory) -> None:
    with kept.backend():
        assert kept.run("backup", str(kept.home / "backup.tar")).status == 0
    other = tmp_path_factory.mktemp("other")
    is_sqlite = kept.database_url.startswith("sqlite")
    cli = CommandLine("http://127.0.0.1:1", "http://127.0.0.1:1", str(other))

    elsewhere = cli.run_process("restore", str(kept.home / "backup.tar"), DATABASE_URL=kept.database_url)
    url = "postgresql://postgres@127.0.0.1:1/none" if is_sqlite else f"sqlite:///{other}/hub.db"
    of_kind = cli.run_process("restore", str(kept.home / "backup.tar"), DATABASE_URL=url)

    assert (elsewhere.status, "MLX_HUB_DATA_DIR" in elsewhere.err) == (1, True)
    assert (of_kind.status, "DATABASE_URL" in of_kind.err) == (1, True)


def test_a_backup_replaces_no_file_unasked_and_takes_a_name_of_its_own_in_a_folder(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    kept = Kept(tmp_path, migrated_sqlite_url, lambda: None)
    (tmp_path / "backups").mkdir()
    (tmp_path / "taken.tar").write_text("mine")

    named = kept.run("backup", str(tmp_path / "backups"), "--json")
    refused = kept.run("backup", str(tmp_path / "taken.tar"))
    nowhere = kept.run("backup", str(tmp_path / "none" / "backup.tar"))

    assert Path(named.json()["path"]).parent == tmp_path / "backups"
    assert (refused.status, (tmp_path / "taken.tar").read_text()) == (1, "mine")
    assert (nowhere.status, "make it first" in nowhere.err) == (1, True)
