"""What is measured against one running server; every function takes the server as its users see it."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import httpx
from client import Answer, Prompt, chat, http_client
from servers import Server
from workload import QUESTIONS, Workload

_STREAM_TOKENS = 64
_BACKGROUND_TOKENS = 2000
_TTFT_TOKENS = 4


@dataclass(slots=True)
class Sample:
    """One time to first token with what the server said about its cache."""

    ttft_seconds: float
    prompt_tokens: int
    cached_tokens: int


@dataclass(slots=True)
class Round:
    """Everything measured against one server in one round. Throughput is keyed by the number of streams."""

    server: str
    cold: list[Sample] = field(default_factory=list)
    hit: list[Sample] = field(default_factory=list)
    after_restart: list[Sample] = field(default_factory=list)
    tokens_per_second: dict[int, float] = field(default_factory=dict)
    failed_streams: dict[int, int] = field(default_factory=dict)
    longest_gap_seconds: list[float] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured in one round."""

    prefix_tokens: int = 2000
    num_prefixes: int = 2
    num_hits: int = 2
    num_gaps: int = 2
    streams: Sequence[int] = (1, 4, 16)


async def measure_round(server: Server, workload: Workload, plan: Plan) -> Round:
    """Start the server, measure, restart it, measure what the restart left, stop it."""
    result = Round(server.name)
    prefixes = [workload.system_prompt(plan.prefix_tokens) for _ in range(plan.num_prefixes)]
    try:
        await asyncio.to_thread(server.start)
        async with http_client(server.url) as client:
            await _measure_running(client, server.model_id(), workload, plan, prefixes, result)
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        async with http_client(server.url) as client:
            model = server.model_id()
            await _warm(client, model, workload, plan)
            for prefix in prefixes:
                result.after_restart.append(await _time_to_first_token(client, model, Prompt(prefix, QUESTIONS[-1])))
    finally:
        await asyncio.to_thread(server.stop)
    return result


async def _measure_running(
    client: httpx.AsyncClient, model: str, workload: Workload, plan: Plan, prefixes: list[str], result: Round
) -> None:
    await _warm(client, model, workload, plan)
    for prefix in prefixes:
        result.cold.append(await _time_to_first_token(client, model, Prompt(prefix, QUESTIONS[0])))
        for question in QUESTIONS[1 : plan.num_hits + 1]:
            result.hit.append(await _time_to_first_token(client, model, Prompt(prefix, question)))
    for num_streams in plan.streams:
        # A GPU's first batch of a size pays for its kernels.
        await _throughput(client, model, workload, num_streams)
        rate, num_failed = await _throughput(client, model, workload, num_streams)
        result.tokens_per_second[num_streams] = rate
        result.failed_streams[num_streams] = num_failed
    for _ in range(plan.num_gaps):
        intruder = Prompt(workload.system_prompt(plan.prefix_tokens), QUESTIONS[0])
        result.longest_gap_seconds.append(await _longest_gap(client, model, workload, intruder))


async def _warm(client: httpx.AsyncClient, model: str, workload: Workload, plan: Plan) -> None:
    """Pay what only the first request of a process pays: lazy imports, allocations, and a GPU's kernels for each length."""
    for _ in range(2):
        await chat(client, model, workload.short_prompt(), max_tokens=8)
    prefix = workload.system_prompt(plan.prefix_tokens)
    for question in QUESTIONS[:2]:
        await _time_to_first_token(client, model, Prompt(prefix, question))


async def _time_to_first_token(client: httpx.AsyncClient, model: str, prompt: Prompt) -> Sample:
    answer = await chat(client, model, prompt, max_tokens=_TTFT_TOKENS)
    return Sample(answer.ttft_seconds, answer.prompt_tokens, answer.cached_tokens)


async def _throughput(client: httpx.AsyncClient, model: str, workload: Workload, num_streams: int) -> tuple[float, int]:
    """Tokens per second of all streams together, from the first request to the last token, and failed streams."""
    prompts = [workload.short_prompt() for _ in range(num_streams)]
    start = time.perf_counter()
    answers = await asyncio.gather(
        *(chat(client, model, prompt, max_tokens=_STREAM_TOKENS) for prompt in prompts), return_exceptions=True
    )
    done = [answer for answer in answers if isinstance(answer, Answer)]
    if not done:
        raise RuntimeError(f"all {num_streams} streams failed: {answers[0]!r}")
    wall_seconds = max(answer.finished_at for answer in done) - start
    return sum(answer.completion_tokens for answer in done) / wall_seconds, num_streams - len(done)


async def _longest_gap(client: httpx.AsyncClient, model: str, workload: Workload, intruder: Prompt) -> float:
    """Longest wait between two pieces of a running stream from the intruder's request to its first token."""
    running = Answer(sent_at=0)
    stream = asyncio.create_task(chat(client, model, workload.short_prompt(), max_tokens=_BACKGROUND_TOKENS, answer=running))
    try:
        while len(running.text_times) < 20:
            _check_running(stream)
            await asyncio.sleep(0.01)
        arrival = await chat(client, model, intruder, max_tokens=_TTFT_TOKENS)
        until = arrival.text_times[0]
        while running.text_times[-1] <= until:
            _check_running(stream)
            await asyncio.sleep(0.01)
    finally:
        stream.cancel()
        await asyncio.gather(stream, return_exceptions=True)
    times = [moment for moment in running.text_times if moment >= arrival.sent_at]
    before = [moment for moment in running.text_times if moment < arrival.sent_at][-1]
    return max(later - earlier for earlier, later in zip([before, *times], times, strict=False) if earlier <= until)


def _check_running(stream: asyncio.Task[Answer]) -> None:
    if stream.done():
        raise RuntimeError(f"the running stream ended before it was measured: {stream.exception()!r}")
