"""One streaming chat request, timed where a user would see it: as text arrives at the client."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx

REQUEST_SECONDS = 300


@dataclass(slots=True)
class Answer:
    """Times are `time.perf_counter()` seconds; `text_times` has one for each piece of text that arrived."""

    sent_at: float
    text_times: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    finished_at: float = 0

    @property
    def ttft_seconds(self) -> float:
        return self.text_times[0] - self.sent_at


@dataclass(frozen=True, slots=True)
class Prompt:
    system: str
    user: str
    adapter: str | None = None
    """Folder of an adapter, in the way `mlx_lm.server` is told of it."""

    def body(self, model: str, max_tokens: int) -> dict[str, Any]:
        messages = [{"role": "system", "content": self.system}] if self.system else []
        return {
            "model": model,
            "messages": [*messages, {"role": "user", "content": self.user}],
            "max_tokens": max_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **({"adapters": self.adapter} if self.adapter else {}),
        }


def http_client(url: str) -> httpx.AsyncClient:
    """A client without connection reuse between requests, the way independent users come."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=url, timeout=REQUEST_SECONDS, limits=limits)


async def chat(client: httpx.AsyncClient, model: str, prompt: Prompt, *, max_tokens: int, answer: Answer | None = None) -> Answer:
    """Stream one answer to its end; `answer`, if given, is filled while it runs. Raises httpx.HTTPError, RuntimeError."""
    answer = answer or Answer(sent_at=0)
    answer.sent_at = time.perf_counter()
    async with client.stream("POST", "/v1/chat/completions", json=prompt.body(model, max_tokens)) as response:
        if response.is_error:
            raise RuntimeError(f"{response.status_code}: {(await response.aread()).decode()[:300]}")
        async for event in _events(response):
            _note(event, answer)
    answer.finished_at = time.perf_counter()
    if not answer.text_times:
        raise RuntimeError("the answer had no text")
    return answer


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in response.aiter_lines():
        if line.startswith("data: ") and line != "data: [DONE]":
            yield json.loads(line[6:])


def _note(event: dict[str, Any], answer: Answer) -> None:
    if "error" in event:
        raise RuntimeError(str(event["error"]))
    if any(choice["delta"].get("content") for choice in event.get("choices", [])):
        answer.text_times.append(time.perf_counter())
    if usage := event.get("usage"):
        answer.prompt_tokens = usage["prompt_tokens"]
        answer.completion_tokens = usage["completion_tokens"]
        answer.cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
