"""Repeated deterministic requests answered from memory, when that is switched on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fixtures.server import RunningServer, run_server


@pytest.fixture(scope="module")
def caching_server(tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("caching")
    with run_server(home, tiny_models(), MLX_RESPONSE_CACHE_ENABLED="true", MLX_RESPONSE_CACHE_MAX_ENTRIES="3") as server:
        yield server


@pytest.mark.parametrize(
    "fields",
    [{"temperature": 0}, {"temperature": 1, "seed": 5}, {"logprobs": True, "top_logprobs": 2}, {"logit_bias": {"5": 1, "3": 2}}],
)
def test_a_repeated_request_is_replayed_with_correct_usage(caching_server: RunningServer, fields: dict[str, object]) -> None:
    first = caching_server.chat("Tell me", max_tokens=9, n=2, **fields)

    second = caching_server.chat("Tell me", max_tokens=9, n=2, **fields)

    assert "x-response-cache" not in first.headers
    assert second.headers["x-response-cache"] == "hit"
    assert second.json()["choices"] == first.json()["choices"]
    usage, replayed = first.json()["usage"], second.json()["usage"]
    assert replayed["prompt_tokens"] == usage["prompt_tokens"]
    assert replayed["completion_tokens"] == usage["completion_tokens"]
    assert replayed["prompt_tokens_details"]["cached_tokens"] == usage["prompt_tokens"]
    assert second.json()["id"] != first.json()["id"]


def test_streams_and_whole_answers_share_one_entry(caching_server: RunningServer) -> None:
    whole = caching_server.chat("Share this", max_tokens=7)

    streamed = caching_server.chat("Share this", max_tokens=7, stream=True)

    assert streamed.headers["x-response-cache"] == "hit"
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert whole.json()["choices"][0]["finish_reason"] in streamed.text


@pytest.mark.parametrize("other", [{"max_tokens": 6}, {"stop": "x"}, {"top_k": 3}, {"n": 2}, {"logit_bias": {"5": 1}}])
def test_another_request_is_another_answer(caching_server: RunningServer, other: dict[str, object]) -> None:
    caching_server.chat("Differ", max_tokens=5)

    response = caching_server.chat("Differ", **{"max_tokens": 5, **other})

    assert "x-response-cache" not in response.headers


def test_sampled_requests_without_a_seed_are_never_replayed(caching_server: RunningServer) -> None:
    for _ in range(2):
        assert "x-response-cache" not in caching_server.chat("Sample", temperature=1, max_tokens=5).headers


def test_the_least_recently_used_answer_goes_first(caching_server: RunningServer) -> None:
    for content in ("one", "two", "three", "one", "four"):
        caching_server.chat(content, max_tokens=2)

    assert caching_server.chat("one", max_tokens=2).headers.get("x-response-cache") == "hit"
    assert "x-response-cache" not in caching_server.chat("two", max_tokens=2).headers


def test_it_is_off_unless_switched_on(server: RunningServer) -> None:
    for _ in range(2):
        assert "x-response-cache" not in server.chat("Off by default", max_tokens=2).headers
