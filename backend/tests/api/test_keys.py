"""What keys open on a running backend: how they are sent, when they stop counting, and what streams and uploads make of them."""

import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from fixtures.backend import UPLOAD_LIMIT, RunningBackend, run_backend
from fixtures.databases import NewDatabase
from fixtures.events import listen
from fixtures.keys import GARBAGE_KEY, NO_LIMITS, OPERATORS_KEY, bearer, make_key
from fixtures.processes import clean_environment, free_port, wait_until_up
from fixtures.worker import Network
from mlx_hub.models.api_key import Scope
from mlx_hub.services.api_keys import revoke_key, rotate_key
from sqlmodel.ext.asyncio.session import AsyncSession

MODELS, SETTINGS = "/api/v1/models", "/api/v1/system/settings"
SECONDS = 60.0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": f"Bearer {OPERATORS_KEY}"}, 200),
        ({"authorization": f"bearer   {OPERATORS_KEY}"}, 200),
        ({"x-api-key": OPERATORS_KEY}, 200),
        ({"x-api-key": OPERATORS_KEY, "authorization": f"Bearer {OPERATORS_KEY}"}, 200),
        ({"x-api-key": OPERATORS_KEY, "authorization": "Basic dXNlcjpwYXNz"}, 200),
        ({"x-api-key": OPERATORS_KEY, "authorization": f"Bearer {GARBAGE_KEY}"}, 401),
        ({"authorization": f"Basic {OPERATORS_KEY}"}, 401),
        ({"authorization": OPERATORS_KEY}, 401),
        ({"x-api-key": ""}, 401),
        ({"cookie": f"x-api-key={OPERATORS_KEY}"}, 401),
    ],
)
def test_a_key_is_sent_as_a_bearer_or_as_x_api_key(guarded: RunningBackend, headers: dict[str, str], status: int) -> None:
    assert guarded.get(MODELS, headers=headers).status_code == status


def test_a_key_in_the_address_opens_nothing(guarded: RunningBackend) -> None:
    assert guarded.get(f"{MODELS}?api_key={OPERATORS_KEY}&x-api-key={OPERATORS_KEY}").status_code == 401


def test_two_keys_that_differ_are_refused_although_both_count(guarded: RunningBackend) -> None:
    headers = {"x-api-key": make_key(guarded, "second", Scope.ADMIN), **bearer(OPERATORS_KEY)}

    answer = guarded.get(MODELS, headers=headers)

    assert (answer.status_code, "differ" in answer.json()["detail"]) == (401, True)


def test_a_new_key_opens_at_once_and_a_revoked_one_nothing_within_seconds(guarded: RunningBackend) -> None:
    key = make_key(guarded, "short-lived", Scope.READ)
    assert guarded.get(MODELS, headers=bearer(key)).status_code == 200

    guarded.in_session(lambda session: revoke_key(session, "short-lived"))

    guarded.wait_until(lambda: guarded.get(MODELS, headers=bearer(key)).status_code == 401, SECONDS)
    assert "revoked" in guarded.get(MODELS, headers=bearer(key)).json()["detail"]


def test_a_rotated_key_gives_way_to_its_successor(guarded: RunningBackend) -> None:
    old = make_key(guarded, "rotated", Scope.READ)
    assert guarded.get(MODELS, headers=bearer(old)).status_code == 200

    async def rotate(session: AsyncSession) -> str:
        return (await rotate_key(session, "rotated")).key

    new = guarded.in_session(rotate)

    assert guarded.get(MODELS, headers=bearer(new)).status_code == 200
    guarded.wait_until(lambda: guarded.get(MODELS, headers=bearer(old)).status_code == 401, SECONDS)


def test_a_stream_of_events_ends_when_its_key_is_revoked_and_others_go_on(guarded: RunningBackend) -> None:
    with (
        listen(guarded, headers=bearer(make_key(guarded, "listener", Scope.READ))) as closed,
        listen(guarded, headers=bearer(OPERATORS_KEY)) as open_,
    ):
        guarded.in_session(lambda session: revoke_key(session, "listener"))

        assert closed.has_ended.wait(SECONDS)
        assert not open_.has_ended.is_set()
        heard = len(open_.received)
        guarded.wait_until(lambda: len(open_.received) > heard, SECONDS)
    assert "request_crashed" not in guarded.log()


def test_a_stranger_who_sends_a_large_file_reads_why_it_is_refused(guarded: RunningBackend) -> None:
    answer = guarded.request("POST", "/api/v1/datasets", files={"file": ("rows.jsonl", b"x" * 2_000_000)})

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_an_upload_needs_the_scope_train(guarded: RunningBackend) -> None:
    row = b'{"text": "a row"}\n'
    assert len(row) < UPLOAD_LIMIT
    keys = [make_key(guarded, f"uploads-{scope}", scope) for scope in (Scope.READ, Scope.TRAIN)]

    answers = [
        guarded.request("POST", "/api/v1/datasets", files={"file": ("keyed.jsonl", row)}, headers=bearer(key)) for key in keys
    ]

    assert [answer.status_code for answer in answers] == [403, 201]


def test_keys_seen_before_work_while_the_database_is_away(tmp_path: Path, new_database: NewDatabase) -> None:
    direct = httpx.URL(new_database("postgresql", tmp_path))
    network = Network((direct.host, direct.port or 0))
    network.restore()
    url = str(direct.copy_with(host="127.0.0.1", port=network.port))
    with run_backend(tmp_path, url, MLX_HUB_HOST="0.0.0.0", MLX_HUB_API_KEY=OPERATORS_KEY, **NO_LIMITS) as backend:
        seen, unseen = make_key(backend, "seen", Scope.ADMIN), make_key(backend, "unseen", Scope.ADMIN)
        assert backend.get(SETTINGS, headers=bearer(seen)).status_code == 200

        network.cut()
        answers = {
            name: backend.get(SETTINGS, headers=bearer(key))
            for name, key in {"seen": seen, "operator": OPERATORS_KEY, "unseen": unseen}.items()
        }

    assert {name: answer.status_code for name, answer in answers.items()} == {"seen": 200, "operator": 200, "unseen": 503}
    assert answers["unseen"].headers["retry-after"]


def test_what_comes_in_by_another_address_than_the_settings_say_needs_a_key(tmp_path: Path, new_database: NewDatabase) -> None:
    """As under `uvicorn` with a socket or a variable of its own, which the application cannot see."""
    outer = next(
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family.name == "AF_INET" and not address.address.startswith("127.")
    )
    port, log_file = free_port(), tmp_path / "server.log"
    command = [sys.executable, "-m", "uvicorn", "mlx_hub.main:app", "--port", str(port)]
    environment = clean_environment(HOME=str(tmp_path), DATABASE_URL=new_database("sqlite", tmp_path), UVICORN_HOST="0.0.0.0")
    with log_file.open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until_up(process, f"http://127.0.0.1:{port}/health/ready", SECONDS, log_file=log_file)
        statuses = [httpx.get(f"http://{host}:{port}{MODELS}", timeout=30).status_code for host in ("127.0.0.1", outer)]
    finally:
        process.kill()
        process.wait(60)

    assert statuses == [200, 401]
