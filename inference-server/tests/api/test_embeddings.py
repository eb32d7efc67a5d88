"""`/v1/embeddings` with the official client: shapes, encodings, dimensions, batches, and texts that are none."""

import asyncio
import base64
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import mlx.core as mx
import mlx_lm
import numpy as np
import openai
import pytest
from fixtures.server import RunningServer, run_server
from openai import AsyncOpenAI, OpenAI

TEXTS = ["The tiger sleeps.", "A lion eats.", "große 🐅"]


def embed(client: OpenAI, texts: object, **fields: object) -> np.ndarray:
    answer = client.embeddings.create(model="default", input=texts, **fields)
    assert [each.index for each in answer.data] == list(range(len(answer.data)))
    return np.array([each.embedding for each in answer.data], np.float32)


def test_a_batch_gives_each_text_its_vector_of_length_one(client: OpenAI) -> None:
    together = embed(client, TEXTS)

    assert together.shape == (3, 64)
    assert np.linalg.norm(together, axis=-1) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(together, np.concatenate([embed(client, text) for text in TEXTS]))
    assert np.abs(together[0] - together[1]).max() > 0.01


def test_an_embedding_is_mlx_lms_state_of_the_last_token(client: OpenAI, tiny_models: Callable[..., Path]) -> None:
    model, tokenizer = mlx_lm.load(str(tiny_models()))[:2]
    state = np.array(model.model(mx.array([tokenizer.encode(TEXTS[0])]))[0, -1])

    (vector,) = embed(client, TEXTS[0])

    assert vector == pytest.approx(state / np.linalg.norm(state), abs=1e-3)


def test_floats_and_base64_are_the_same_numbers(client: OpenAI, server: RunningServer) -> None:
    answer = server.post("/v1/embeddings", {"input": TEXTS[0], "encoding_format": "base64"}).json()
    plain = server.post("/v1/embeddings", {"input": TEXTS[0]}).json()

    raw = np.frombuffer(base64.b64decode(answer["data"][0]["embedding"]), "<f4")
    assert np.array_equal(raw, np.array(plain["data"][0]["embedding"], np.float32))
    assert np.array_equal(raw, embed(client, TEXTS[0], encoding_format="float")[0])
    assert (plain["object"], plain["data"][0]["object"]) == ("list", "embedding")
    assert plain["usage"]["prompt_tokens"] == plain["usage"]["total_tokens"] > 0


def test_fewer_dimensions_are_the_first_ones_at_length_one(client: OpenAI) -> None:
    (whole,) = embed(client, TEXTS[0])

    (short,) = embed(client, TEXTS[0], dimensions=10)

    assert short == pytest.approx(whole[:10] / np.linalg.norm(whole[:10]), abs=1e-6)
    assert np.array_equal(embed(client, TEXTS[0], dimensions=64)[0], whole)


def test_texts_may_be_token_ids(client: OpenAI, server: RunningServer) -> None:
    ids = [server.post("/tokenize", {"prompt": text}).json()["tokens"] for text in TEXTS]

    assert np.array_equal(embed(client, ids), embed(client, TEXTS))
    assert np.array_equal(embed(client, ids[0]), embed(client, TEXTS[0]))


def test_many_texts_are_embedded_while_answers_run(server: RunningServer, client: OpenAI) -> None:
    texts = [f"text number {number}" for number in range(100)]
    expected = embed(client, texts)

    async def both() -> tuple[list[str], np.ndarray]:
        async with AsyncOpenAI(base_url=f"{server.base_url}/v1", api_key="unused", max_retries=0) as async_client:
            chat = async_client.chat.completions.create(
                model="default", messages=[{"role": "user", "content": "Count."}], max_tokens=100, extra_body={"ignore_eos": True}
            )
            vectors = async_client.embeddings.create(model="default", input=texts)
            answer, embedded = await asyncio.gather(chat, vectors)
            return [answer.choices[0].finish_reason], np.array([each.embedding for each in embedded.data], np.float32)

    reasons, vectors = asyncio.run(both())

    assert reasons == ["length"]
    assert np.array_equal(vectors, expected)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": ["a", 5]}, "input"),
        ({"input": [-1]}, "input"),
        ({"input": [2100]}, "input"),
        ({"input": [2**40]}, "input"),
        ({"input": None}, "input"),
        ({"input": {"a": 1}}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": [40] * 32_769}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 65}, "dimensions"),
        ({"dimensions": 1.5}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"model": 5}, "model"),
        ({"user": 5}, "user"),
        ({"timeout": -1}, "timeout"),
        ({"normalize": True}, "normalize"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_fields_are_named(server: RunningServer, fields: dict[str, object], param: str) -> None:
    response = server.post("/v1/embeddings", {"input": "x", **fields})

    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"].startswith(param)


def test_an_unknown_model_is_a_404(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="no/such-model", input="a")

    assert caught.value.code == "model_not_found"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    """A server with models whose files say how to pool their states, two of which need what is not done here."""
    home = tmp_path_factory.mktemp("zoo")
    root = home / ".cache" / "mlx-hub"
    for name in ("mean", "cls", "both-ways"):
        shutil.copytree(tiny_models(), root / name)
    for name, mode in (("mean", "mean_tokens"), ("cls", "cls_token")):
        (root / name / "1_Pooling").mkdir()
        config = '{"pooling_mode_MODE": true, "pooling_mode_max_tokens": false}'.replace("MODE", mode)
        (root / name / "1_Pooling" / "config.json").write_text(config)
    config = (root / "both-ways" / "config.json").read_text()
    (root / "both-ways" / "config.json").write_text(config.replace("{", '{"use_bidirectional_attention": true,', 1))
    shutil.copytree(tiny_models(max_position_embeddings=64), root / "short")
    with run_server(home, tiny_models()) as server:
        yield server


def test_states_are_pooled_as_the_models_files_say(zoo: RunningServer, tiny_models: Callable[..., Path]) -> None:
    model, tokenizer = mlx_lm.load(str(tiny_models()))[:2]
    mean = np.array(model.model(mx.array([tokenizer.encode(TEXTS[0])]))[0].mean(axis=0))

    answer = zoo.post("/v1/embeddings", {"model": "mean", "input": TEXTS[0]})

    assert answer.json()["data"][0]["embedding"] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-3)


@pytest.mark.parametrize("name", ["cls", "both-ways"])
def test_a_model_that_cannot_be_used_so_is_refused_by_name(zoo: RunningServer, name: str) -> None:
    response = zoo.post("/v1/embeddings", {"model": name, "input": "a"})

    assert response.status_code == 400
    assert (response.json()["error"]["param"], response.json()["error"]["code"]) == ("model", "unsupported_field")
    assert zoo.get(f"/v1/models/{name}").json()["abilities"]["embeddings"] is False
    assert zoo.get("/v1/models/mean").json()["abilities"]["embeddings"] is True


def test_a_text_may_fill_the_context_but_not_exceed_it(zoo: RunningServer) -> None:
    full = [40] * 64
    scored = {"model": "short", "echo": True, "logprobs": 1}

    assert zoo.post("/v1/embeddings", {"model": "short", "input": full}).status_code == 200
    assert zoo.post("/v1/completions", {**scored, "prompt": full, "max_tokens": 0}).status_code == 200
    refused = [
        zoo.post("/v1/embeddings", {"model": "short", "input": [*full, 40]}),
        zoo.post("/v1/completions", {**scored, "prompt": full, "max_tokens": 1}),
        zoo.post("/v1/completions", {**scored, "prompt": [*full, 40], "max_tokens": 0}),
    ]
    assert [response.json()["error"]["code"] for response in refused] == ["context_length_exceeded"] * 3
