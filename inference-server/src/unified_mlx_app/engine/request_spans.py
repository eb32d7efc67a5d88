"""The spans of a request's time in the engine, written by the API process from what the engine's events tell of it.

The engine itself knows nothing of traces: it measures a few durations. Event loop thread only.
"""

import time
from typing import Literal

from unified_mlx_app.engine.messages import Chunk, Finished, Generate, Started
from unified_mlx_app.observability.tracing import Span, Value, current_span
from unified_mlx_app.types import CacheReport

Operation = Literal["chat", "text_completion", "embeddings"]

_NANOSECONDS = 1_000_000_000


class RequestSpans:
    """Of one request, from now on: under the current span, or none at all when nothing is traced."""

    def __init__(self, command: Generate, operation: Operation) -> None:
        parent = current_span()
        self._start_ns = time.time_ns()
        self._command = command
        self._span = parent and parent.child(
            f"{operation} {command.model.name}",
            attributes={
                "gen_ai.operation.name": operation,
                "gen_ai.provider.name": "mlx",
                "gen_ai.request.model": command.model.name,
                "gen_ai.request.max_tokens": command.sampling.max_tokens,
                "gen_ai.request.choice.count": command.num_choices,
                "gen_ai.usage.input_tokens": len(command.prompt),
            },
            start_ns=self._start_ns,
        )
        self._started: Started | None = None
        self._first_at_ns: int | None = None
        self._num_tokens = 0
        self._finished: list[Finished] = []

    def see(self, event: object) -> None:
        """What the engine said of the request."""
        if self._span is None:
            return
        match event:
            case Started():
                self._started = event
            case Chunk(token_ids=token_ids):
                self._first_at_ns = self._first_at_ns or time.time_ns()
                self._num_tokens += len(token_ids)
            case Finished():
                self._finished.append(event)
            case _:
                pass

    def fail(self, error_type: str) -> None:
        if self._span is not None:
            self._span.fail(error_type)

    def end(self) -> None:
        """Writes all of it; of a request that was left or failed as far as it came."""
        if (span := self._span) is None:
            return
        now = time.time_ns()
        started = self._started
        if started is None:
            span.child("queue", start_ns=self._start_ns).end(now)
        else:
            self._write_phases(span, started, now)
            span.note(self._usage(started.cache))
        span.end(now)

    def _write_phases(self, span: Span, started: Started, now: int) -> None:
        """The engine's durations, laid end to end from where the request was sent: two processes need no common clock."""
        at = self._start_ns
        waited_seconds = started.queue_seconds - started.lookup_seconds - started.restore_seconds
        at = _phase(span, "queue", at, waited_seconds, now)
        cache = _cache_attributes(started.cache)
        at = _phase(span, "cache look-up", at, started.lookup_seconds, now, cache)
        if started.restore_seconds:
            at = _phase(span, "restore", at, started.restore_seconds, now, {"mlx.cache.tier": "disk"})
        computed = len(self._command.prompt) - started.cache.cached_tokens
        prefill: dict[str, Value] = {"mlx.prefill.computed_tokens": computed}
        decodes = [finished for finished in self._finished if finished.decode_seconds]
        if decodes:
            at = _phase(span, "prefill", at, decodes[0].prefill_seconds, now, prefill)
            decode: dict[str, Value] = {"gen_ai.usage.output_tokens": self._num_tokens}
            _phase(span, "decode", at, max(finished.decode_seconds for finished in decodes), now, decode)
            return
        # It was left, it failed, or it wanted no answer: then only this process's clock tells when a phase ended.
        prefilled_at = max(at, self._first_at_ns or now)
        _phase(span, "prefill", at, (prefilled_at - at) / _NANOSECONDS, now, prefill)
        if self._num_tokens:
            _phase(span, "decode", prefilled_at, (now - prefilled_at) / _NANOSECONDS, now)

    def _usage(self, cache: CacheReport) -> dict[str, Value]:
        noted: dict[str, Value] = {
            **_cache_attributes(cache),
            "gen_ai.usage.cache_read.input_tokens": cache.cached_tokens,
            "gen_ai.usage.output_tokens": self._num_tokens,
        }
        if self._finished:
            noted["gen_ai.response.finish_reasons"] = [finished.reason for finished in self._finished]
        if self._first_at_ns is not None:
            noted["gen_ai.response.time_to_first_chunk"] = (self._first_at_ns - self._start_ns) / _NANOSECONDS
        return noted


def _cache_attributes(cache: CacheReport) -> dict[str, Value]:
    noted: dict[str, Value] = {"mlx.cache.outcome": cache.outcome, "mlx.cache.cached_tokens": cache.cached_tokens}
    if cache.tier is not None:
        noted["mlx.cache.tier"] = cache.tier
    if cache.miss_reason is not None:
        noted["mlx.cache.miss_reason"] = cache.miss_reason
    return noted


def _phase(
    span: Span, name: str, start_ns: int, seconds: float, latest_ns: int, attributes: dict[str, Value] | None = None
) -> int:
    """Adds a part of `span` and gives its end, which is never after `latest_ns`."""
    end_ns = min(start_ns + max(0, int(seconds * _NANOSECONDS)), latest_ns)
    span.child(name, attributes=attributes, start_ns=start_ns).end(end_ns)
    return end_ns
