"""Compare the inference server with `mlx_lm.server` on one model in one run.

Each round starts each server alone, in alternating order, measures it, restarts it and measures
again. Prints medians over all rounds and saves every sample. See README.md.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import inference_report
import mlx.core as mx
import report
from measures import Plan, Round, measure_round
from report import REPOSITORY
from rich.console import Console
from servers import HubServer, PeerServer, server_environment
from workload import Workload

DEMO_MODEL = REPOSITORY / "inference-server/src/unified_mlx_app/demo_model"


def model_folder(name: str) -> Path:
    """`bench`: a random 30 M float32 model, made when first needed; `demo`: the demo model; else a folder."""
    if name == "demo":
        return DEMO_MODEL
    if name != "bench":
        return Path(name).resolve()
    folder = Path(tempfile.gettempdir()) / "mlx-hub-bench-model"
    factory = REPOSITORY / "scripts/model_factory.py"
    subprocess.run([sys.executable, factory, folder, "--arch", "qwen3", "--size", "bench"], check=True)
    return folder


async def run(model: Path, plan: Plan, *, num_rounds: int, work: Path) -> dict[str, list[Round]]:
    """Measure both servers `num_rounds` times; the first to go changes with each round."""
    console = Console()
    workload = Workload(model)
    environment = server_environment(work, on_cpu=mx.default_device() == mx.cpu)
    rounds: dict[str, list[Round]] = {"ours": [], "peer": []}
    for number in range(num_rounds):
        order = [("ours", HubServer), ("peer", PeerServer)]
        for name, kind in order if number % 2 == 0 else reversed(order):
            folder = work / f"{name}-{number}"
            folder.mkdir()
            console.print(f"round {number + 1} of {num_rounds}: {name}")
            server = kind(name, model=model, work=folder, environment=environment)
            rounds[name].append(await measure_round(server, workload, plan))
    return rounds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bench", help="bench (default), demo, or the folder of an mlx-lm model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prefix-tokens", type=int, default=2000, help="length of the system prompt")
    parser.add_argument("--name", help="results/NAME.json is written; default: inference-MODEL")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a bar is missed")
    options = parser.parse_args()
    model = model_folder(options.model)
    plan = Plan(prefix_tokens=options.prefix_tokens)
    started_at = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="mlx-hub-bench-") as work:
        rounds = asyncio.run(run(model, plan, num_rounds=options.rounds, work=Path(work)))
        environment = server_environment(Path(work), on_cpu=mx.default_device() == mx.cpu)
    metrics = inference_report.summarise(rounds["ours"], rounds["peer"])
    inference_report.print_report(metrics)
    return report.conclude(
        options.name or f"inference-{Path(options.model).name}",
        inference_report.judge(metrics),
        {
            "preload": environment.get("LD_PRELOAD"),
            "model": options.model,
            "prefix_tokens": options.prefix_tokens,
            "metrics": inference_report.to_json(metrics),
            "rounds": {name: [round_.to_json() for round_ in measured] for name, measured in rounds.items()},
        },
        started_at=started_at,
        is_strict=options.strict,
    )


if __name__ == "__main__":
    sys.exit(main())
