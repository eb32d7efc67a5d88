"""`mlx-hub keys` and `mlx-hub audit`, which work while no service runs."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fixtures.databases import NewDatabase
from fixtures.terminal import CommandLine
from mlx_hub.cli import audit, keys
from mlx_hub.config import Settings
from mlx_hub.models.api_key import Scope
from mlx_hub.observability.audit import FILE_NAME, NUM_KEPT

ENV_EXAMPLE = Path(__file__).parents[3] / ".env.example"


class _Keys:
    """`mlx-hub keys` on a database of its own."""

    def __init__(self, command_line: CommandLine, url: str) -> None:
        self.command_line = command_line
        self._url = url

    def run(self, *arguments: str) -> Any:
        return self.command_line.run("keys", *arguments, DATABASE_URL=self._url)

    def listed(self) -> dict[str, dict[str, Any]]:
        return {key["name"]: key for key in self.run("list", "--json").json()}


@pytest.fixture
def hub_keys(lonely_cli: CommandLine, migrated_url: str) -> _Keys:
    return _Keys(lonely_cli, migrated_url)


@pytest.fixture
def sqlite_keys(lonely_cli: CommandLine, new_database: NewDatabase, tmp_path: Path) -> _Keys:
    return _Keys(lonely_cli, new_database("sqlite", tmp_path))


def test_a_key_lives_from_create_to_revoke(hub_keys: _Keys) -> None:
    made = hub_keys.run("create", "laptop", "--scope", "infer", "--scope", "read", "--expires", "90d", "--json").json()
    rotated = hub_keys.run("rotate", "laptop", "--json").json()
    listed = hub_keys.listed()["laptop"]
    revoked = hub_keys.run("revoke", "laptop", "--yes", "--json").json()

    assert made["key"].startswith("mlxhub_")
    assert rotated["key"].startswith("mlxhub_")
    assert made["key"] != rotated["key"]
    assert (made["id"], made["scopes"], made["state"]) == (listed["id"], ["infer", "read"], "active")
    assert "key" not in listed
    days = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89, hours=23) < days <= timedelta(days=90)
    assert (revoked["state"], hub_keys.listed()["laptop"]["state"]) == ("revoked", "revoked")


def test_the_key_alone_is_on_standard_output(sqlite_keys: _Keys) -> None:
    done = sqlite_keys.run("create", "script", "--scope", "train")

    assert done.status == 0
    assert done.out.startswith("mlxhub_")
    assert len(done.out.split()) == 1
    assert "script may train" in done.err
    assert done.out.strip() not in done.err


def test_the_list_shows_no_key(sqlite_keys: _Keys) -> None:
    key = sqlite_keys.run("create", "hidden", "--scope", "read").out.strip()

    shown = sqlite_keys.run("list").out

    assert "hidden" in shown
    assert "active" in shown
    assert key not in shown


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("create", "x"), 2, "--scope"),
        (("create", "x", "--scope", "fly"), 2, "fly"),
        (("create", "x", "--scope", "read", "--expires", "soon"), 2, "90d"),
        (("create", "x", "--scope", "read", "--expires", "2020-01-01"), 2, "expired already"),
        (("create", "a\nb", "--scope", "read"), 2, "one line"),
        (("revoke", "nobody", "--yes"), 1, "nobody"),
        (("revoke", "nobody"), 2, "--yes"),
        (("rotate", "nobody"), 1, "keys list"),
    ],
)
def test_what_is_wrong_is_told(sqlite_keys: _Keys, arguments: tuple[str, ...], status: int, told: str) -> None:
    done = sqlite_keys.run(*arguments)

    assert (done.status, told in done.err) == (status, True), done.err


def test_a_name_is_given_once(sqlite_keys: _Keys) -> None:
    assert sqlite_keys.run("create", "twice", "--scope", "read").status == 0

    again = sqlite_keys.run("create", "twice", "--scope", "read", "--json")

    assert (again.status, again.out) == (1, "")
    assert "twice" in again.error()["message"]


def test_a_database_that_is_down_is_status_3(lonely_cli: CommandLine) -> None:
    done = lonely_cli.run("keys", "list", DATABASE_URL="postgresql://me:secret-of-mine@127.0.0.1:1/hub")

    assert done.status == 3
    assert "secret-of-mine" not in done.err


def test_help_teaches(lonely_cli: CommandLine) -> None:
    done = lonely_cli.run("keys", "create", "--help")

    assert "mlx-hub keys create trainer --scope train --expires 90d" in done.out
    assert "Authorization: Bearer" in " ".join(done.out.split())


def test_scopes_are_those_of_the_services() -> None:
    assert [*keys.KeyScope] == [*Scope]


def test_the_audit_log_shows_both_services_with_the_newest_last(sqlite_keys: _Keys) -> None:
    key = sqlite_keys.run("create", "audited", "--scope", "admin").out.strip()
    sqlite_keys.run("revoke", "audited", "--yes")
    folder = Path(sqlite_keys.command_line.home) / ".unified-mlx/cache"
    folder.mkdir(parents=True)
    row = {
        "at": "2020-01-01T00:00:00+00:00",
        "service": "inference",
        "actor": "key",
        "key_id": "1",
        "key_name": "someone",
        "action": "POST /admin/cache/prompts/clear",
        "target": {},
        "outcome": "done",
        "reason": None,
        "status": 200,
        "request_id": "r",
        "client": "127.0.0.1",
    }
    (folder / FILE_NAME).write_text(json.dumps(row) + "\n" + '{"at": "cut off by a cra')

    shown = sqlite_keys.command_line.run("audit").out
    rows = sqlite_keys.command_line.run("audit", "--json").json()
    newest = sqlite_keys.command_line.run("audit", "--limit", "1", "--json").json()

    assert [row["action"] for row in rows] == ["POST /admin/cache/prompts/clear", "keys create", "keys revoke"]
    assert [row["action"] for row in newest] == ["keys revoke"]
    assert rows[1]["target"]["key"] == "audited"
    assert shown.index("someone") < shown.index("keys create") < shown.index("keys revoke")
    assert key not in shown + json.dumps(rows)


def test_an_empty_audit_log_is_said_to_be_empty(lonely_cli: CommandLine) -> None:
    assert "Nothing" in lonely_cli.run("audit").err
    assert lonely_cli.run("audit", "--json").json() == []


def test_the_audit_command_looks_where_the_services_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLX_HUB_DATA_DIR", raising=False)

    assert Path(audit.DEFAULTS["MLX_HUB_DATA_DIR"]).expanduser() == Settings().data_dir
    assert f"#MLX_PROMPT_CACHE_DIR={audit.DEFAULTS['MLX_PROMPT_CACHE_DIR']}\n" in ENV_EXAMPLE.read_text()
    assert (audit.FILE_NAME, audit.NUM_KEPT) == (FILE_NAME, NUM_KEPT)
