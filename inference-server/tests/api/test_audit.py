"""Who changed what, and which keys were refused, in a file and in the log."""

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fixtures.keys import StoredKey, keys_of_every_kind, prepare_keys
from fixtures.server import RunningServer, run_server
from unified_mlx_app.observability.audit import AuditLog

OWN_KEY = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def keys() -> dict[str, StoredKey]:
    return keys_of_every_kind()


@pytest.fixture(scope="module")
def audited(
    tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path], keys: dict[str, StoredKey]
) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("audited")
    prepare_keys(home, *keys.values())
    with run_server(home, tiny_models(), MLX_API_KEY=OWN_KEY, MLX_RATE_LIMIT_FAILED_KEYS="4/minute") as server:
        yield server


def file_of(server: RunningServer) -> Path:
    return server.home / ".unified-mlx/cache/audit.jsonl"


def events_of(server: RunningServer, request_id: str) -> list[dict[str, Any]]:
    """What the file says of a request; each event is in the log as well."""
    lines = file_of(server).read_text().splitlines() if file_of(server).exists() else []
    found = [event for event in map(json.loads, lines) if event["request_id"] == request_id]
    logged = [json.loads(line) for line in server.log().splitlines() if '"audit"' in line and line.startswith("{")]
    assert {event["action"] for event in found} <= {event["action"] for event in logged if event["request_id"] == request_id}
    return found


def event_of(server: RunningServer, request_id: str) -> dict[str, Any]:
    """The only event of a request, which is written after its answer was sent."""
    server.wait_until(lambda it: bool(events_of(it, request_id)), 30)
    (event,) = events_of(server, request_id)
    return event


def test_what_an_administrator_does_is_written_down(audited: RunningServer, keys: dict[str, StoredKey]) -> None:
    admin = keys["admin"]
    registered = {"name": "nobody/adapter", "base_model": "nobody/base"}

    audited.post("/admin/cache/prompts/clear", headers={**admin.headers, "x-request-id": "clear"})
    audited.post("/admin/models/no/such/load", headers={"x-api-key": OWN_KEY, "x-request-id": "load"})
    answer = audited.post("/admin/models/register", registered, headers={**admin.headers, "x-request-id": "register"})

    cleared = event_of(audited, "clear")
    assert cleared == cleared | {
        "service": "inference",
        "actor": "key",
        "key_id": str(admin.id),
        "key_name": "admin",
        "action": "POST /admin/cache/prompts/clear",
        "target": {},
        "outcome": "done",
        "reason": None,
        "status": 200,
        "client": "127.0.0.1",
    }
    loaded = event_of(audited, "load")
    assert (loaded["actor"], loaded["action"]) == ("environment", "POST /admin/models/{name:path}/load")
    assert (loaded["target"], loaded["status"], loaded["outcome"]) == ({"name": "no/such"}, 404, "failed")
    refused = event_of(audited, "register")
    assert (refused["target"], refused["outcome"]) == ({"name": "nobody/adapter"}, "failed")
    assert refused["status"] == answer.status_code >= 400


def test_cancelling_and_deleting_are_written_down_and_asking_is_not(audited: RunningServer, keys: dict[str, StoredKey]) -> None:
    infer = keys["infer"].headers

    audited.post("/v1/requests/abc/cancel", headers={**infer, "x-request-id": "cancel"})
    audited.post("/tokenize", {"prompt": "Hi"}, headers={**infer, "x-request-id": "ask"})
    audited.get("/admin/settings", headers={"x-api-key": OWN_KEY, "x-request-id": "look"})

    cancelled = event_of(audited, "cancel")
    assert (cancelled["key_name"], cancelled["target"], cancelled["status"]) == ("infer", {"request_id": "abc"}, 404)
    assert events_of(audited, "ask") == events_of(audited, "look") == []


def test_refused_keys_are_written_down_until_there_are_too_many(audited: RunningServer, keys: dict[str, StoredKey]) -> None:
    headers = {name: keys[name].headers for name in ("expired", "revoked")} | {
        "unknown": {"x-api-key": "mlxhub_nobody"},
        "disagreeing": {"x-api-key": OWN_KEY, "authorization": "Bearer other"},
        "scope": keys["read"].headers,
        "too-many": {"x-api-key": "mlxhub_again"},
        "none": {},
    }
    # A key that was here before is let in whatever its neighbours do.
    assert audited.get("/v1/models", headers=keys["read"].headers).status_code == 200

    statuses = {
        name: audited.post("/admin/models/a/b/load", headers={**sent, "x-request-id": name}).status_code
        for name, sent in headers.items()
    }

    assert statuses == {**dict.fromkeys(headers, 401), "scope": 403, "too-many": 429}
    for name in ("expired", "revoked", "unknown", "disagreeing", "scope"):
        event = event_of(audited, name)
        assert (event["outcome"], event["reason"], event["status"]) == ("refused", name, statuses[name])
        assert (event["action"], event["target"]) == ("POST /admin/models/{name:path}/load", {"name": "a/b"})
    assert event_of(audited, "expired")["key_id"] == str(keys["expired"].id)
    assert (event_of(audited, "unknown")["actor"], event_of(audited, "scope")["key_name"]) == ("unknown", "read")
    assert events_of(audited, "none") == events_of(audited, "too-many") == []


def test_only_its_owner_reads_the_file_and_no_secret_is_in_it(audited: RunningServer, keys: dict[str, StoredKey]) -> None:
    audited.post("/admin/cache/prompts/clear", headers={**keys["admin"].headers, "x-request-id": "secret"})
    event_of(audited, "secret")

    text = file_of(audited).read_text()

    assert stat.S_IMODE(file_of(audited).stat().st_mode) == 0o600
    assert not [secret for secret in (OWN_KEY, *(key.secret for key in keys.values())) if secret in text]


def test_on_this_machine_the_actor_is_local(server: RunningServer) -> None:
    httpx.delete(f"{server.base_url}/admin/cache/prompts/0000", headers={"x-request-id": "audited-here"})

    event = event_of(server, "audited-here")

    assert (event["actor"], event["key_id"], event["action"]) == ("local", None, "DELETE /admin/cache/prompts/{cache_key}")
    assert event["target"] == {"cache_key": "0000"}


def test_a_full_file_is_turned_over_and_the_oldest_goes(tmp_path: Path) -> None:
    audit = AuditLog(tmp_path / "log/audit.jsonl", max_bytes=30, num_kept=3)

    for number in range(12):
        audit.append({"number": number})

    kept = {
        path.name: [json.loads(line)["number"] for line in path.read_text().splitlines()] for path in tmp_path.glob("log/audit*")
    }
    assert kept == {"audit.jsonl": [10, 11], "audit.jsonl.1": [8, 9], "audit.jsonl.2": [6, 7], "audit.jsonl.3": [4, 5]}


def test_one_event_is_one_line_whatever_is_in_it(tmp_path: Path) -> None:
    audit = AuditLog(tmp_path / "audit.jsonl")

    audit.append({"target": 'a\nb\r\n{"actor": "local"}\u2028\x1b[31m'})

    assert (tmp_path / "audit.jsonl").read_bytes().count(b"\n") == 1


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "other")

    with pytest.raises(OSError, match="symbolic link"):
        AuditLog(tmp_path / "audit.jsonl").append({"number": 1})

    assert (tmp_path / "other").read_text() == ""
