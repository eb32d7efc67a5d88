"""Requests of every kind in one running batch: each gets what it gets alone."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from fixtures.adapters import write_adapter
from fixtures.server import RunningServer, run_server
from openai import OpenAI

_WORDS = {"type": "array", "items": {"type": "string", "maxLength": 4}, "minItems": 12, "maxItems": 15}
_LIST: dict[str, Any] = {"type": "object", "properties": {"words": _WORDS}, "required": ["words"], "additionalProperties": False}
SCHEMA = {"response_format": {"type": "json_schema", "json_schema": {"name": "words", "schema": _LIST, "strict": True}}}
TOOLS = {
    "tools": [{"type": "function", "function": {"name": "keep", "parameters": _LIST, "strict": True}}],
    "tool_choice": "required",
    "parallel_tool_calls": False,
}
FREE = {"extra_body": {"ignore_eos": True}}
SEEDED = {"temperature": 1.0, "seed": 7}
SCORED = {"logprobs": True, "top_logprobs": 3}
KINDS: dict[str, dict[str, Any]] = {
    "free": FREE,
    "seeded": {**FREE, **SEEDED, "top_p": 0.9},
    "two choices": {**FREE, **SEEDED, "n": 2},
    "penalties": {**FREE, "presence_penalty": 1.0, "frequency_penalty": 0.5, "logit_bias": {"40": 5}},
    "logprobs": {**FREE, **SCORED},
    "schema": SCHEMA,
    "seeded schema with logprobs": {**SCHEMA, **SEEDED, **SCORED},
    "tools": TOOLS,
    "seeded tools": {**TOOLS, **SEEDED},
    "first adapter": {**FREE, "model": "first"},
    "second adapter": {**FREE, "model": "second", **SCORED},
    "schema of the first adapter": {**SCHEMA, **SEEDED, "model": "first"},
    "tools of the second adapter": {**TOOLS, "model": "second"},
    "regex of the second adapter": {"extra_body": {"structured_outputs": {"regex": "[a-z ]{90,}"}}, "model": "second", **SEEDED},
}


@dataclass
class Told:
    """A streamed answer put together, by choice where there may be several."""

    began_at: float = 0.0
    ended_at: float = 0.0
    texts: dict[int, str] = field(default_factory=dict)
    calls: dict[int, str] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    def outcome(self) -> tuple[object, ...]:
        return self.texts, self.calls, self.reasons, self.tokens


def ask(client: OpenAI, kind: str, barrier: Barrier | None = None) -> Told:
    fields = {"model": "default", "max_tokens": 200, **KINDS[kind]}
    told = Told()
    if barrier is not None:
        barrier.wait(60)
    messages = [{"role": "user", "content": f"Tell me something {kind}."}]
    for chunk in client.chat.completions.create(messages=messages, stream=True, **fields):
        told.ended_at = time.monotonic()
        told.began_at = told.began_at or told.ended_at
        for choice in chunk.choices:
            told.texts[choice.index] = told.texts.get(choice.index, "") + (choice.delta.content or "")
            for call in choice.delta.tool_calls or ():
                text = (call.function.name or "") + (call.function.arguments or "")
                told.calls[choice.index] = told.calls.get(choice.index, "") + text
            if choice.finish_reason:
                told.reasons[choice.index] = choice.finish_reason
            for entry in (choice.logprobs and choice.logprobs.content) or ():
                told.tokens += [entry.token, *(top.token for top in entry.top_logprobs)]
                told.logprobs += [entry.logprob, *(top.logprob for top in entry.top_logprobs)]
    return told


@pytest.fixture(scope="module")
def uncached(tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    """A server with two adapters on its model. What one request leaves in the prompt cache would be another's start."""
    home = tmp_path_factory.mktemp("mixed")
    with run_server(home, tiny_models(), MLX_PROMPT_CACHE_ENABLED="false", MLX_MAX_BATCH_SIZE="32") as server:
        for seed, name in enumerate(("first", "second")):
            adapter = write_adapter(tiny_models(), home / name, seed=seed, rank=4 + 4 * seed)
            body = {"name": name, "base_model": "default", "adapter_path": str(adapter)}
            assert server.post("/admin/models/register", body).status_code == 201
        yield server


def test_side_by_side_each_gets_what_it_gets_alone(uncached: RunningServer) -> None:
    with OpenAI(base_url=f"{uncached.base_url}/v1", api_key="unused", max_retries=0, timeout=60) as client:
        alone = {kind: ask(client, kind) for kind in KINDS}

        barrier = Barrier(len(KINDS))
        with ThreadPoolExecutor(len(KINDS)) as pool:
            together = dict(zip(KINDS, pool.map(lambda kind: ask(client, kind, barrier), KINDS), strict=True))

    assert max(told.began_at for told in together.values()) < min(told.ended_at for told in together.values())
    for kind in KINDS:
        assert together[kind].outcome() == alone[kind].outcome(), kind
        assert together[kind].logprobs == pytest.approx(alone[kind].logprobs, abs=1e-4), kind
        assert bool(alone[kind].calls) == ("tools" in KINDS[kind])
        assert bool(alone[kind].logprobs) == ("logprobs" in KINDS[kind])
    assert len({str(alone[kind].texts) for kind in ("free", "first adapter", "second adapter")}) == 3
