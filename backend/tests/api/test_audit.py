"""The audit log of a running backend: who did what, which keys were refused, and nothing that is secret."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from fixtures.backend import RunningBackend
from fixtures.keys import GARBAGE_KEY, OPERATORS_KEY, bearer, make_key, make_revoked_key
from mlx_hub.models.api_key import Scope
from mlx_hub.observability.audit import AuditEvent, AuditLog


def _rows(backend: RunningBackend) -> list[dict[str, Any]]:
    path = backend.data_dir / "audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _row_of(backend: RunningBackend, request_id: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def is_there() -> bool:
        found[:] = [row for row in _rows(backend) if row["request_id"] == request_id]
        return bool(found)

    backend.wait_until(is_there, 30)
    (row,) = found
    return row


def test_a_write_by_key_is_written_down_with_whose_key_it_was(guarded: RunningBackend) -> None:
    key = make_key(guarded, "writer", Scope.TRAIN)
    target = "00000000-0000-0000-0000-000000000001"

    answer = guarded.request("DELETE", f"/api/v1/models/{target}", headers=bearer(key) | {"x-request-id": "audited-1"})

    row = _row_of(guarded, "audited-1")
    assert answer.status_code == 404
    assert (row["actor"], row["key_name"], row["service"]) == ("key", "writer", "backend")
    assert len(row["key_id"]) == 36
    assert (row["action"], row["target"]) == ("DELETE /api/v1/models/{model_id}", {"model_id": target})
    assert (row["status"], row["outcome"], row["client"]) == (404, "failed", "127.0.0.1")
    assert "audit" in guarded.log()


def test_what_administrators_look_at_is_written_down_and_other_reading_is_not(guarded: RunningBackend) -> None:
    guarded.get("/api/v1/models", headers=bearer(OPERATORS_KEY) | {"x-request-id": "audited-2"})
    guarded.get("/api/v1/system/settings", headers=bearer(OPERATORS_KEY) | {"x-request-id": "audited-3"})

    row = _row_of(guarded, "audited-3")

    assert (row["actor"], row["key_id"], row["outcome"]) == ("environment", None, "done")
    assert not [row for row in _rows(guarded) if row["request_id"] == "audited-2"]


@pytest.mark.parametrize(("made", "actor", "reason"), [("garbage", "unknown", "unknown"), ("revoked", "key", "revoked")])
def test_refused_keys_are_written_down_and_requests_without_one_are_not(
    guarded: RunningBackend, made: str, actor: str, reason: str
) -> None:
    key = GARBAGE_KEY if made == "garbage" else make_revoked_key(guarded, "audited-revoked", Scope.ADMIN)

    guarded.get("/api/v1/models", headers=bearer(key) | {"x-request-id": f"audited-{made}"})
    guarded.get("/api/v1/models", headers={"x-request-id": f"audited-without-{made}"})

    row = _row_of(guarded, f"audited-{made}")
    assert (row["actor"], row["outcome"], row["reason"], row["status"]) == (actor, "refused", reason, 401)
    assert not [row for row in _rows(guarded) if row["request_id"] == f"audited-without-{made}"]


def test_a_scope_that_is_too_small_is_written_down(guarded: RunningBackend) -> None:
    key = make_key(guarded, "too-small", Scope.READ)

    guarded.post("/api/v1/models", {}, headers=bearer(key) | {"x-request-id": "audited-4"})

    row = _row_of(guarded, "audited-4")
    assert (row["key_name"], row["outcome"], row["reason"], row["status"]) == ("too-small", "refused", "scope", 403)


def test_changes_of_this_machine_without_a_key_are_told_as_local(open_backend: RunningBackend) -> None:
    open_backend.post("/api/v1/models", {"name": "audited", "base_model": "org/base"}, headers={"x-request-id": "audited-5"})

    row = _row_of(open_backend, "audited-5")
    assert (row["actor"], row["action"], row["outcome"]) == ("local", "POST /api/v1/models", "done")


def test_only_the_owner_reads_the_file_and_no_key_is_in_it_or_in_the_log(guarded: RunningBackend) -> None:
    key = make_key(guarded, "secret", Scope.TRAIN)
    guarded.post("/api/v1/models", {}, headers=bearer(key) | {"x-request-id": "audited-6"})
    _row_of(guarded, "audited-6")

    path = guarded.data_dir / "audit.jsonl"
    written = path.read_text() + guarded.log()
    assert path.stat().st_mode & 0o777 == 0o600
    assert not [secret for secret in (key, OPERATORS_KEY, GARBAGE_KEY) if secret in written]


def _append(folder: Path, number: int, count: int) -> None:
    log = AuditLog(folder, max_bytes=20_000, num_kept=50)
    for index in range(count):
        log.append(AuditEvent("local", f"write {number}-{index}", "done"))


def test_several_processes_turn_the_file_over_and_lose_no_line(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_append, args=(tmp_path, number, 300)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(100)

    files = sorted(tmp_path.glob("audit.jsonl*"))
    rows = [json.loads(line)["action"] for file in files for line in file.read_text().splitlines()]
    assert len(files) > 5
    assert max(file.stat().st_size for file in files) <= 20_000
    assert sorted(rows) == sorted(f"write {number}-{index}" for number in range(3) for index in range(300))


def test_only_so_many_old_files_are_kept(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, max_bytes=500, num_kept=2)
    for index in range(30):
        log.append(AuditEvent("local", f"write {index}", "done"))

    assert sorted(file.name for file in tmp_path.glob("audit.jsonl*")) == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"]
    assert "write 29" in (tmp_path / "audit.jsonl").read_text()


def test_a_file_that_cannot_be_written_costs_no_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "audit.jsonl").mkdir()

    AuditLog(tmp_path).append(AuditEvent("local", "write", "done"))

    assert "audit_not_written" in capsys.readouterr().out
