"""`/tokenize`, `/detokenize` and what `/v1/models` tells of a model."""

from collections.abc import Callable, Iterator
from pathlib import Path

import mlx_lm
import pytest
from fixtures.server import RunningServer, run_server
from openai import OpenAI

TEXT = "The tiger: große 🐅 <|im_end|>"
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(scope="module")
def tokenizer(tiny_models: Callable[..., Path]) -> object:
    return mlx_lm.load(str(tiny_models()))[1]


def test_a_text_has_the_tokens_that_the_models_tokenizer_gives(server: RunningServer, tokenizer: object) -> None:
    answer = server.post("/tokenize", {"prompt": TEXT, "return_token_strs": True}).json()

    assert answer["tokens"] == tokenizer.encode(TEXT)
    assert answer["count"] == len(answer["tokens"])
    assert answer["max_model_len"] == 32_768
    assert answer["token_strs"] == tokenizer.convert_ids_to_tokens(answer["tokens"])
    assert server.post("/tokenize", {"prompt": "", "add_special_tokens": False}).json()["tokens"] == []


def test_tokens_become_the_text_again(server: RunningServer) -> None:
    tokens = server.post("/tokenize", {"prompt": TEXT}).json()["tokens"]

    assert server.post("/detokenize", {"tokens": tokens}).json() == {"prompt": TEXT}
    assert server.post("/detokenize", {"tokens": []}).json() == {"prompt": ""}


def test_a_conversation_has_the_tokens_of_its_template(server: RunningServer, tokenizer: object, client: OpenAI) -> None:
    asking = server.post("/tokenize", {"messages": CHAT}).json()
    silent = server.post("/tokenize", {"messages": CHAT, "add_generation_prompt": False}).json()

    assert asking["tokens"] == tokenizer.apply_chat_template(CHAT, add_generation_prompt=True, return_dict=False)
    assert silent["tokens"] == tokenizer.apply_chat_template(CHAT, add_generation_prompt=False, return_dict=False)
    answer = client.chat.completions.create(model="default", messages=CHAT, max_tokens=1)
    assert answer.usage.prompt_tokens == asking["count"]


def test_tools_count_as_they_do_in_a_chat(server: RunningServer, client: OpenAI) -> None:
    with_tools = server.post("/tokenize", {"messages": CHAT, "tools": [WEATHER]}).json()

    answer = client.chat.completions.create(model="default", messages=CHAT, tools=[WEATHER], max_tokens=1)

    assert answer.usage.prompt_tokens == with_tools["count"] > server.post("/tokenize", {"messages": CHAT}).json()["count"]


def test_tokens_of_a_tokenized_text_are_a_prompt(server: RunningServer, client: OpenAI) -> None:
    tokens = server.post("/tokenize", {"prompt": "The tiger"}).json()["tokens"]
    by_text = client.completions.create(model="default", prompt="The tiger", max_tokens=5, temperature=0)

    by_ids = client.completions.create(model="default", prompt=tokens, max_tokens=5, temperature=0)

    assert by_ids.choices[0].text == by_text.choices[0].text


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": "a", "messages": CHAT}, "prompt"),
        ("/tokenize", {"prompt": 5}, "prompt"),
        ("/tokenize", {"prompt": ["a"]}, "prompt"),
        ("/tokenize", {"messages": []}, "messages"),
        ("/tokenize", {"messages": [{"role": "pirate", "content": "x"}]}, "messages[0].role"),
        ("/tokenize", {"messages": CHAT, "add_special_tokens": True}, "add_special_tokens"),
        ("/tokenize", {"prompt": "a", "tools": [WEATHER]}, "tools"),
        ("/tokenize", {"messages": CHAT, "tools": [{}]}, "tools"),
        ("/tokenize", {"messages": CHAT, "continue_final_message": True}, "continue_final_message"),
        ("/tokenize", {"messages": CHAT, "chat_template": "{{ 1 }}"}, "chat_template"),
        ("/tokenize", {"messages": CHAT, "chat_template_kwargs": {"messages": "x"}}, "chat_template_kwargs"),
        ("/tokenize", {"prompt": "a", "invented": 1}, "invented"),
        ("/tokenize", {"prompt": "a", "model": "no/such"}, "model"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": "a"}, "tokens"),
        ("/detokenize", {"tokens": [-1]}, "tokens"),
        ("/detokenize", {"tokens": [2100]}, "tokens"),
        ("/detokenize", {"tokens": [2**63]}, "tokens"),
        ("/detokenize", {"tokens": [1.0]}, "tokens"),
    ],
)
def test_bad_fields_are_named(server: RunningServer, path: str, body: dict[str, object], param: str) -> None:
    response = server.post(path, body)

    assert response.status_code == (404 if param == "model" else 400), response.text
    assert response.json()["error"]["param"].startswith(param)


# ---------------------------------------------------------------------- models


def test_a_model_tells_what_it_can_do(server: RunningServer, client: OpenAI) -> None:
    listed = server.get("/v1/models").json()["data"]
    name = listed[0]["id"]

    shown = server.get(f"/v1/models/{name}").json()

    assert shown in listed
    assert shown["max_model_len"] == shown["max_context_tokens"] == 32_768
    assert shown["abilities"] == {
        "completion": True,
        "chat": True,
        "tools": True,
        "reasoning": False,
        "structured_output": True,
        "embeddings": True,
        "speculation": True,
        "no_speculation_reason": None,
    }
    assert client.models.retrieve("mlx-hub/demo").id == "mlx-hub/demo"


@pytest.fixture
def thinking_server(tmp_path: Path, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    with run_server(tmp_path, tiny_models(think=True)) as server:
        yield server


def test_abilities_follow_the_models_files(thinking_server: RunningServer, tiny_models: Callable[..., Path]) -> None:
    plain = thinking_server.home / ".cache" / "mlx-hub" / "plain"
    plain.mkdir(parents=True)
    for file in tiny_models().iterdir():
        if file.name != "chat_template.jinja":
            (plain / file.name).write_bytes(file.read_bytes())

    by_name = {model["id"]: model["abilities"] for model in thinking_server.get("/v1/models").json()["data"]}

    assert next(iter(by_name.values()))["reasoning"] is True
    assert (by_name["plain"]["chat"], by_name["plain"]["tools"], by_name["plain"]["completion"]) == (False, False, True)
    refused = thinking_server.post("/tokenize", {"model": "plain", "messages": CHAT})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "messages")
