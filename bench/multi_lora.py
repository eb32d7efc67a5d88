"""Measure what it costs that requests of one batch use different LoRA adapters, and what it would cost to keep them apart.

One server runs all rounds. In each round every case of STREAMS is measured once, in an order that turns with the round. See
README.md.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import httpx
import mlx.core as mx
import mlx_lm
import report
from client import Answer, Prompt, chat, http_client
from inference import model_folder
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import linear_to_lora_layers
from report import Bar
from rich.console import Console
from rich.table import Table
from servers import HubServer, PeerServer, server_environment
from workload import Workload

NUM_ADAPTERS = 4
STREAMS = (1, 4, 8)
_STREAM_TOKENS = 64
_PEER_STREAMS = 4


@dataclass(frozen=True, slots=True)
class Case:
    """`num_streams` requests sent at once, the i-th of them to `models[i % len(models)]`."""

    name: str
    models: tuple[str, ...]
    num_streams: int

    @property
    def key(self) -> str:
        return f"{self.name}, {self.num_streams}"


@dataclass(frozen=True, slots=True)
class Sample:
    """Tokens a second of all streams together: while all of them decode, and from the first request to the last token."""

    round: int
    decode: float
    overall: float


class AdapterServer(HubServer):
    """Also knows the copies of the base model in the folder `models`."""

    def _variables(self) -> dict[str, str]:
        return super()._variables() | {"MODEL_CACHE_DIR": str(self._work / "models")}


def write_adapters(base: Path, root: Path, *, rank: int) -> list[Path]:
    """Adapters with random weights on every projection of every layer, as mlx-lm trains them by default."""
    model = mlx_lm.load(str(base))[0]
    parameters = {"rank": rank, "scale": 1.0, "dropout": 0.0}
    model.freeze()
    linear_to_lora_layers(model, len(model.layers), parameters)
    shapes = [(name, array.shape) for name, array in tree_flatten(model.trainable_parameters())]
    config = {"fine_tune_type": "lora", "num_layers": len(model.layers), "lora_parameters": parameters}
    folders = [root / f"adapter-{number}" for number in range(NUM_ADAPTERS)]
    for number, folder in enumerate(folders):
        folder.mkdir(parents=True)
        mx.random.seed(number)
        weights = {name: mx.random.normal(shape) * 0.02 for name, shape in shapes}
        mx.save_safetensors(str(folder / "adapters.safetensors"), weights)
        (folder / "adapter_config.json").write_text(json.dumps(config))
    return folders


def cases() -> list[Case]:
    together = tuple(f"bench/together-{number}" for number in range(NUM_ADAPTERS))
    apart = tuple(f"bench/apart-{number}" for number in range(NUM_ADAPTERS))
    found = [Case("base only", ("bench/base-0",), streams) for streams in STREAMS]
    found += [Case("one adapter", together[:1], streams) for streams in STREAMS]
    several = [streams for streams in STREAMS if streams >= NUM_ADAPTERS]
    found += [Case("4 adapters, one batch", together, streams) for streams in several]
    return found + [Case("4 adapters, apart", apart, streams) for streams in several]


def register(url: str, adapters: Sequence[Path]) -> None:
    """Each adapter twice: on one base, and for comparison on a copy of the base of its own, where it shares no batch."""
    for number, adapter in enumerate(adapters):
        for name, base in ((f"bench/together-{number}", "bench/base-0"), (f"bench/apart-{number}", f"bench/base-{number + 1}")):
            body = {"name": name, "base_model": base, "adapter_path": str(adapter)}
            httpx.put(f"{url}/admin/models/{name}", json=body, timeout=60).raise_for_status()


def check_batches(url: str) -> None:
    """Raises RuntimeError unless the adapters share one base, and those kept apart do not."""
    resident = {model["name"]: model for model in httpx.get(f"{url}/admin/health", timeout=10).json()["resident_models"]}
    for number in range(NUM_ADAPTERS):
        together, apart = resident[f"bench/together-{number}"], resident[f"bench/apart-{number}"]
        if not together["shares_batch"] or (together["base"], apart["base"]) != ("bench/base-0", f"bench/base-{number + 1}"):
            raise RuntimeError(f"the adapters lie elsewhere than planned: {together}, {apart}")


async def measure(client: httpx.AsyncClient, requests: Sequence[tuple[str, Prompt]], number: int) -> Sample:
    """Send all requests at once. Raises RuntimeError or httpx.HTTPError when one of them fails."""
    answers = await asyncio.gather(*(chat(client, model, prompt, max_tokens=_STREAM_TOKENS) for model, prompt in requests))
    started, ended = min(answer.sent_at for answer in answers), max(answer.finished_at for answer in answers)
    all_run = max(answer.text_times[0] for answer in answers)
    num_tokens = sum(answer.completion_tokens for answer in answers)
    return Sample(
        number, sum(_tokens_after(answer, all_run) for answer in answers) / (ended - all_run), num_tokens / (ended - started)
    )


def _tokens_after(answer: Answer, moment: float) -> float:
    """Not every token gives a piece of text, so pieces are counted and scaled to the tokens that the server counted."""
    return answer.completion_tokens * sum(time > moment for time in answer.text_times) / len(answer.text_times)


async def run_hub(model: Path, adapters: Sequence[Path], *, num_rounds: int, work: Path) -> dict[str, list[Sample]]:
    (work / "models/bench").mkdir(parents=True)
    for number in range(NUM_ADAPTERS + 1):
        (work / f"models/bench/base-{number}").symlink_to(model)
    environment = server_environment(work, on_cpu=mx.default_device() == mx.cpu)
    server = AdapterServer("hub", model=model, work=work, environment=environment)
    workload, planned = Workload(model), cases()
    samples: dict[str, list[Sample]] = {case.key: [] for case in planned}
    try:
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(register, server.url, adapters)
        async with http_client(server.url) as client:
            for name in sorted({name for case in planned for name in case.models}):
                await chat(client, name, workload.short_prompt(), max_tokens=8)
            await asyncio.sleep(1.5)  # A heartbeat tells what is resident.
            await asyncio.to_thread(check_batches, server.url)
            for number in range(num_rounds):
                turned = planned[number * 3 % len(planned) :] + planned[: number * 3 % len(planned)]
                for case in turned:
                    names = (case.models[index % len(case.models)] for index in range(case.num_streams))
                    requests = [(name, workload.short_prompt()) for name in names]
                    samples[case.key].append(await measure(client, requests, number))
    finally:
        await asyncio.to_thread(server.stop)
    return samples


async def run_peer(model: Path, adapters: Sequence[Path], *, num_rounds: int, work: Path) -> list[Sample]:
    """mlx_lm.server holds one adapter at a time and loads the model anew for another."""
    environment = server_environment(work, on_cpu=mx.default_device() == mx.cpu)
    server = PeerServer("mlx_lm", model=model, work=work, environment=environment)
    workload = Workload(model)
    samples: list[Sample] = []
    try:
        await asyncio.to_thread(server.start)
        async with http_client(server.url) as client:
            for number in range(-1, num_rounds):
                prompts = [workload.short_prompt() for _ in range(_PEER_STREAMS)]
                requests = [
                    (str(model), Prompt(prompt.system, prompt.user, str(adapters[index % len(adapters)])))
                    for index, prompt in enumerate(prompts)
                ]
                samples.append(await measure(client, requests, number))
    finally:
        await asyncio.to_thread(server.stop)
    return samples[1:]


def summarise(samples: dict[str, list[Sample]], peer: list[Sample]) -> tuple[dict[str, float], list[Bar]]:
    """Ratios are medians of the ratios within a round, so that a load that lasts for rounds cancels."""

    def ratio(ours: str, other: str) -> float:
        return median(a.decode / b.decode for a, b in zip(samples[ours], samples[other], strict=True))

    ratios: dict[str, float] = {}
    for streams in STREAMS:
        ratios[f"one adapter / base only, {streams}"] = ratio(f"one adapter, {streams}", f"base only, {streams}")
    for streams in [streams for streams in STREAMS if streams >= NUM_ADAPTERS]:
        one_batch = f"4 adapters, one batch, {streams}"
        ratios[f"one batch / base only, {streams}"] = ratio(one_batch, f"base only, {streams}")
        ratios[f"one batch / one adapter, {streams}"] = ratio(one_batch, f"one adapter, {streams}")
        ratios[f"one batch / apart, {streams}"] = ratio(one_batch, f"4 adapters, apart, {streams}")
    overall = median(sample.overall for sample in samples[f"4 adapters, one batch, {_PEER_STREAMS}"])
    ratios[f"one batch / mlx_lm.server, {_PEER_STREAMS}, whole requests"] = overall / median(sample.overall for sample in peer)
    most = max(STREAMS)
    gain = ratios[f"one batch / apart, {most}"]
    return ratios, [Bar(f"4 adapters in one batch faster than apart at {most} streams (ratio > 1)", gain, gain > 1)]


def print_report(samples: dict[str, list[Sample]], peer: list[Sample], ratios: dict[str, float]) -> None:
    table = Table("case, streams", "decode, tokens/s", "whole requests, tokens/s", title="medians (lowest to highest)")
    for key, measured in {**samples, f"mlx_lm.server, 4 adapters, {_PEER_STREAMS}": peer}.items():
        columns = ([sample.decode for sample in measured], [sample.overall for sample in measured])
        table.add_row(key, *(f"{median(column):.0f} ({min(column):.0f} to {max(column):.0f})" for column in columns))
    console = Console()
    console.print(table)
    for name, value in ratios.items():
        console.print(f"{value:5.2f}  {name}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bench", help="bench (default), demo, or the folder of an mlx-lm model")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--name", help="results/NAME.json is written; default: multi-lora-MODEL")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a bar is missed")
    options = parser.parse_args()
    model = model_folder(options.model)
    started_at = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="mlx-hub-bench-") as name:
        work = Path(name)
        adapters = write_adapters(model, work / "adapters", rank=options.rank)
        samples = asyncio.run(run_hub(model, adapters, num_rounds=options.rounds, work=work))
        peer = asyncio.run(run_peer(model, adapters, num_rounds=options.rounds, work=work))
        environment = server_environment(work, on_cpu=mx.default_device() == mx.cpu)
    ratios, bars = summarise(samples, peer)
    print_report(samples, peer, ratios)
    return report.conclude(
        options.name or f"multi-lora-{Path(options.model).name}",
        bars,
        {
            "preload": environment.get("LD_PRELOAD"),
            "model": options.model,
            "rank": options.rank,
            "ratios": ratios,
            "samples": {key: [asdict(sample) for sample in measured] for key, measured in samples.items()},
            "peer": [asdict(sample) for sample in peer],
        },
        started_at=started_at,
        is_strict=options.strict,
    )


if __name__ == "__main__":
    sys.exit(main())
