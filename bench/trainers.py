"""Run the two trainers that the benchmark compares, each as a process of its own with equal settings."""

import json
import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

_RANK, _SCALE = 8, 20.0
_WEIGHT_DECAY = 0.01
_NEVER = 1_000_000


@dataclass(frozen=True, slots=True)
class Task:
    """What both trainers do: `num_steps` steps on `train.jsonl` of `data`, validated on `valid.jsonl` before and after."""

    model: Path
    data: Path
    num_steps: int
    batch_size: int
    max_seq_length: int
    mask_prompt: bool
    learning_rate: float
    seed: int = 0

    def with_seed(self, seed: int) -> "Task":
        return replace(self, seed=seed)


@dataclass(frozen=True, slots=True)
class TrainerRun:
    """What one process took, from start to exit, and of that what its steps took, in seconds of wall clock and of CPU."""

    steps_seconds: float
    steps_cpu_seconds: float
    process_seconds: float
    process_cpu_seconds: float
    peak_rss_bytes: int
    peak_mlx_bytes: int


class Trainer(ABC):
    """One trainer; each run has a folder of its own."""

    script: str

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    def run(self, task: Task, folder: Path) -> TrainerRun:
        """Train to the end; the adapter is then in `adapter`. Raises RuntimeError when the process fails."""
        folder.mkdir()
        notes_file = folder / "notes.jsonl"
        script = Path(__file__).with_name(self.script)
        command = [sys.executable, str(script), str(notes_file), *self._arguments(task, folder)]
        with (folder / "log").open("wb") as log:
            start = time.perf_counter()
            process = subprocess.Popen(command, env=self._environment, cwd=folder, stdout=log, stderr=log)
            _, status, usage = os.wait4(process.pid, 0)
            process_seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{(folder / 'log').read_text(errors='replace')[-2000:]}")
        notes = [json.loads(line) for line in notes_file.read_text().splitlines()]
        return TrainerRun(
            steps_seconds=_in_steps(notes, "t"),
            steps_cpu_seconds=_in_steps(notes, "cpu"),
            process_seconds=process_seconds,
            process_cpu_seconds=usage.ru_utime + usage.ru_stime,
            # Linux counts kibibytes, macOS bytes.
            peak_rss_bytes=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            peak_mlx_bytes=max(note["peak_mlx_bytes"] for note in notes),
        )

    @abstractmethod
    def _arguments(self, task: Task, folder: Path) -> list[str]:
        """Write what the trainer reads, and say by which arguments it finds it."""


def _in_steps(notes: list[dict[str, Any]], clock: str) -> float:
    """From the end of the first validation, which comes before the first step, each step's part: since the report before it."""
    return sum(note[clock] - before[clock] for before, note in pairwise(notes) if note["kind"] == "step")


class HubTrainer(Trainer):
    """This repository's trainer process."""

    script = "noted_hub.py"

    def _arguments(self, task: Task, folder: Path) -> list[str]:
        config = {
            "lora_rank": _RANK,
            "lora_alpha": _RANK * _SCALE,
            "learning_rate": task.learning_rate,
            "schedule": "constant",
            "optimizer": "adamw",
            "weight_decay": _WEIGHT_DECAY,
            # mlx-lm does not clip gradients.
            "max_grad_norm": None,
            "steps": task.num_steps,
            "batch_size": task.batch_size,
            "max_seq_length": task.max_seq_length,
            "mask_prompt": task.mask_prompt,
            "seed": task.seed,
            "eval_every": task.num_steps,
            "save_every": _NEVER,
        }
        spec = {
            "model_path": str(task.model),
            "train_files": [str(task.data / "train.jsonl")],
            "validation_file": str(task.data / "valid.jsonl"),
            "config": config,
        }
        (folder / "run.json").write_text(json.dumps(spec))
        return [str(folder)]


class PeerTrainer(Trainer):
    """`mlx_lm.lora`."""

    script = "noted_peer.py"

    def _arguments(self, task: Task, folder: Path) -> list[str]:
        settings: dict[str, Any] = {
            "train": True,
            "model": str(task.model),
            "data": str(task.data),
            "adapter_path": str(folder / "adapter"),
            "num_layers": -1,
            "lora_parameters": {"rank": _RANK, "scale": _SCALE, "dropout": 0.0},
            "learning_rate": task.learning_rate,
            "optimizer": "adamw",
            "optimizer_config": {"adamw": {"weight_decay": _WEIGHT_DECAY, "bias_correction": True}},
            "iters": task.num_steps,
            "batch_size": task.batch_size,
            "max_seq_length": task.max_seq_length,
            "mask_prompt": task.mask_prompt,
            "seed": task.seed,
            "val_batches": -1,
            # As often as ours reports.
            "steps_per_report": 1,
            "steps_per_eval": _NEVER,
            "save_every": _NEVER,
        }
        # JSON is YAML too.
        (folder / "lora.yaml").write_text(json.dumps(settings))
        return ["--config", str(folder / "lora.yaml")]
