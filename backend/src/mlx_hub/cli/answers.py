"""A streamed answer of the inference server, measured as the client sees it."""

import json
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from mlx_hub.cli.client import Json, ServiceClient
from mlx_hub.cli.errors import FailedError

_PATH = "/v1/chat/completions"
_MIN_RATE_SECONDS = 0.01
"""Tokens that come within less came together, and have no rate."""


@dataclass(slots=True)
class Answer:
    """What has come so far. Token counts are None until the last chunk; times are seconds since the request was sent."""

    text: str = ""
    model: str = ""
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    cache: str | None = None
    cache_reason: str | None = None
    fallback: str | None = None
    first_token_seconds: float | None = None
    seconds: float = 0.0
    _last_token_seconds: float = field(default=0.0, repr=False)

    @property
    def tokens_per_second(self) -> float | None:
        """While tokens came, the first one not counted: its time is that of the prompt. None for too few."""
        if self.first_token_seconds is None or not self.completion_tokens or self.completion_tokens < 2:
            return None
        spent = self._last_token_seconds - self.first_token_seconds
        return (self.completion_tokens - 1) / spent if spent > _MIN_RATE_SECONDS else None

    def note_text(self, text: str, seconds: float) -> None:
        self.text += text
        self._last_token_seconds = seconds
        if self.first_token_seconds is None:
            self.first_token_seconds = seconds

    def as_json(self) -> Json:
        return {
            "model": self.model,
            "text": self.text,
            "finish_reason": self.finish_reason,
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "completion_tokens": self.completion_tokens,
            "cache": self.cache,
            "cache_reason": self.cache_reason,
            "model_fallback": self.fallback,
            "first_token_seconds": self.first_token_seconds,
            "seconds": self.seconds,
            "tokens_per_second": self.tokens_per_second,
        }


class AnswerStream:
    """Iterating gives the pieces of text as they come; `answer` grows with them."""

    def __init__(self, response: httpx.Response, started: float) -> None:
        self._response = response
        self._started = started
        headers = response.headers
        self.answer = Answer(
            cache=headers.get("x-cache"), cache_reason=headers.get("x-cache-reason"), fallback=headers.get("x-model-fallback")
        )

    def __iter__(self) -> Iterator[str]:
        for event in _events(self._response):
            self._note(event)
            for choice in event["choices"]:
                self.answer.finish_reason = choice["finish_reason"] or self.answer.finish_reason
                if text := choice["delta"].get("content"):
                    self.answer.note_text(text, self._elapsed())
                    yield text
        self.answer.seconds = self._elapsed()

    def _note(self, event: Json) -> None:
        if error := event.get("error"):
            raise FailedError(f"The answer broke off: {error['message']}")
        self.answer.model = event["model"]
        if usage := event.get("usage"):
            self.answer.prompt_tokens = usage["prompt_tokens"]
            self.answer.completion_tokens = usage["completion_tokens"]
            self.answer.cached_tokens = usage["prompt_tokens_details"]["cached_tokens"]

    def _elapsed(self) -> float:
        return time.perf_counter() - self._started


@contextmanager
def stream_answer(client: ServiceClient, messages: list[Json], **options: Any) -> Generator[AnswerStream]:
    """Ask for an answer. Leaving the block early stops the server too."""
    given = {name: value for name, value in options.items() if value is not None}
    body = {"messages": messages, "stream": True, "stream_options": {"include_usage": True}, **given}
    started = time.perf_counter()
    with client.stream("POST", _PATH, body) as response:
        yield AnswerStream(response, started)


def _events(response: httpx.Response) -> Iterator[Json]:
    """Raises FailedError for a stream that ends without its end."""
    for line in response.iter_lines():
        if line == "data: [DONE]":
            return
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
    raise FailedError("The answer broke off: the server closed the connection.")
