"""How often callers may ask: what answers say of it, who is counted with whom, and what is never counted."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fixtures.keys import StoredKey, prepare_keys
from fixtures.server import NO_TLS, RunningServer, run_server
from unified_mlx_app.api.rate_limits import FAILED_KEYS, RateLimiter, address_of, limits_of
from unified_mlx_app.config import Settings

OWN_KEY = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def keys() -> list[StoredKey]:
    return [StoredKey(f"key {number}", "infer") for number in range(6)]


@pytest.fixture(scope="module")
def limited(
    tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path], keys: list[StoredKey]
) -> Iterator[RunningServer]:
    """Three generations and four reads an hour; four wrong keys."""
    home = tmp_path_factory.mktemp("limited")
    prepare_keys(home, *keys)
    limits = {"INFER": "3/hour", "READ": "4/hour", "FAILED_KEYS": "4/hour"}
    variables = {f"MLX_RATE_LIMIT_{name}": limit for name, limit in limits.items()}
    with run_server(home, tiny_models(), MLX_API_KEY=OWN_KEY, **variables) as server:
        yield server


def test_answers_tell_what_is_left(limited: RunningServer, keys: list[StoredKey]) -> None:
    answers = [limited.post("/tokenize", {"prompt": "Hi"}, headers=keys[0].headers) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"infer";q=3;w=3600'}
    told = [re.fullmatch(r'"infer";r=(\d+);t=(\d+)', answer.headers["ratelimit"]) for answer in answers]
    assert [match and match[1] for match in told] == ["2", "1", "0"]
    assert all(match and 3500 < int(match[2]) <= 3600 for match in told)


@pytest.mark.parametrize(("number", "path"), [(1, "/v1/chat/completions"), (2, "/v1/messages")])
def test_one_too_many_is_told_in_the_shape_of_the_api(
    limited: RunningServer, keys: list[StoredKey], number: int, path: str
) -> None:
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
    for _ in range(3):
        assert limited.post(path, body, headers=keys[number].headers).status_code == 200

    refused = limited.post(path, body, headers=keys[number].headers)

    assert refused.status_code == 429
    assert 3500 < int(refused.headers["retry-after"]) <= 3600
    assert refused.headers["ratelimit"].startswith('"infer";r=0;t=')
    error = refused.json()["error"]
    assert error["type"] == "rate_limit_error"
    assert path == "/v1/messages" or error["code"] == "rate_limit_exceeded"


def test_a_key_is_counted_alone_and_each_class_for_itself(limited: RunningServer, keys: list[StoredKey]) -> None:
    for _ in range(4):
        spent = limited.post("/tokenize", {"prompt": "Hi"}, headers=keys[3].headers)

    assert spent.status_code == 429
    assert limited.post("/tokenize", {"prompt": "Hi"}, headers=keys[4].headers).status_code == 200
    assert limited.get("/v1/models", headers=keys[3].headers).headers["ratelimit"].startswith('"read";r=3;')


def test_health_and_metrics_are_never_counted(limited: RunningServer) -> None:
    own = {"x-api-key": OWN_KEY}
    with httpx.Client(base_url=limited.base_url, timeout=60, verify=NO_TLS) as client:
        for path in ("/health", "/health/live", "/health/ready", "/metrics", "/"):
            for _ in range(6):
                answer = client.get(path, headers=own)
                assert answer.status_code == 200, path
                assert "ratelimit" not in answer.headers
        # Administration has no limit here: what is not set is off on a loopback host.
        assert "ratelimit" not in client.get("/admin/settings", headers=own).headers


def test_guessing_keys_is_slowed_down_without_locking_out_who_has_one(limited: RunningServer, keys: list[StoredKey]) -> None:
    assert limited.get("/v1/models", headers=keys[5].headers).status_code == 200
    with httpx.Client(base_url=limited.base_url, timeout=60, verify=NO_TLS) as client:
        guesses = [client.get("/v1/models", headers={"x-api-key": f"mlxhub_guess{number}"}) for number in range(6)]
        without = [client.get("/v1/models") for _ in range(6)]

    assert [answer.status_code for answer in guesses] == [401] * 4 + [429] * 2
    assert [answer.status_code for answer in without] == [401] * 4 + [429] * 2
    assert int(guesses[-1].headers["retry-after"]) > 0
    assert limited.get("/v1/models", headers=keys[5].headers).status_code == 200
    assert limited.get("/health").status_code == 200


def test_limits_are_off_on_a_loopback_host_and_generous_elsewhere() -> None:
    here, elsewhere = Settings(), Settings(host="192.168.0.5", rate_limit_read="", rate_limit_admin="7/second")

    assert set(limits_of(here).values()) == {""}
    assert limits_of(elsewhere) == {"infer": "600/minute", "read": "", "admin": "7/second", FAILED_KEYS: "30/minute"}


def test_a_window_moves_on() -> None:
    limiter = RateLimiter({"infer": "2/second"})
    hits = [limiter.hit("infer", "a") for _ in range(3)]

    assert [hit is not None and hit.is_spent for hit in hits] == [False, False, True]
    assert limiter.spent("infer", "a") is not None
    assert limiter.spent("infer", "b") is None
    assert limiter.hit("read", "a") is None


def test_addresses_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unified_mlx_app.api.rate_limits._MAX_IDLE_KEYS", 10)
    limiter = RateLimiter({"infer": "1/second"})
    for number in range(40):
        limiter.hit("infer", f"10.0.0.{number}")

    deadline = time.monotonic() + 30
    while limiter.num_identities > 10:
        assert time.monotonic() < deadline
        limiter.hit("infer", "10.0.0.1")
        time.sleep(0.05)

    assert limiter.hit("infer", "10.0.0.2") is not None


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("testclient", "testclient"),
    ],
)
def test_an_address_is_counted_as_one_machine(host: str, counted: str) -> None:
    assert address_of({"client": (host, 1)}) == counted
