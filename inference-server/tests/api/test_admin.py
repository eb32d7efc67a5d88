"""Models and the prompt cache as operators see and steer them."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fixtures.server import RunningServer, run_server

LONG_SYSTEM = "You are a careful keeper of a large zoo with many animals. " * 8


@pytest.fixture
def fresh_server(tmp_path: Path, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    """Nobody else counts its hits."""
    with run_server(tmp_path, tiny_models(), "--api-only") as server:
        yield server


def ask(server: RunningServer, system: str, question: str) -> str:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    response = server.post("/v1/chat/completions", {"messages": messages, "max_tokens": 4})
    assert response.status_code == 200, response.text
    return response.headers["x-cache"]


def stats(server: RunningServer) -> dict[str, float]:
    return server.get("/admin/cache/prompts/stats").json()


def test_the_prompt_cache_from_warming_to_clearing(fresh_server: RunningServer) -> None:
    server = fresh_server

    warmed = server.post("/admin/cache/prompts/warmup", {"model_id": "default", "system_prompt": LONG_SYSTEM})
    assert warmed.status_code == 200, warmed.text
    assert warmed.json()["status"] == "warmed"
    assert (stats(server)["total_hits"], stats(server)["total_misses"]) == (0, 0)

    assert ask(server, LONG_SYSTEM, "Which animal is the largest?") == "hit"
    assert ask(server, "Another part. " * 20, "Which animal is the largest?") in {"miss", "partial"}
    assert ask(server, LONG_SYSTEM, "Which is the smallest?") == "hit"
    assert ask(server, "Another part. " * 20, "Which is the smallest?") == "hit"
    assert (stats(server)["total_hits"], stats(server)["total_misses"], stats(server)["hit_rate"]) == (3, 1, 0.75)

    entries = server.get("/admin/cache/prompts").json()
    keys = [entry["cache_key"] for entry in entries]
    assert isinstance(entries, list)
    assert any(entry["hits"] >= 2 and entry["prompt_preview"].startswith("You are a careful") for entry in entries)
    named = {"cache_key", "model_id", "prompt_preview", "token_count", "hits", "created_at", "last_used"}
    assert all(named <= set(entry) for entry in entries)

    deleted = server.request("DELETE", f"/admin/cache/prompts/{keys[-1]}")
    assert deleted.status_code == 200
    left = [entry["cache_key"] for entry in server.get("/admin/cache/prompts").json()]
    assert keys[-1] not in left
    assert len(left) == len(keys) - deleted.json()["entries_removed"]

    cleared = server.post("/admin/cache/prompts/clear")
    assert cleared.json() == {"status": "cleared", "entries_removed": len(left)}
    assert server.get("/admin/cache/prompts").json() == []
    assert ask(server, LONG_SYSTEM, "Which animal is the largest?") == "miss"


def test_four_requests_over_two_system_prompts_are_two_hits_and_two_misses(fresh_server: RunningServer) -> None:
    for system in (LONG_SYSTEM, "Second system prompt. " * 20):
        for question in ("What is this?", "And that one?"):
            ask(fresh_server, system, question)

    counted = stats(fresh_server)

    assert (counted["total_hits"], counted["total_misses"], counted["hit_rate"]) == (2, 2, 0.5)
    assert {"memory_entries", "disk_entries", "max_entries"} <= set(counted)


def test_a_miss_says_where_the_conversation_diverged(fresh_server: RunningServer) -> None:
    server = fresh_server
    ask(server, LONG_SYSTEM, "Which animal is the largest of all?")
    messages = [{"role": "system", "content": "You" + LONG_SYSTEM[3:40] + "other " * 60}, {"role": "user", "content": "Hi"}]

    response = server.post("/v1/chat/completions", {"messages": messages, "max_tokens": 2})

    assert response.headers["x-cache"] in {"miss", "partial"}
    assert re.fullmatch(r"diverged; token=\d+; message=0", response.headers["x-cache-reason"])


def test_models_are_loaded_pinned_and_freed(fresh_server: RunningServer) -> None:
    server = fresh_server
    listed = server.get("/admin/models").json()
    name = next(iter(listed["models"]))
    assert listed["total_models"] == len(listed["models"])
    assert {"type", "base", "loaded", "source", "registered_by", "model_id"} <= set(listed["models"][name])

    loaded = server.post(f"/admin/models/{name}/load")
    assert loaded.status_code == 200, loaded.text
    assert loaded.json()["weight_bytes"] > 0
    server.wait_until(lambda it: it.get("/admin/models").json()["loaded_models"] == 1)

    assert server.post(f"/admin/models/{name}/pin").json()["pinned"] is True
    assert server.post(f"/admin/models/{name}/unpin").json()["pinned"] is False
    assert server.post(f"/admin/models/{name}/unload").json() == {"status": "unloaded", "name": name}
    server.wait_until(lambda it: it.get("/admin/models").json()["loaded_models"] == 0)
    assert server.chat("Hi", max_tokens=2).status_code == 200


def test_a_registered_name_is_served_until_it_is_removed(fresh_server: RunningServer) -> None:
    server = fresh_server
    base = next(iter(server.get("/admin/models").json()["models"]))
    body = {"name": "team/zoo-keeper", "base_model": base, "type": "base"}

    assert server.post("/admin/models/register", body).status_code == 201
    assert server.post("/admin/models/register", body).status_code == 200
    assert server.post("/admin/models/register", {**body, "config": {"a": 1}}).status_code == 409
    assert server.get("/v1/models/team/zoo-keeper").json()["id"] == "team/zoo-keeper"
    answer = server.chat("Hi", model="team/zoo-keeper", max_tokens=2)
    assert answer.json()["model"] == "team/zoo-keeper"

    assert server.request("DELETE", "/admin/models/team/zoo-keeper").json()["status"] == "removed"
    assert server.chat("Hi", model="team/zoo-keeper", max_tokens=2).status_code == 404
    assert server.request("DELETE", "/admin/models/team/zoo-keeper").status_code == 404


def test_an_adapter_that_is_not_there_is_a_404(server: RunningServer) -> None:
    base = next(iter(server.get("/admin/models").json()["models"]))
    body = {"name": "ghost", "base_model": base, "type": "lora", "adapter_path": "/nonexistent/adapter"}

    response = server.post("/admin/models/register", body)

    assert response.status_code == 404
    assert response.json()["error"]["param"] == "adapter_path"
