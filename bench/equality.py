"""Greedy answers after a cache hit against cold ones, text for text, on this device (`make bench WHAT=equality`).

A cold answer comes from a server that has seen nothing; the same prompt is asked again from memory and, after a restart, from
disk, and other questions on the same system prompt are held against servers that compute them cold.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import mlx.core as mx
from client import Prompt
from inference import model_folder
from report import Bar, conclude
from rich.console import Console
from servers import HubServer, server_environment
from workload import QUESTIONS, Workload

_PREFIX_TOKENS = (300, 1000, 2000)
_ANSWER_TOKENS = 96


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    prompt_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """One kind of hit on one prompt: `equal_characters` is the length of what both answers begin with."""

    hit: str
    prompt_tokens: int
    cached_tokens: int
    is_equal: bool
    equal_characters: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bench", help="bench (default), demo, or the folder of an mlx-lm model")
    parser.add_argument("--name", default="equality", help="name of the result file")
    parser.add_argument("--strict", action="store_true", help="exit 1 when an answer differs")
    options = parser.parse_args()
    started_at = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as scratch:
        model = model_folder(options.model)
        comparisons = _compare(model, Path(scratch))
    console = Console()
    for one in comparisons:
        told = "equal" if one.is_equal else f"differs after {one.equal_characters} characters"
        console.print(f"{one.hit}, prompt of {one.prompt_tokens} tokens, {one.cached_tokens} from the cache: {told}")
    num_equal = sum(one.is_equal for one in comparisons)
    bar = Bar("answers after a hit equal to cold ones", num_equal / len(comparisons), num_equal == len(comparisons))
    content = {"model": options.model, "comparisons": [asdict(one) for one in comparisons]}
    return conclude(options.name, [bar], content, started_at=started_at, is_strict=options.strict)


def _compare(model: Path, scratch: Path) -> list[Comparison]:
    systems = [Workload(model).system_prompt(num_tokens) for num_tokens in _PREFIX_TOKENS]
    asked, other, third = ([Prompt(system, question) for system in systems] for question in QUESTIONS[:3])
    server = _server("first", model, scratch)
    cold, memory, other_memory = _session(server, asked, asked, other)
    disk, third_disk = _session(server, asked, third)
    (again,) = _session(_server("again", model, scratch), asked)
    (other_cold,) = _session(_server("other", model, scratch), other)
    (third_cold,) = _session(_server("third", model, scratch), third)
    return [
        *_compared("none (a control: cold in another process)", cold, again),
        *_compared("the same prompt in memory", cold, memory),
        *_compared("the same prompt on disk", cold, disk),
        *_compared("another question, prefix in memory", other_cold, other_memory),
        *_compared("another question, prefix on disk", third_cold, third_disk),
    ]


def _server(name: str, model: Path, scratch: Path) -> HubServer:
    work = scratch / name
    work.mkdir()
    return HubServer(name, model=model, work=work, environment=server_environment(work, on_cpu=mx.default_device() == mx.cpu))


def _session(server: HubServer, *rounds: Sequence[Prompt]) -> list[list[Answer]]:
    """The answers to each round of prompts, asked one after the other of one running server."""
    server.start()
    try:
        return [[_ask(server, prompt) for prompt in prompts] for prompts in rounds]
    finally:
        server.stop()


def _ask(server: HubServer, prompt: Prompt) -> Answer:
    body = prompt.body(server.model_id(), _ANSWER_TOKENS) | {"stream": False, "stream_options": None}
    response = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=300).raise_for_status().json()
    usage = response["usage"]
    cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return Answer(response["choices"][0]["message"]["content"], usage["prompt_tokens"], cached_tokens)


def _compared(hit: str, cold: Sequence[Answer], warm: Sequence[Answer]) -> list[Comparison]:
    return [
        Comparison(hit, one.prompt_tokens, two.cached_tokens, one.text == two.text, _common_length(one.text, two.text))
        for one, two in zip(cold, warm, strict=True)
    ]


def _common_length(first: str, second: str) -> int:
    return next(
        (i for i, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), min(len(first), len(second))
    )


if __name__ == "__main__":
    raise SystemExit(main())
