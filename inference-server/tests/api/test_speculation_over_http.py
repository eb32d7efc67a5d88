"""Guessing ahead as clients and operators see it: fields, usage, metrics, abilities, refusals."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fixtures.engine import poll
from fixtures.server import RunningServer, run_server

QUESTION = [{"role": "user", "content": "Say one two three one two three."}]


@pytest.fixture(scope="module")
def guessing(tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    """A server whose default model looks up, with a smaller model and one with a sliding window in its folder."""
    home = tmp_path_factory.mktemp("guessing")
    for name, folder in {"small": tiny_models(), "sliding": tiny_models("gemma3_text")}.items():
        shutil.copytree(folder, home / "models" / name)
    with run_server(home, tiny_models(), "--api-only", MODEL_CACHE_DIR=str(home / "models"), MLX_PROMPT_LOOKUP="true") as server:
        yield server


def chat(server: RunningServer, **fields: Any) -> dict[str, Any]:
    response = server.post("/v1/chat/completions", {"messages": QUESTION, "max_tokens": 40, **fields})
    assert response.status_code == 200, response.text
    return response.json()


def text_of(answer: dict[str, Any]) -> str:
    return answer["choices"][0]["message"]["content"]


def guesses(answer: dict[str, Any]) -> tuple[int, int]:
    details = answer["usage"]["completion_tokens_details"]
    return details["accepted_prediction_tokens"], details["rejected_prediction_tokens"]


def counted(server: RunningServer, result: str) -> float:
    found = re.findall(rf'mlx_guessed_tokens_total{{[^}}]*result="{result}"}} (\S+)', server.get("/metrics").text)
    return sum(map(float, found))


def test_a_prediction_changes_the_speed_of_an_answer_alone(guessing: RunningServer) -> None:
    plain = chat(guessing, speculation="off")
    predicted = chat(guessing, prediction={"type": "content", "content": text_of(plain)})
    parts = [{"type": "text", "text": text_of(plain)[:9]}, {"type": "text", "text": text_of(plain)[9:]}]
    in_parts = chat(guessing, prediction={"type": "content", "content": parts})

    assert guesses(plain) == (0, 0)
    assert text_of(predicted) == text_of(in_parts) == text_of(plain)
    assert guesses(predicted)[0] >= 10
    assert guesses(in_parts) == guesses(predicted)
    assert predicted["usage"]["completion_tokens"] == plain["usage"]["completion_tokens"] == 40


def test_a_stream_tells_the_same_tokens_and_the_same_usage(guessing: RunningServer) -> None:
    client = openai.OpenAI(base_url=f"{guessing.base_url}/v1", api_key="-")
    plain = chat(guessing, speculation="off")
    whole = chat(guessing, prediction={"type": "content", "content": text_of(plain)})

    with client.chat.completions.create(
        model="default",
        messages=QUESTION,  # pyright: ignore[reportArgumentType]
        max_tokens=40,
        prediction={"type": "content", "content": text_of(plain)},
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        chunks = list(stream)

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text_of(plain)
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.accepted_prediction_tokens == guesses(whole)[0]


def test_guesses_are_counted(guessing: RunningServer) -> None:
    before = counted(guessing, "accepted"), counted(guessing, "rejected")

    accepted, rejected = guesses(
        chat(guessing, prediction={"type": "content", "content": text_of(chat(guessing, speculation="off"))})
    )

    assert (counted(guessing, "accepted"), counted(guessing, "rejected")) == (before[0] + accepted, before[1] + rejected)


def test_a_registered_draft_guesses_for_its_model(guessing: RunningServer) -> None:
    config = {"draft_model": "small", "num_draft_tokens": 3}
    registered = guessing.post(
        "/admin/models/register", {"name": "fast", "base_model": "small", "type": "base", "config": config}
    )
    assert registered.status_code == 201, registered.text
    plain = chat(guessing, model="fast", speculation="off")
    assert guessing.post("/admin/models/fast/load").status_code == 200

    answer = poll(lambda: (it := chat(guessing, model="fast")) and guesses(it)[0] and it)

    assert text_of(answer) == text_of(plain)
    completion = guessing.post("/v1/completions", {"model": "fast", "prompt": "One two", "max_tokens": 20})
    assert guesses(completion.json())[0] > 0


@pytest.mark.parametrize(
    ("config", "param", "reason"),
    [
        ({"draft_model": "nobody"}, "config.draft_model", "There is no base model 'nobody'"),
        ({"draft_model": "sliding"}, "config.draft_model", "'sliding' cannot be the draft model of 'small'"),
        ({"num_draft_tokens": 99}, "config.num_draft_tokens", "from 1 to 16"),
    ],
)
def test_a_draft_that_cannot_be_is_refused_when_it_is_registered(
    config: dict[str, Any], param: str, reason: str, guessing: RunningServer
) -> None:
    body = {"name": "refused", "base_model": "small", "type": "base", "config": config}
    for response in (
        guessing.post("/admin/models/register", body),
        httpx.put(f"{guessing.base_url}/admin/models/refused", json=body, timeout=60),
    ):
        error = response.json()["error"]
        assert (response.status_code, error["param"]) == (400, param)
        assert reason in error["message"]


def test_a_model_says_whether_it_can_guess_and_why_not(guessing: RunningServer) -> None:
    abilities = {name: guessing.get(f"/v1/models/{name}").json()["abilities"] for name in ("small", "sliding")}

    assert (abilities["small"]["speculation"], abilities["small"]["no_speculation_reason"]) == (True, None)
    assert abilities["sliding"]["speculation"] is False
    assert "plain KV rows" in abilities["sliding"]["no_speculation_reason"]


@pytest.mark.parametrize("asked", [{"prediction": {"type": "content", "content": "one"}}, {"speculation": "prompt_lookup"}])
def test_a_model_that_cannot_guess_refuses_who_asks_it_to(asked: dict[str, Any], guessing: RunningServer) -> None:
    response = guessing.post("/v1/chat/completions", {"model": "sliding", "messages": QUESTION, "max_tokens": 4, **asked})

    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "unsupported_field")
    assert "RotatingKVCache, from which no token can be taken back" in error["message"]
    assert len(text_of(chat(guessing, model="sliding", max_tokens=4))) > 0


@pytest.mark.parametrize(
    "fields",
    [
        {"prediction": "text"},
        {"prediction": {"type": "content"}},
        {"prediction": {"type": "other", "content": "x"}},
        {"prediction": {"type": "content", "content": [{"type": "image_url"}]}},
        {"prediction": {"type": "content", "content": "x"}, "n": 2},
        {"prediction": {"type": "content", "content": "x"}, "speculation": "off"},
        {"speculation": "on"},
        {"speculation": 1},
    ],
)
def test_bad_fields_are_named(fields: dict[str, Any], guessing: RunningServer) -> None:
    response = guessing.post("/v1/chat/completions", {"messages": QUESTION, "max_tokens": 4, **fields})

    assert response.status_code == 400
    assert response.json()["error"]["param"].split(".")[0] in fields


def test_an_empty_prediction_is_none(guessing: RunningServer) -> None:
    for content in ("", []):
        assert text_of(chat(guessing, prediction={"type": "content", "content": content}, max_tokens=4))
