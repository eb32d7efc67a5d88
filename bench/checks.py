"""The rows of the conformance table: each sends real requests and says what came of them."""

import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import httpx

Outcome = Literal["pass", "fail", "not offered"]
REQUEST_SECONDS = 60
_NO_ROUTE = (404, 405, 501)
_REFUSED = (400, 422)


@dataclass(frozen=True, slots=True)
class Verdict:
    outcome: Outcome
    detail: str = ""


PASS = Verdict("pass")


def fail(detail: str) -> Verdict:
    return Verdict("fail", detail)


@dataclass(frozen=True, slots=True)
class Target:
    """A running server and the name of its model."""

    url: str
    model: str

    def post(
        self, path: str, body: dict[str, Any] | bytes, *, seconds: float = REQUEST_SECONDS, **headers: str
    ) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps({"model": self.model, **body}).encode()
        return httpx.post(
            self.url + path, content=content, headers={"content-type": "application/json", **headers}, timeout=seconds
        )

    def chat(self, **fields: Any) -> httpx.Response:
        """A chat that is greedy and short unless `fields` say otherwise."""
        messages = [{"role": "user", "content": "Tell me about tigers."}]
        return self.post("/v1/chat/completions", {"messages": messages, "max_tokens": 8, "temperature": 0, **fields})

    def text(self, **fields: Any) -> str:
        return _content(_good(self.chat(**fields)))


class BadAnswerError(Exception):
    """An answer without what the row is about; the text says what came instead."""


def _good(response: httpx.Response) -> dict[str, Any]:
    if response.status_code != 200:
        raise BadAnswerError(f"status {response.status_code}")
    return response.json()


def _content(answer: dict[str, Any]) -> str:
    return answer["choices"][0]["message"]["content"] or ""


def _offered(response: httpx.Response, *, is_route: bool = False) -> Verdict | None:
    """The verdict when the feature is refused as such, so that nobody is misled."""
    if is_route and response.status_code in _NO_ROUTE:
        return Verdict("not offered", "no such route")
    if not is_route and response.status_code in _REFUSED:
        return Verdict("not offered", f"refused with {response.status_code}")
    return None


def _refuses(response: httpx.Response, *statuses: int) -> Verdict:
    if response.status_code in statuses:
        return PASS
    return fail("accepted" if response.status_code == 200 else f"status {response.status_code}")


# ------------------------------------------------------- what a careless server gets wrong


def length_at_cap(target: Target) -> Verdict:
    reason = _good(target.chat(max_tokens=3))["choices"][0]["finish_reason"]
    return PASS if reason == "length" else fail(f"finish_reason {reason}")


def usage_on_hit(target: Target) -> Verdict:
    messages = [{"role": "system", "content": "A rule: be brief. " * 100}, {"role": "user", "content": "Hello?"}]
    cold, hit = (_good(target.chat(messages=messages))["usage"] for _ in range(2))
    if hit["prompt_tokens"] != cold["prompt_tokens"]:
        return fail(f"prompt_tokens {cold['prompt_tokens']}, then {hit['prompt_tokens']}")
    cached = (hit.get("prompt_tokens_details") or {}).get("cached_tokens")
    return PASS if cached else fail("no cached_tokens")


def seed_repeats(target: Target) -> Verdict:
    texts = [target.text(temperature=1, seed=seed, max_tokens=24) for seed in (5, 5, 5, 6)]
    if len(set(texts[:3])) > 1:
        return fail("differs")
    return PASS if texts[3] != texts[0] else fail("another seed gives the same")


def unknown_model(target: Target) -> Verdict:
    return _refuses(target.chat(model="nobody/nothing"), 404, 400)


def negative_temperature(target: Target) -> Verdict:
    return _refuses(target.chat(temperature=-1), *_REFUSED)


def empty_messages(target: Target) -> Verdict:
    return _refuses(target.chat(messages=[]), *_REFUSED)


def prompt_array(target: Target) -> Verdict:
    response = target.post("/v1/completions", {"prompt": ["One", "Two"], "max_tokens": 4, "temperature": 0})
    if verdict := _offered(response, is_route=True) or _offered(response):
        return verdict
    indices = [choice["index"] for choice in _good(response)["choices"]]
    return PASS if indices == [0, 1] else fail(f"choices {indices}")


def max_completion_tokens(target: Target) -> Verdict:
    response = target.post(
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 3, "temperature": 0},
        seconds=20,
    )
    count = _good(response)["usage"]["completion_tokens"]
    return PASS if count == 3 else fail(f"{count} tokens")


_LEAVE_AFTER_SECONDS = 1.0
_MOST_WAIT_SECONDS = 3.0
"""Far above what a free server needs, far below what is left of the answers that were abandoned."""


def disconnect(target: Target) -> Verdict:
    body = {
        "model": target.model,
        "messages": [{"role": "user", "content": "Tell me all."}],
        "max_tokens": 4000,
        "temperature": 1,
    }
    waits = {}
    for name, is_stream in (("stream", True), ("whole answer", False)):
        try:
            with httpx.stream(
                "POST", f"{target.url}/v1/chat/completions", json={**body, "stream": is_stream}, timeout=3
            ) as response:
                for number, _ in enumerate(response.iter_lines()):
                    if number > 20:
                        break
        except httpx.ReadTimeout:
            pass  # So leaves who does not want to wait for a whole answer.
        time.sleep(_LEAVE_AFTER_SECONDS)
        started = time.perf_counter()
        _good(target.chat(max_tokens=1))
        waits[name] = time.perf_counter() - started
    detail = ", ".join(f"{name} {wait:.1f} s" for name, wait in waits.items())
    return Verdict("pass" if max(waits.values()) < _MOST_WAIT_SECONDS else "fail", detail)


def lists_models(target: Target) -> Verdict:
    models = _good(httpx.get(f"{target.url}/v1/models", timeout=REQUEST_SECONDS))["data"]
    return PASS if models else fail("an empty list")


# ------------------------------------------------------------------- fields that are kept


def several_choices(target: Target) -> Verdict:
    response = target.chat(n=2, temperature=1)
    if verdict := _offered(response):
        return verdict
    count = len(_good(response)["choices"])
    return PASS if count == 2 else fail(f"{count} choice")


def logprobs(target: Target) -> Verdict:
    response = target.chat(logprobs=True, top_logprobs=2, max_tokens=3)
    if verdict := _offered(response):
        return verdict
    told = (_good(response)["choices"][0].get("logprobs") or {}).get("content") or []
    if len(told) != 3:
        return fail(f"of {len(told)} tokens")
    return PASS if all(len(each["top_logprobs"]) == 2 for each in told) else fail("without rivals")


def logit_bias(target: Target) -> Verdict:
    response = target.chat(logit_bias={"40": 100}, max_tokens=6)
    if verdict := _offered(response):
        return verdict
    text = _content(_good(response))
    return PASS if text and text == text[0] * 6 else fail("ignored, or not for every token")


def stop_string(target: Target) -> Verdict:
    whole = target.text(max_tokens=12)
    stop = whole[len(whole) // 2 :][:3]
    answer = _good(target.chat(max_tokens=12, stop=[stop]))
    if _content(answer) != whole[: whole.index(stop)]:
        return fail("the text does not end before it")
    return PASS if answer["choices"][0]["finish_reason"] == "stop" else fail("finish_reason")


def stream_usage(target: Target) -> Verdict:
    lines = target.chat(stream=True, stream_options={"include_usage": True}).text.splitlines()
    events = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    if not events or events[-1] != "[DONE]":
        return fail("no [DONE]")
    usage = json.loads(events[-2]).get("usage") or {}
    return PASS if usage.get("completion_tokens") == 8 else fail("no usage at the end")


_PERSON = {
    "type": "object",
    "properties": {"kind": {"enum": ["cat", "dog"]}, "age": {"type": "integer", "minimum": 1, "maximum": 99}},
    "required": ["kind", "age"],
    "additionalProperties": False,
}


def _is_person(text: str) -> bool:
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return set(value) == {"kind", "age"} and value["kind"] in {"cat", "dog"} and 1 <= value["age"] <= 99


def json_schema(target: Target) -> Verdict:
    wanted = {"type": "json_schema", "json_schema": {"name": "pet", "schema": _PERSON, "strict": True}}
    response = target.chat(response_format=wanted, max_tokens=200)
    if verdict := _offered(response):
        return verdict
    return PASS if _is_person(_content(_good(response))) else fail("the answer does not keep to it")


def demanded_call(target: Target) -> Verdict:
    tool = {"type": "function", "function": {"name": "keep", "parameters": _PERSON, "strict": True}}
    response = target.chat(tools=[tool], tool_choice={"type": "function", "function": {"name": "keep"}}, max_tokens=200)
    if verdict := _offered(response):
        return verdict
    calls = _good(response)["choices"][0]["message"].get("tool_calls") or []
    if not calls:
        return fail("no call")
    return PASS if _is_person(calls[0]["function"]["arguments"]) else fail("arguments that do not fit")


def echo_with_logprobs(target: Target) -> Verdict:
    response = target.post(
        "/v1/completions", {"prompt": "Tigers eat", "echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0}
    )
    if verdict := _offered(response, is_route=True) or _offered(response):
        return verdict
    choice = _good(response)["choices"][0]
    told = (choice.get("logprobs") or {}).get("token_logprobs") or []
    if not choice["text"].startswith("Tigers eat"):
        return fail("no echo")
    return PASS if len(told) > 2 and told[0] is None and all(each <= 0 for each in told[1:]) else fail("none of the prompt")


# ------------------------------------------------------------------------------ other APIs


def responses_api(target: Target) -> Verdict:
    response = target.post("/v1/responses", {"input": "Hello", "max_output_tokens": 16})
    if verdict := _offered(response, is_route=True):
        return verdict
    first = _good(response)
    if first["object"] != "response" or not first["output"]:
        return fail("no output")
    chained = target.post("/v1/responses", {"input": "And?", "previous_response_id": first["id"], "max_output_tokens": 16})
    return PASS if chained.status_code == 200 else fail("previous_response_id is not known")


def messages_api(target: Target) -> Verdict:
    body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
    response = target.post("/v1/messages", body)
    if verdict := _offered(response, is_route=True):
        return verdict
    if _good(response)["stop_reason"] not in {"max_tokens", "end_turn"}:
        return fail("stop_reason")
    wrong = target.post("/v1/messages", {**body, "max_tokens": "8"})
    is_shaped = wrong.status_code == 400 and wrong.json().get("type") == "error"
    return PASS if is_shaped else fail(f"a bad field: status {wrong.status_code}, not Anthropic's shape")


def embeddings(target: Target) -> Verdict:
    response = target.post("/v1/embeddings", {"input": ["One", "Two"]})
    if verdict := _offered(response, is_route=True):
        return verdict
    vectors = [each["embedding"] for each in _good(response)["data"]]
    return PASS if len(vectors) == 2 and vectors[0] != vectors[1] else fail("no vectors")


# --------------------------------------------------------------- many at once, and enemies


def together_as_alone(target: Target) -> Verdict:
    questions = [[{"role": "user", "content": f"What is {number}?"}] for number in range(8)]
    alone = [target.text(messages=messages, max_tokens=24) for messages in questions]
    with ThreadPoolExecutor(len(questions)) as pool:
        together = list(pool.map(lambda messages: target.text(messages=messages, max_tokens=24), questions))
    same = sum(first == second for first, second in zip(alone, together, strict=True))
    return Verdict("pass" if same == len(questions) else "fail", f"{same} of {len(questions)}")


def foreign_page(target: Target) -> Verdict:
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    return _refuses(target.post("/v1/chat/completions", body, origin="https://evil.example", host="evil.example"), 400, 403, 421)


def wrong_types(target: Target) -> Verdict:
    message = [{"role": "user", "content": "Hi"}]
    bodies: list[dict[str, Any]] = [
        {"messages": [{"role": {}, "content": "x"}]},
        {"messages": [{"role": "user", "content": 5}]},
        {"messages": message, "temperature": "hot"},
        {"messages": message, "stop": 5},
        {"messages": message, "seed": 2**70},
        {"messages": message, "top_p": 7},
    ]
    statuses = [target.post("/v1/chat/completions", {"max_tokens": 1, **body}).status_code for body in bodies]
    bad = sum(status not in _REFUSED for status in statuses)
    return PASS if not bad else fail(f"{bad} of {len(bodies)} not a 400: {sorted(set(statuses))}")


def deep_json(target: Target) -> Verdict:
    return _refuses(target.post("/v1/chat/completions", b'{"messages": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"), *_REFUSED)


def foreign_token(target: Target) -> Verdict:
    return _refuses(target.chat(logit_bias={"999999999": 5}), *_REFUSED)


def huge_top_k(target: Target) -> Verdict:
    return _refuses(target.chat(top_k=10**9, temperature=1), *_REFUSED, 200)


CHECKS: tuple[tuple[str, Callable[[Target], Verdict]], ...] = (
    ("finish_reason is length at the limit", length_at_cap),
    ("usage on a cache hit", usage_on_hit),
    ("a seed repeats at temperature 1, another differs", seed_repeats),
    ("unknown model refused", unknown_model),
    ("temperature -1 refused", negative_temperature),
    ("empty messages refused", empty_messages),
    ("completions of several prompts", prompt_array),
    ("max_completion_tokens 3", max_completion_tokens),
    ("who leaves frees the server", disconnect),
    ("/v1/models without a Hugging Face cache", lists_models),
    ("n: 2", several_choices),
    ("log-probabilities with rivals", logprobs),
    ("logit_bias", logit_bias),
    ("a stop string ends the text before it", stop_string),
    ("usage and [DONE] at a stream's end", stream_usage),
    ("strict JSON schema", json_schema),
    ("a demanded tool call with strict arguments", demanded_call),
    ("echo with log-probabilities", echo_with_logprobs),
    ("/v1/responses, chained", responses_api),
    ("/v1/messages, errors in Anthropic's shape", messages_api),
    ("/v1/embeddings", embeddings),
    ("8 at once say what each says alone", together_as_alone),
    ("a foreign web page is refused", foreign_page),
    ("wrong types and ranges refused", wrong_types),
    ("top_k 1e9 harms nobody", huge_top_k),
    ("JSON 200,000 levels deep refused", deep_json),
    ("logit_bias of an unknown token refused", foreign_token),
)


def without_paths(text: str) -> str:
    """Words of others, in one short line that names no folder of this machine."""
    return re.sub(r"/[\w./-]+", "…", " ".join(text.split()))[:200]
