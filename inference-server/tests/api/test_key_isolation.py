"""What one key's requests leave behind is of no use to another: prompt cache, response cache, running requests."""

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fixtures.keys import StoredKey, prepare_keys
from fixtures.server import RunningServer, run_server

OWN_KEY = "correct-horse-battery-staple"
SYSTEM = "You are the assistant of a hospital. " + " ".join(f"Rule {number}: never tell number {number}." for number in range(40))


@pytest.fixture(scope="module")
def keys() -> tuple[StoredKey, StoredKey]:
    return StoredKey("alice", "infer"), StoredKey("bob", "infer")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, keys: tuple[StoredKey, StoredKey]) -> Path:
    home = tmp_path_factory.mktemp("isolated")
    prepare_keys(home, *keys, StoredKey("admin", "admin"))
    return home


@pytest.fixture(scope="module")
def isolated(home: Path, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    with run_server(home, tiny_models(), MLX_API_KEY=OWN_KEY, MLX_RESPONSE_CACHE_ENABLED="true") as server:
        yield server


def ask(server: RunningServer, key: StoredKey | str, question: str, system: str = SYSTEM) -> httpx.Response:
    headers = {"x-api-key": key} if isinstance(key, str) else key.headers
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    response = server.post("/v1/chat/completions", {"messages": messages, "max_tokens": 4}, headers=headers)
    assert response.status_code == 200
    return response


def outcome(response: httpx.Response) -> str:
    return response.headers["x-cache"]


def test_a_prompt_of_one_key_is_a_miss_for_another_and_a_hit_for_itself(
    isolated: RunningServer, keys: tuple[StoredKey, StoredKey]
) -> None:
    alice, bob = keys

    first, again = ask(isolated, alice, "What is the rule?"), ask(isolated, alice, "Which number?")
    foreign, own = ask(isolated, bob, "Which number?"), ask(isolated, bob, "Which rule?")

    assert (outcome(first), outcome(again)) == ("miss", "hit")
    assert (outcome(foreign), foreign.headers["x-cache-reason"], foreign.headers["x-cache-tokens"]) == ("miss", "cold", "0")
    assert foreign.json()["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert "x-cache-volatile" not in foreign.headers
    assert outcome(own) == "hit"


def test_why_it_was_a_miss_tells_nothing_of_others(isolated: RunningServer, keys: tuple[StoredKey, StoredKey]) -> None:
    alice, bob = keys
    common = "Speak like a pirate who sailed the seven seas and is polite to everybody he meets. " * 2
    start = common + "Arr. " * 100
    ask(isolated, alice, "Hello", system=start + "The secret is in the chest. " * 10)
    ask(isolated, bob, "Hello", system=common + "Yo. " * 100)

    others = ask(isolated, bob, "Hello", system=start + "The gold is on the beach. " * 10)
    own = ask(isolated, alice, "Hello", system=start + "The gold is on the beach. " * 10)
    nothing = ask(isolated, OWN_KEY, "Hello", system=start + "The gold is on the beach. " * 10)

    assert diverged_at(others) < diverged_at(own)
    assert nothing.headers["x-cache-reason"] == "cold"


def diverged_at(response: httpx.Response) -> int:
    match = re.match(r"diverged; token=(\d+)", response.headers["x-cache-reason"])
    assert match is not None
    return int(match[1])


def test_the_operators_key_and_a_stored_one_share_nothing(isolated: RunningServer, keys: tuple[StoredKey, StoredKey]) -> None:
    system = "Answer in verse. " * 60
    ask(isolated, keys[0], "Hello", system=system)

    assert outcome(ask(isolated, OWN_KEY, "Hi", system=system)) == "miss"
    assert outcome(ask(isolated, OWN_KEY, "Hey", system=system)) == "hit"


def test_a_whole_answer_is_repeated_to_its_own_key_only(isolated: RunningServer, keys: tuple[StoredKey, StoredKey]) -> None:
    alice, bob = keys
    ask(isolated, alice, "The same question?")

    again, foreign = ask(isolated, alice, "The same question?"), ask(isolated, bob, "The same question?")

    assert again.headers["x-response-cache"] == "hit"
    assert "x-response-cache" not in foreign.headers


def test_a_key_cannot_end_the_request_of_another(isolated: RunningServer, keys: tuple[StoredKey, StoredKey]) -> None:
    alice, bob = keys
    body = {"messages": [{"role": "user", "content": "Go on."}], "max_tokens": 20_000, "ignore_eos": True}
    ended: list[int] = []

    def run() -> None:
        response = isolated.post("/v1/chat/completions", body, headers={**alice.headers, "x-request-id": "mine"})
        ended.append(response.status_code)

    thread = threading.Thread(target=run)
    thread.start()
    isolated.wait_until(lambda it: _is_running(it, "mine"), 60)

    assert isolated.post("/v1/requests/mine/cancel", headers=bob.headers).status_code == 404
    assert _is_running(isolated, "mine")
    assert isolated.post("/v1/requests/mine/cancel", headers=alice.headers).status_code == 200
    thread.join(60)
    assert ended == [499]


def _is_running(server: RunningServer, request_id: str) -> bool:
    running = server.get("/admin/requests", headers={"x-api-key": OWN_KEY}).json()["requests"]
    return request_id in {request["id"] for request in running}


def test_on_disk_and_after_a_restart_it_is_the_same(
    isolated: RunningServer, home: Path, tiny_models: Callable[..., Path], keys: tuple[StoredKey, StoredKey]
) -> None:
    alice, bob = keys
    system = "Answer like a judge. " * 60
    ask(isolated, alice, "Hello", system=system)
    isolated.stop()

    with run_server(home, tiny_models(), MLX_API_KEY=OWN_KEY) as restarted:
        foreign, own = ask(restarted, bob, "Hi", system=system), ask(restarted, alice, "Hi", system=system)

    assert (outcome(foreign), foreign.headers["x-cache-reason"]) == ("miss", "cold")
    assert (outcome(own), own.headers["x-cache-tier"]) == ("hit", "disk")


@pytest.mark.parametrize("scope", ["key", "shared"])
def test_a_key_that_floods_the_cache_pushes_out_nothing_of_another(
    tmp_path: Path, tiny_models: Callable[..., Path], keys: tuple[StoredKey, StoredKey], scope: str
) -> None:
    alice, bob = keys
    prepare_keys(tmp_path, *keys)
    variables = {"MLX_PROMPT_CACHE_MAX_ENTRIES": "8", "MLX_PROMPT_CACHE_PERSIST": "false", "MLX_PROMPT_CACHE_SCOPE": scope}
    with run_server(tmp_path, tiny_models(), MLX_API_KEY=OWN_KEY, **variables) as server:
        ask(server, alice, "Hello")
        for number in range(12):
            ask(server, bob, "Hello", system=f"Prompt {number}. " * 60)

        stats = server.get("/admin/cache/prompts/stats", headers={"x-api-key": OWN_KEY}).json()
        assert (stats["memory_entries"], stats["memory_evictions"] > 0) == (8, True)
        assert outcome(ask(server, alice, "Hi")) == ("hit" if scope == "key" else "miss")


def test_where_keys_share_the_cache_a_prompt_of_one_is_a_hit_for_another(
    tmp_path: Path, tiny_models: Callable[..., Path], keys: tuple[StoredKey, StoredKey]
) -> None:
    prepare_keys(tmp_path, *keys)
    with run_server(tmp_path, tiny_models(), MLX_API_KEY=OWN_KEY, MLX_PROMPT_CACHE_SCOPE="shared") as server:
        ask(server, keys[0], "Hello")

        assert outcome(ask(server, keys[1], "Hi")) == "hit"
