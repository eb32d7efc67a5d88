"""Adapters as operators see them: registered, replaced under load, removed; and models that are published while it runs."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fixtures.adapters import write_adapter
from fixtures.server import RunningServer, run_server
from prometheus_client.parser import text_string_to_metric_families

COMMIT = "c0ffee" + "0" * 34


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("adapters")
    with run_server(home, tiny_models(), "--api-only", MODEL_CACHE_DIR=str(home / "models")) as server:
        yield server


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path]) -> list[Path]:
    root = tmp_path_factory.mktemp("adapter-files")
    return [write_adapter(tiny_models(), root / f"{seed}", seed=seed, rank=4 + 4 * seed) for seed in range(2)]


def body(name: str, adapter: Path, **fields: Any) -> dict[str, Any]:
    return {"name": name, "base_model": "default", "adapter_path": str(adapter), **fields}


def put(server: RunningServer, name: str, document: dict[str, Any]) -> httpx.Response:
    return httpx.put(f"{server.base_url}/admin/models/{name}", json=document, timeout=60)


def say(server: RunningServer, model: str) -> str:
    response = server.chat("Which animal is it?", model=model, max_tokens=12, ignore_eos=True)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["message"]["content"]


def listed(server: RunningServer, name: str) -> dict[str, Any]:
    return server.get("/admin/models").json()["models"][name]


def test_put_creates_then_replaces_and_says_which(served: RunningServer, adapters: list[Path]) -> None:
    created = put(served, "team/bee", body("team/bee", adapters[0], model_id="1"))
    first = say(served, "team/bee")
    same = put(served, "team/bee", body("team/bee", adapters[0], model_id="1"))
    replaced = put(served, "team/bee", body("team/bee", adapters[1], model_id="2"))
    second = say(served, "team/bee")

    assert [created.status_code, same.status_code, replaced.status_code] == [201, 200, 200]
    assert replaced.json()["name"] == "team/bee"
    assert replaced.json()["model_id"] == "2"
    assert first != second
    served.wait_until(lambda it: listed(it, "team/bee")["loaded"])
    assert listed(served, "team/bee")["shares_batch"] is True
    assert listed(served, "team/bee")["adapter_path"] == str(adapters[1])
    put(served, "team/bee", body("team/bee", adapters[0]))
    assert say(served, "team/bee") == first


@pytest.mark.parametrize(
    ("name", "changes", "status", "param"),
    [
        ("bee", {"name": "wasp"}, 400, "name"),
        ("default", {"name": "default"}, 400, "name"),
        ("mlx-hub/demo", {"name": "mlx-hub/demo"}, 409, "name"),
        ("bee", {"base_model": "nobody/nothing"}, 404, "base_model"),
        ("bee", {"adapter_path": "/nonexistent/adapter"}, 404, "adapter_path"),
        ("bee", {"adapter_path": None}, 400, "adapter_path"),
        ("bee", {"base_model": None}, 400, "base_model"),
    ],
)
def test_a_bad_replacement_is_refused_as_a_bad_registration_is(
    served: RunningServer, adapters: list[Path], name: str, changes: dict[str, Any], status: int, param: str
) -> None:
    response = put(served, name, {**body("bee", adapters[0]), **changes})

    assert (response.status_code, response.json()["error"]["param"]) == (status, param)


def test_a_failed_replacement_leaves_what_was_served(served: RunningServer, adapters: list[Path], tmp_path: Path) -> None:
    put(served, "steady", body("steady", adapters[0]))
    before = say(served, "steady")
    broken = shutil.copytree(adapters[1], tmp_path / "broken")
    (broken / "adapters.safetensors").write_bytes(b"nothing")

    assert put(served, "steady", body("steady", broken)).status_code == 400
    assert say(served, "steady") == before


def test_no_request_fails_or_gets_a_mixture_while_a_name_is_replaced(served: RunningServer, adapters: list[Path]) -> None:
    texts: list[str] = []
    for adapter in adapters:
        put(served, "busy", body("busy", adapter))
        texts.append(say(served, "busy"))
    answers, is_over = list[str](), threading.Event()
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            while not is_over.is_set():
                answers.append(say(served, "busy"))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    statuses = [put(served, "busy", body("busy", adapters[number % 2])).status_code for number in range(20)]
    is_over.set()
    for thread in threads:
        thread.join(60)

    assert not failures
    assert statuses == [200] * 20
    assert len(answers) >= 4
    assert set(answers) <= set(texts)
    assert say(served, "busy") == texts[1]


def test_a_stream_that_runs_ends_on_the_adapter_it_began_with(served: RunningServer, adapters: list[Path]) -> None:
    put(served, "long", body("long", adapters[0]))
    expected = served.post("/v1/completions", completion(400)).json()["choices"][0]["text"]
    pieces: list[str] = []
    with httpx.stream(
        "POST", f"{served.base_url}/v1/completions", json={**completion(400), "stream": True}, timeout=60
    ) as stream:
        lines = (line.removeprefix("data: ") for line in stream.iter_lines() if line.startswith("data: {"))
        pieces.append(next(lines))
        assert put(served, "long", body("long", adapters[1])).status_code == 200
        other = served.post("/v1/completions", completion(20)).json()["choices"][0]["text"]
        pieces += lines

    text = "".join(json.loads(piece)["choices"][0]["text"] for piece in pieces)
    assert text == expected
    assert not expected.startswith(other)


def completion(max_tokens: int) -> dict[str, Any]:
    return {"model": "long", "prompt": "Once upon a time", "max_tokens": max_tokens, "ignore_eos": True, "temperature": 0}


def test_health_metrics_and_list_tell_which_adapter_lies_on_which_base(
    served: RunningServer, adapters: list[Path], tmp_path: Path
) -> None:
    put(served, "seen", body("seen", shutil.copytree(adapters[0], tmp_path / "seen")))
    say(served, "seen")
    base = listed(served, "seen")["base"]
    served.wait_until(lambda it: listed(it, "seen")["loaded"] and listed(it, base)["loaded"])

    resident = {model["name"]: model for model in served.get("/admin/health").json()["resident_models"]}
    families = text_string_to_metric_families(served.get("/metrics").text)
    weights = {
        (sample.labels["model"], sample.labels["base"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name == "mlx_model_weight_bytes"
    }

    assert (resident["seen"]["base"], resident["seen"]["shares_batch"]) == (base, True)
    assert (resident[base]["base"], resident[base]["adapter_path"]) == (None, None)
    assert weights["seen", base] == listed(served, "seen")["weight_bytes"] < weights[base, ""] / 10
    assert served.request("DELETE", "/admin/models/seen").status_code == 200
    served.wait_until(lambda it: "seen" not in {model["name"] for model in it.get("/admin/health").json()["resident_models"]})
    assert listed(served, base)["loaded"]


@pytest.mark.parametrize("name", ["local/my-model-4bit", "mlx-community/Tiny-3.5-8bit"])
def test_a_model_that_the_backend_publishes_is_served_at_once(
    served: RunningServer, tiny_models: Callable[..., Path], name: str
) -> None:
    assert served.chat("Hi", model=name, max_tokens=2).status_code == 404
    folder = served.home / "models" / f"models--{name.replace('/', '--')}"
    (folder / "snapshots").mkdir(parents=True)
    partial = shutil.copytree(tiny_models(bits=4), served.home / "models" / ".partial" / name.replace("/", "-"))
    partial.rename(folder / "snapshots" / COMMIT)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)

    answer = served.chat("Hi", model=name, max_tokens=2)

    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == name
    assert served.get(f"/v1/models/{name}").json()["quantization"] == "4-bit"
    served.wait_until(lambda it: listed(it, name)["loaded"])


def test_an_adapter_on_a_published_model_names_its_base(
    served: RunningServer, tiny_models: Callable[..., Path], adapters: list[Path]
) -> None:
    folder = served.home / "models" / "models--local--full"
    shutil.copytree(tiny_models(), folder / "snapshots" / COMMIT)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)

    assert put(served, "on-full", {**body("on-full", adapters[0]), "base_model": "local/full"}).status_code == 201
    say(served, "on-full")

    served.wait_until(lambda it: listed(it, "on-full")["loaded"] and listed(it, "local/full")["loaded"])
    resident = {model["name"]: model["base"] for model in served.get("/admin/health").json()["resident_models"]}
    assert resident["on-full"] == "local/full"
