"""Limits of rate over real HTTP: told in every answer, kept by caller and class, and off where only this machine can ask."""

import re
from collections.abc import Iterator

import httpx
import pytest
from fixtures.backend import RunningBackend, run_backend
from fixtures.databases import NewDatabase
from fixtures.keys import GARBAGE_KEY, NO_LIMITS, OPERATORS_KEY, bearer, make_key
from fixtures.processes import wait_until
from mlx_hub.models.api_key import Scope

MODELS = "/api/v1/models"
WINDOW_SECONDS = 60
READ, WRITE, FAILED = 4, 2, 3


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[RunningBackend]:
    home = tmp_path_factory.mktemp("limited")
    variables = {
        "MLX_HUB_HOST": "0.0.0.0",
        "MLX_HUB_API_KEY": OPERATORS_KEY,
        "MLX_HUB_RATE_LIMIT_READ": f"{READ}/minute",
        "MLX_HUB_RATE_LIMIT_WRITE": f"{WRITE}/minute",
        "MLX_HUB_RATE_LIMIT_HUB": "2/2 second",
        "MLX_HUB_RATE_LIMIT_FAILED_KEYS": f"{FAILED}/minute",
        "HF_ENDPOINT": "http://127.0.0.1:9",
    }
    with run_backend(home, new_database("sqlite", home), **variables) as running:
        yield running


def _told(answer: httpx.Response) -> tuple[str, int, int]:
    """Class, requests that remain, and seconds until one is given back."""
    match = re.fullmatch(r'"([\w-]+)";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    assert match, answer.headers
    return match[1], int(match[2]), int(match[3])


def test_answers_tell_the_limit_and_what_is_left_until_429(limited: RunningBackend) -> None:
    reader = bearer(make_key(limited, "reader", Scope.READ))

    answers = [limited.get(MODELS, headers=reader) for _ in range(READ + 1)]

    assert [answer.status_code for answer in answers] == [200] * READ + [429]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {f'"read";q={READ};w={WINDOW_SECONDS}'}
    assert [_told(answer)[:2] for answer in answers] == [("read", left) for left in (3, 2, 1, 0, 0)]
    refused = answers[-1]
    assert 1 <= int(refused.headers["retry-after"]) == _told(refused)[2] <= WINDOW_SECONDS
    assert (refused.json()["code"], refused.headers["content-type"]) == ("rate_limited", "application/problem+json")


def test_each_caller_and_each_class_has_an_allowance_of_its_own(limited: RunningBackend) -> None:
    first, second = (bearer(make_key(limited, name, Scope.TRAIN)) for name in ("first", "second"))
    for _ in range(READ):
        limited.get(MODELS, headers=first)

    assert limited.get(MODELS, headers=first).status_code == 429
    assert limited.get(MODELS, headers=second).status_code == 200
    assert _told(limited.post(MODELS, {}, headers=first))[:2] == ("write", WRITE - 1)


def test_a_window_moves_on(limited: RunningBackend) -> None:
    searcher = bearer(make_key(limited, "searcher", Scope.READ))

    def status() -> int:
        return limited.get("/api/v1/discover/popular", headers=searcher).status_code

    wait_until(lambda: status() == 429, 60)
    wait_until(lambda: status() != 429, 60)


def test_health_and_metrics_are_never_limited(limited: RunningBackend) -> None:
    for path, headers in (("/health", {}), ("/health/ready", {}), ("/metrics", bearer(OPERATORS_KEY))):
        answers = [limited.get(path, headers=headers) for _ in range(READ + 2)]

        assert {answer.status_code for answer in answers} == {200}
        assert all("ratelimit" not in answer.headers for answer in answers)


def test_strangers_are_slowed_down_and_a_known_key_at_the_same_address_is_not(limited: RunningBackend) -> None:
    known = bearer(make_key(limited, "known", Scope.ADMIN))
    assert limited.get("/api/v1/system/settings", headers=known).status_code == 200

    answers = [limited.get(MODELS, headers=headers) for headers in ({}, bearer(GARBAGE_KEY)) for _ in range(FAILED)]

    assert answers[0].status_code == 401
    assert answers[-1].status_code == 429
    assert answers[-1].headers["retry-after"]
    assert _told(answers[-1])[:2] == ("failed-keys", 0)
    assert limited.get("/api/v1/system/settings", headers=known).status_code == 200
    assert limited.get(MODELS, headers=bearer(OPERATORS_KEY)).status_code == 200


def test_where_only_this_machine_can_ask_nothing_is_limited_unless_it_is_set(
    open_backend: RunningBackend, guarded: RunningBackend
) -> None:
    assert "ratelimit" not in open_backend.get(MODELS).headers
    # It has its limits switched off.
    assert NO_LIMITS["MLX_HUB_RATE_LIMIT_READ"] == ""
    assert "ratelimit" not in guarded.get(MODELS, headers=bearer(OPERATORS_KEY)).headers
