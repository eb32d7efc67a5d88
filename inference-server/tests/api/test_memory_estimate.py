"""What loading a model would take, told before it is tried, and how models come and go in the list."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.server import RunningServer, run_server


def place(cache: Path, name: str, model: Path) -> None:
    """As the backend stores a downloaded model."""
    snapshot = cache / f"models--{name.replace('/', '--')}" / "snapshots" / ("a" * 40)
    shutil.copytree(model, snapshot)
    refs = snapshot.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text("a" * 40)


@pytest.fixture
def server(tmp_path: Path, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    """Three models of one size, and memory for two of them."""
    model = tiny_models()
    for name in ("org/first", "org/second", "org/third"):
        place(tmp_path / "models", name, model)
    weight_bytes = sum(path.stat().st_size for path in model.glob("*.safetensors"))
    limit = str(int(2.5 * weight_bytes))
    with run_server(tmp_path / "home", model, MODEL_CACHE_DIR=str(tmp_path / "models"), MLX_MEMORY_LIMIT=limit) as running:
        yield running


def estimate(server: RunningServer, name: str, **query: int) -> dict[str, Any]:
    answer = server.get(f"/admin/models/{name}/estimate", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def listed(server: RunningServer, name: str) -> dict[str, Any]:
    return server.get("/admin/models").json()["models"][name]


def test_an_estimate_tells_what_fits_and_what_would_have_to_go(server: RunningServer, tiny_models: Callable[..., Path]) -> None:
    server.wait_until(lambda it: it.engine()["state"] == "ready", 60)
    server.wait_until(lambda it: estimate(it, "org/first")["memory_limit_bytes"] is not None, 30)
    first = estimate(server, "org/first", context_tokens=10)
    config = json.loads((tiny_models() / "config.json").read_text())
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    assert first["kv_bytes_per_token"] == 4 * config["num_hidden_layers"] * config["num_key_value_heads"] * head_dim
    assert first["kv_bytes"] == 10 * first["kv_bytes_per_token"]
    assert first["total_bytes"] == first["weight_bytes"] + first["kv_bytes"]
    assert (first["verdict"], first["would_evict"], first["reason"]) == ("fits", [], None)
    assert listed(server, "org/first")["state"] == "unloaded"
    assert listed(server, "org/first")["last_used_at"] is None

    for name in ("org/first", "org/second"):
        assert server.post(f"/admin/models/{name}/load").status_code == 200
        server.wait_until(lambda it, name=name: listed(it, name)["state"] == "loaded", 30)
    assert listed(server, "org/first")["last_used_at"]
    assert estimate(server, "org/first")["verdict"] == "loaded"

    third = estimate(server, "org/third", context_tokens=1)
    assert (third["verdict"], third["would_evict"]) == ("fits_after_eviction", ["org/first"])
    assert third["resident_bytes"] == 2 * estimate(server, "org/first")["weight_bytes"]

    for name in ("org/first", "org/second"):
        assert server.post(f"/admin/models/{name}/pin").status_code == 200
    server.wait_until(lambda it: listed(it, "org/second")["pinned"], 30)
    third = estimate(server, "org/third", context_tokens=1)
    assert (third["verdict"], third["would_evict"]) == ("too_large", [])
    assert third["reason"]


def test_estimates_of_what_is_unknown_are_refused(server: RunningServer) -> None:
    assert server.get("/admin/models/org/nobody/estimate").status_code == 404
    assert server.get("/admin/models/org/first/estimate", params={"context_tokens": 0}).status_code == 400


def test_an_answer_tells_where_the_reused_state_lay(server: RunningServer) -> None:
    system = {"role": "system", "content": "You keep a large zoo with many animals. " * 12}
    question = {"messages": [system, {"role": "user", "content": "Which is the largest?"}], "max_tokens": 2}
    cold = server.post("/v1/chat/completions", question)
    warm = server.post("/v1/chat/completions", question)

    assert (cold.headers["x-cache"], warm.headers["x-cache"]) == ("miss", "hit")
    assert "x-cache-tier" not in cold.headers
    assert warm.headers["x-cache-tier"] == "memory"
    preflight = server.get("/v1/models", headers={"origin": "http://localhost:3005"})
    exposed = {name.strip() for name in preflight.headers["access-control-expose-headers"].split(",")}
    assert {"x-cache", "x-cache-tier", "x-cache-reason", "x-cache-tokens", "x-request-id", "retry-after"} <= exposed
