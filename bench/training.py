"""Compare the trainer with `mlx_lm.lora` on one model in one run.

In each round each trainer goes over the same rows once, as a process of its own with the same settings; who goes first
changes with each round. Prints medians over all rounds and saves every sample. See README.md.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import mlx.core as mx
import report
import training_report
from inference import model_folder
from rich.console import Console
from servers import server_environment
from trainers import HubTrainer, PeerTrainer, Task, Trainer
from training_report import Results
from training_workloads import Workload, epoch_size, workloads

_LEARNING_RATE = 1e-3
_WARM_UP = Workload("warm up", lengths=(48,) * 8, held_out_lengths=(48,) * 8)


def measure(workload: Workload, task: Task, trainers: Mapping[str, Trainer], work: Path, *, num_rounds: int) -> Results:
    """Run both trainers `num_rounds` times, each round with another seed."""
    console = Console()
    has_mixed_lengths = len(set(workload.lengths)) > 1
    results = Results(workload.name, has_mixed_lengths, workload.mask_prompt, task.num_steps, epoch_size(task))
    for number in range(num_rounds):
        for name in sorted(trainers, reverse=number % 2 == 1):
            console.print(f"{workload.name}, round {number + 1} of {num_rounds}: {name}")
            results.runs[name].append(trainers[name].run(task.with_seed(number), work / f"{name}-{number}"))
    return results


def held_out_losses(task: Task, adapters: Sequence[Path], environment: Mapping[str, str]) -> list[float]:
    """Of the base model, then with each adapter."""
    script = Path(__file__).with_name("held_out.py")
    learned = "answers" if task.mask_prompt else "all"
    command = [sys.executable, script, task.model, task.data / "valid.jsonl", str(task.max_seq_length), learned, *adapters]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the held-out loss was not measured:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def run(model: Path, options: argparse.Namespace, environment: Mapping[str, str], work: Path) -> list[Results]:
    """All workloads, one after the other, after short runs that pay for what only a machine's first run pays for."""
    trainers: dict[str, Trainer] = {"ours": HubTrainer(environment), "peer": PeerTrainer(environment)}
    plan = workloads(num_rows=options.rows, median_tokens=options.median_tokens, max_seq_length=options.max_seq_length)
    found: list[Results] = []
    for index, workload in enumerate([_WARM_UP, *plan]):
        folder = work / str(index)
        workload.write(folder / "data", model)
        task = Task(
            model=model,
            data=folder / "data",
            num_steps=len(workload.lengths) // options.batch_size,
            batch_size=options.batch_size,
            max_seq_length=options.max_seq_length,
            mask_prompt=workload.mask_prompt,
            learning_rate=_LEARNING_RATE,
        )
        is_warm_up = workload is _WARM_UP
        results = measure(workload, task, trainers, folder, num_rounds=1 if is_warm_up else options.rounds)
        if is_warm_up:
            continue
        adapters = [folder / f"{name}-{number}/adapter" for name in trainers for number in range(options.rounds)]
        base, *losses = held_out_losses(task, adapters, environment)
        results.base_loss = base
        results.losses = {"ours": losses[: options.rounds], "peer": losses[options.rounds :]}
        found.append(results)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bench", help="bench (default) or the folder of an mlx-lm model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=40, help="rows of an epoch, a multiple of twice the batch size")
    parser.add_argument("--median-tokens", type=int, default=100, help="median length of the rows")
    parser.add_argument("--max-seq-length", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--name", help="results/NAME.json is written; default: training-MODEL")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a bar is missed")
    options = parser.parse_args()
    if options.rows % (2 * options.batch_size) or len(_WARM_UP.lengths) % options.batch_size:
        parser.error("--rows must be a multiple of twice --batch-size, and --batch-size divide 8")
    model = model_folder(options.model)
    started_at = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="mlx-hub-bench-") as work:
        on_cpu = mx.default_device() == mx.cpu
        environment = server_environment(Path(work), on_cpu=on_cpu)
        found = run(model, options, environment, Path(work))
    bars = training_report.judge(found, on_cpu=on_cpu)
    training_report.print_report(found)
    return report.conclude(
        options.name or f"training-{Path(options.model).name}",
        bars,
        {
            "preload": environment.get("LD_PRELOAD"),
            "model": options.model,
            "rows": options.rows,
            "median_tokens": options.median_tokens,
            "max_seq_length": options.max_seq_length,
            "batch_size": options.batch_size,
            "workloads": training_report.to_json(found),
        },
        started_at=started_at,
        package="mlx-hub",
        is_strict=options.strict,
    )


if __name__ == "__main__":
    sys.exit(main())
