"""Measure what it costs that an answer has to keep to a schema or a regular expression, and what that costs its neighbours.

One server runs all rounds. In each round every case is measured once, in an order that turns with the round. See README.md.
"""

import argparse
import asyncio
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import mlx.core as mx
import report
from client import Prompt, chat, http_client
from inference import model_folder
from multi_lora import Sample, measure
from report import Bar
from rich.console import Console
from rich.table import Table
from servers import HubServer, server_environment
from workload import Workload

STREAMS = (1, 4, 8)
_MAX_SLOWDOWN = 1.5

_ITEM = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 30}, "count": {"type": "integer"}, "kind": {"enum": ["a", "b", "c"]}},
    "required": ["name", "count", "kind"],
    "additionalProperties": False,
}
# Neither ends before the limit of tokens.
_SCHEMA = {"type": "array", "items": _ITEM, "minItems": 1000}
FORMATS: dict[str, dict[str, Any]] = {
    "free": {},
    "schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "items", "schema": _SCHEMA, "strict": True}}},
    "regex": {"structured_outputs": {"regex": "([A-Z][a-z]{1,12} ){1000}"}},
}
MIXES = {"free": ("free",), "schema": ("schema",), "regex": ("regex",), "half schema": ("schema", "free")}


@dataclass(frozen=True, slots=True)
class FormattedPrompt(Prompt):
    """A prompt with a demanded format."""

    fields: dict[str, Any] = field(default_factory=dict)

    def body(self, model: str, max_tokens: int) -> dict[str, Any]:
        return Prompt.body(self, model, max_tokens) | self.fields


@dataclass(frozen=True, slots=True)
class Case:
    """`num_streams` requests sent at once, with the formats of `mix` in turn."""

    mix: str
    num_streams: int

    @property
    def key(self) -> str:
        return f"{self.mix}, {self.num_streams}"


def cases() -> list[Case]:
    return [Case(mix, streams) for streams in STREAMS for mix, formats in MIXES.items() if streams >= len(formats)]


def prompts(case: Case, workload: Workload) -> list[Prompt]:
    formats = MIXES[case.mix]
    plain = [workload.short_prompt() for _ in range(case.num_streams)]
    names = [formats[index % len(formats)] for index in range(case.num_streams)]
    return [FormattedPrompt(each.system, each.user, fields=FORMATS[name]) for each, name in zip(plain, names, strict=True)]


async def run(model: Path, *, num_rounds: int, work: Path) -> dict[str, list[Sample]]:
    environment = server_environment(work, on_cpu=mx.default_device() == mx.cpu)
    server = HubServer("hub", model=model, work=work, environment=environment)
    workload, planned = Workload(model), cases()
    samples: dict[str, list[Sample]] = {case.key: [] for case in planned}
    try:
        await asyncio.to_thread(server.start)
        name = server.model_id()
        async with http_client(server.url) as client:
            for fields in FORMATS.values():
                # The first request with a format pays for its compilation, the first of all for the tokenizer.
                await chat(client, name, FormattedPrompt("", "warm", fields=fields), max_tokens=8)
            for number in range(num_rounds):
                start = number * 3 % len(planned)
                for case in planned[start:] + planned[:start]:
                    requests = [(name, prompt) for prompt in prompts(case, workload)]
                    samples[case.key].append(await measure(client, requests, number))
    finally:
        await asyncio.to_thread(server.stop)
    return samples


def summarise(samples: dict[str, list[Sample]]) -> tuple[dict[str, float], list[Bar]]:
    """Time of a token over that of a free one: medians of the ratios within a round, so that a load that lasts cancels."""
    ratios: dict[str, float] = {}
    for case in cases():
        if case.mix != "free":
            pairs = zip(samples[case.key], samples[f"free, {case.num_streams}"], strict=True)
            ratios[case.key] = median(free.decode / constrained.decode for constrained, free in pairs)
    worst = max(ratios.values())
    return ratios, [Bar(f"a token costs at most {_MAX_SLOWDOWN} free ones, whatever its format", worst, worst <= _MAX_SLOWDOWN)]


def print_report(samples: dict[str, list[Sample]], ratios: dict[str, float]) -> None:
    table = Table("formats, streams", "decode, tokens/s", "a token's time / a free one's", title="medians (lowest to highest)")
    for key, measured in samples.items():
        rates = [sample.decode for sample in measured]
        ratio = f"{ratios[key]:.2f}" if key in ratios else ""
        table.add_row(key, f"{median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f})", ratio)
    Console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bench", help="bench (default), demo, or the folder of an mlx-lm model")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--name", help="results/NAME.json is written; default: structured-MODEL")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a bar is missed")
    options = parser.parse_args()
    model = model_folder(options.model)
    started_at = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="mlx-hub-bench-") as name:
        work = Path(name)
        samples = asyncio.run(run(model, num_rounds=options.rounds, work=work))
        environment = server_environment(work, on_cpu=mx.default_device() == mx.cpu)
    ratios, bars = summarise(samples)
    print_report(samples, ratios)
    return report.conclude(
        options.name or f"structured-{Path(options.model).name}",
        bars,
        {
            "preload": environment.get("LD_PRELOAD"),
            "model": options.model,
            "formats": FORMATS,
            "ratios": ratios,
            "samples": {key: [asdict(sample) for sample in measured] for key, measured in samples.items()},
        },
        started_at=started_at,
        is_strict=options.strict,
    )


if __name__ == "__main__":
    sys.exit(main())
