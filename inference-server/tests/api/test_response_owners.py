"""A stored response is its key's own: to other keys its id is as unknown as one that never was, whatever they ask."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fixtures.keys import StoredKey, prepare_keys
from fixtures.server import RunningServer, run_server

OWN_KEY = "correct-horse-battery-staple"
KEYS = {
    "alice": StoredKey("alice", "infer"),
    "bob": StoredKey("bob", "infer"),
    "reader": StoredKey("reader", "read"),
    "trainer": StoredKey("trainer", "train infer"),
    "admin": StoredKey("admin", "admin"),
}
ALL = [*KEYS, "operator"]
SEES_ALL = {"admin", "operator"}
MAY_NOT = {"go on", "count", "delete"}
"""What needs the scope `infer`."""

Ask = Callable[[RunningServer, str, dict[str, str]], httpx.Response]
ACTIONS: dict[str, Ask] = {
    "show": lambda server, name, headers: server.get(f"/v1/responses/{name}", headers=headers),
    "items": lambda server, name, headers: server.get(f"/v1/responses/{name}/input_items", headers=headers),
    "go on": lambda server, name, headers: server.post("/v1/responses", body(previous_response_id=name), headers=headers),
    "count": lambda server, name, headers: server.post(
        "/v1/responses/input_tokens", {"input": "And?", "previous_response_id": name}, headers=headers
    ),
    "delete": lambda server, name, headers: httpx.delete(f"{server.base_url}/v1/responses/{name}", headers=headers, timeout=60),
}


def body(**fields: object) -> dict[str, object]:
    return {"input": "Tell me a secret.", "max_output_tokens": 16, **fields}


def headers_of(caller: str) -> dict[str, str]:
    return {"authorization": f"Bearer {OWN_KEY}"} if caller == "operator" else KEYS[caller].headers


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("owners")
    prepare_keys(home, *KEYS.values())
    with run_server(home, tiny_models(), MLX_API_KEY=OWN_KEY) as running:
        yield running


def make_response(server: RunningServer, owner: str, **fields: object) -> str:
    response = server.post("/v1/responses", body(**fields), headers=headers_of(owner))
    assert response.status_code == 200, response.text
    return response.json()["id"]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("owner", [name for name in ALL if name != "reader"])
def test_only_its_key_and_admins_find_a_response(server: RunningServer, owner: str, action: str) -> None:
    ask = ACTIONS[action]
    found: set[str] = set()
    for caller in ALL:
        if caller == "reader" and action in MAY_NOT:
            continue
        name = make_response(server, owner)
        answer, unknown = (ask(server, asked, headers_of(caller)) for asked in (name, "resp_unknown"))
        if answer.status_code == 200:
            found.add(caller)
        else:
            assert answer.status_code == unknown.status_code
            assert answer.json() == {"error": {**unknown.json()["error"], "message": _told_of(name, unknown)}}
        assert ACTIONS["show"](server, name, headers_of(owner)).status_code == (
            404 if action == "delete" and caller in found else 200
        )

    assert found == SEES_ALL | {owner}


def _told_of(name: str, unknown: httpx.Response) -> str:
    return unknown.json()["error"]["message"].replace("resp_unknown", name)


def test_a_streamed_response_is_its_keys_own_too(server: RunningServer) -> None:
    streamed = server.post("/v1/responses", body(stream=True), headers=headers_of("alice"))
    name = streamed.text.split('"id":"resp_', 1)[1].split('"', 1)[0]

    statuses = [ACTIONS["show"](server, f"resp_{name}", headers_of(caller)).status_code for caller in ALL]

    assert dict(zip(ALL, statuses, strict=True)) == {name: 200 if name in {"alice", *SEES_ALL} else 404 for name in ALL}


def test_what_an_admin_adds_to_a_conversation_is_the_admins(server: RunningServer) -> None:
    first = make_response(server, "alice")
    second = make_response(server, "admin", previous_response_id=first)

    assert ACTIONS["go on"](server, second, headers_of("alice")).status_code != 200
    assert ACTIONS["go on"](server, second, headers_of("admin")).status_code == 200
    assert ACTIONS["go on"](server, first, headers_of("alice")).status_code == 200


def test_all_of_a_conversation_is_its_keys_own(server: RunningServer) -> None:
    chain = [make_response(server, "bob")]
    for _ in range(3):
        chain.append(make_response(server, "bob", previous_response_id=chain[-1]))

    items = ACTIONS["items"](server, chain[-1], headers_of("bob")).json()["data"]

    assert len(items) == 7
    assert {ACTIONS["items"](server, name, headers_of("alice")).status_code for name in chain} == {404}
