"""One key for both services, made before either ran, and good for one while the other is down."""

from pathlib import Path

import httpx
import pytest
from fixtures.backend import run_backend
from fixtures.databases import NewDatabase
from fixtures.inference_server import run_inference_server
from fixtures.keys import OPERATORS_KEY, bearer
from fixtures.processes import wait_until
from fixtures.terminal import CommandLine

NOBODY = "http://127.0.0.1:1"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_one_key_opens_both_services_until_it_is_revoked(tmp_path: Path, new_database: NewDatabase, kind: str) -> None:
    url = new_database(kind, tmp_path)
    home = tmp_path / "home"

    def command(*arguments: str) -> str:
        done = CommandLine(NOBODY, NOBODY, str(home)).run(*arguments, DATABASE_URL=url)
        assert done.status == 0, done.err
        return done.out.strip()

    key = command("keys", "create", "laptop", "--scope", "read", "--scope", "infer")
    with (
        run_inference_server(home, DATABASE_URL=url, MLX_API_KEY=OPERATORS_KEY) as inference,
        run_backend(home, url, MLX_HUB_API_KEY=OPERATORS_KEY) as backend,
    ):
        models, chat = f"{backend.base_url}/api/v1/models", f"{inference.base_url}/v1/chat/completions"
        assert [httpx.get(models, headers=given, timeout=30).status_code for given in ({}, bearer(key))] == [401, 200]
        assert [_ask(chat, given) for given in ({}, bearer(key))] == [401, 200]
        assert httpx.post(f"{inference.base_url}/admin/cache/prompts/clear", headers=bearer(key), timeout=30).status_code == 403

        backend.process.kill()
        assert _ask(chat, bearer(key)) == 200
        command("keys", "revoke", "laptop", "--yes")
        wait_until(lambda: _ask(chat, bearer(key)) == 401)

        shown = command("audit")
    assert "POST /admin/cache/prompts/clear" in shown
    assert "keys revoke" in shown


def _ask(chat: str, headers: dict[str, str]) -> int:
    body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
    return httpx.post(chat, json=body, headers=headers, timeout=60).status_code
