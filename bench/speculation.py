"""Measure what guessing ahead gives, and what it costs when the guesses are wrong: one stream at a time, with and without.

One server a model runs all rounds; in each round every case is measured once with guesses and once without, and their answers
are compared. See README.md.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import mlx.core as mx
import report
from inference import model_folder
from report import Bar
from rich.console import Console
from rich.table import Table
from servers import HubServer, server_environment
from workload import Workload

_MAX_TOKENS = 128
_REQUEST_SECONDS = 300
_EVERY_NTH_WORD = 20
"""Words that an edit changes."""


_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
"""The one that the demo model was trained on."""


@dataclass(frozen=True, slots=True)
class Case:
    """`request` is what both ways ask, `fields` what the one with guesses has beside it."""

    name: str
    request: dict[str, Any]
    fields: dict[str, Any] = field(default_factory=lambda: {"speculation": "prompt_lookup"})


@dataclass(frozen=True, slots=True)
class Sample:
    """Tokens a second of whole requests; guesses that were right and wrong; whether both ways said the same."""

    round: int
    plain: float
    guessed: float
    accepted: int
    rejected: int
    is_same: bool

    @property
    def ratio(self) -> float:
        return self.guessed / self.plain


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    tokens_per_second: float
    accepted: int
    rejected: int


async def ask(client: httpx.AsyncClient, request: dict[str, Any], fields: dict[str, Any]) -> _Answer:
    """One whole answer; the prompt was computed before, so that decoding is nearly all that is timed."""
    body = {**request, "max_tokens": _MAX_TOKENS, "temperature": 0, **fields}
    await client.post("/v1/chat/completions", json={**body, "max_tokens": 1})
    loop = asyncio.get_running_loop()
    sent_at = loop.time()
    response = await client.post("/v1/chat/completions", json=body)
    seconds = loop.time() - sent_at
    response.raise_for_status()
    answer = response.json()
    details = answer["usage"]["completion_tokens_details"]
    message = answer["choices"][0]["message"]
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    return _Answer(
        json.dumps(calls) if calls else message["content"],
        answer["usage"]["completion_tokens"] / seconds,
        details["accepted_prediction_tokens"],
        details["rejected_prediction_tokens"],
    )


def edited(text: str) -> str:
    """`text` with another word at regular places."""
    words = text.split(" ")
    return " ".join("edited" if index % _EVERY_NTH_WORD == _EVERY_NTH_WORD - 1 else word for index, word in enumerate(words))


def predicted(text: str) -> dict[str, Any]:
    return {"prediction": {"type": "content", "content": text}}


async def cases_of(model: str, folder: Path, client: httpx.AsyncClient) -> list[Case]:
    """A random model says nothing twice, so look-ups find nothing in its answers; predictions show what right guesses give."""
    workload = Workload(folder)
    request = questions("Count to 40" if model == "demo" else workload.short_prompt().user)
    said = (await ask(client, request, {"speculation": "off"})).text
    other_said = (await ask(client, questions(workload.short_prompt().user), {"speculation": "off"})).text
    cases = [
        Case("the prediction is the answer", request, predicted(said)),
        Case(f"every {_EVERY_NTH_WORD}th word of the answer is another", request, predicted(edited(said))),
        Case("the prediction is another text", request, predicted(other_said)),
        Case("a free answer, look-up", request),
    ]
    if model == "demo":
        cases.append(Case("a tool call, look-up", {**questions("What is the weather in Paris?"), "tools": [_TOOL]}))
    return cases


def questions(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


async def measure(client: httpx.AsyncClient, case: Case, number: int) -> Sample:
    ways = [{"speculation": "off"}, case.fields]
    order = ways if number % 2 == 0 else ways[::-1]
    answers = [await ask(client, case.request, fields) for fields in order]
    plain, guessed = answers if number % 2 == 0 else answers[::-1]
    return Sample(
        number,
        plain.tokens_per_second,
        guessed.tokens_per_second,
        guessed.accepted,
        guessed.rejected,
        is_same=plain.text == guessed.text,
    )


async def run(model: str, *, num_rounds: int, work: Path) -> dict[str, list[Sample]]:
    folder = model_folder(model)
    server = HubServer("hub", model=folder, work=work, environment=server_environment(work, on_cpu=mx.default_device() == mx.cpu))
    try:
        await asyncio.to_thread(server.start)
        async with httpx.AsyncClient(base_url=server.url, timeout=_REQUEST_SECONDS) as client:
            cases = await cases_of(model, folder, client)
            samples: dict[str, list[Sample]] = {f"{model}: {case.name}": [] for case in cases}
            for number in range(-1, num_rounds):  # The first round warms up.
                for case in cases:
                    samples[f"{model}: {case.name}"].append(await measure(client, case, number))
    finally:
        await asyncio.to_thread(server.stop)
    return {name: measured[1:] for name, measured in samples.items()}


def print_report(samples: dict[str, list[Sample]]) -> None:
    table = Table(
        "model: case",
        "without, tokens/s",
        "with, tokens/s",
        "ratio",
        "right",
        "wrong",
        "same answer",
        title="medians (lowest to highest)",
    )
    for name, measured in samples.items():
        ratios = [sample.ratio for sample in measured]
        table.add_row(
            name,
            f"{median(sample.plain for sample in measured):.0f}",
            f"{median(sample.guessed for sample in measured):.0f}",
            f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            *(f"{median(values):.0f}" for values in zip(*((each.accepted, each.rejected) for each in measured), strict=True)),
            f"{sum(sample.is_same for sample in measured)} of {len(measured)}",
        )
    Console().print(table)


def judge(samples: dict[str, list[Sample]]) -> list[Bar]:
    """The bars, decided on medians of the ratios within a round."""
    ratios = {name: median(sample.ratio for sample in measured) for name, measured in samples.items()}
    gains = {name: ratio for name, ratio in ratios.items() if "is the answer" in name}
    costs = {name: ratio for name, ratio in ratios.items() if "free" in name or "another text" in name}
    are_same = [sample.is_same for measured in samples.values() for sample in measured]
    return [
        Bar("the answer is the same with guesses and without (share)", sum(are_same) / len(are_same), all(are_same)),
        *(Bar(f"{name}: faster with guesses (ratio > 1)", ratio, ratio > 1) for name, ratio in gains.items()),
        *(Bar(f"{name}: costs at most a tenth (ratio >= 0.9)", ratio, ratio >= 0.9) for name, ratio in costs.items()),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", action="append", help="demo, bench, or the folder of an mlx-lm model (default: demo and bench)"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--name", default="speculation-bench", help="results/NAME.json is written")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a bar is missed")
    options = parser.parse_args(arguments)
    started_at = datetime.now(UTC)
    samples: dict[str, list[Sample]] = {}
    with tempfile.TemporaryDirectory(prefix="mlx-hub-bench-") as name:
        for model in options.model or ["demo", "bench"]:
            work = Path(name) / Path(model).name
            work.mkdir()
            samples |= asyncio.run(run(model, num_rounds=options.rounds, work=work))
        environment = server_environment(Path(name), on_cpu=mx.default_device() == mx.cpu)
    print_report(samples)
    return report.conclude(
        options.name,
        judge(samples),
        {
            "preload": environment.get("LD_PRELOAD"),
            "samples": {key: [asdict(sample) for sample in measured] for key, measured in samples.items()},
        },
        started_at=started_at,
        is_strict=options.strict,
    )


if __name__ == "__main__":
    sys.exit(main())
