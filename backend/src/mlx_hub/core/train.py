"""The trainer process: `python -m mlx_hub.core.train RUN_DIR [--probe | --evaluate]`.

It reads `run.json` and answers with files alone: `metrics.jsonl`, `ckpt/`, `heartbeat`, `adapter/`, and `exit.json` last. The
other two modes end with `probe-exit.json` and `evaluate-exit.json` instead, and leave a run's own report alone. The exit status
is that of `folder_work`. SIGUSR1 writes the stacks of all threads to stderr.
"""

import argparse
import faulthandler
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import msgspec
import psutil
import structlog

from mlx_hub.core.adapters import adapter_config
from mlx_hub.core.batches import make_batch
from mlx_hub.core.durable_files import write_atomically
from mlx_hub.core.evaluate import evaluate_run
from mlx_hub.core.examples import Examples, prepare_examples, refuse_unusable
from mlx_hub.core.folder_work import FolderWork, do_work, start_logs
from mlx_hub.core.lora import make_trainable
from mlx_hub.core.model_files import ModelFiles, read_model_files
from mlx_hub.core.model_loader import load_model_folder
from mlx_hub.core.run_config import RunSpec, TrainingError, read_run
from mlx_hub.core.run_files import ExitReport, Mode
from mlx_hub.core.run_reports import EVALUATION_FILE, PROBE_FILE, ProbeReport
from mlx_hub.core.stepper import Stepper
from mlx_hub.core.tokens import TokenEncoder
from mlx_hub.core.trainer import Trainer, run_fingerprint

_PROBE_STEPS = 2

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Loaded:
    spec: RunSpec
    files: ModelFiles
    encoder: TokenEncoder
    examples: Examples


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", type=Path)
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--probe", action="store_true", help=f"measure the memory of two steps and write {PROBE_FILE}")
    modes.add_argument("--evaluate", action="store_true", help=f"compare base and adapter and write {EVALUATION_FILE}")
    options = parser.parse_args(arguments)
    mode: Mode = "probe" if options.probe else "evaluate" if options.evaluate else "train"
    return do_work(options.run_dir, _WORK[mode], mode=mode)


def _train(work: FolderWork) -> ExitReport:
    loaded = _load(work)
    config = loaded.spec.config
    model = load_model_folder(loaded.files.path)
    adaptation = make_trainable(model, config)
    trainer = Trainer(
        work.folder,
        config,
        Stepper(model, config, vocab_size=loaded.files.vocab_size),
        loaded.examples,
        adapter_config=adapter_config(config, num_layers=adaptation.num_layers, modules=adaptation.modules),
        fingerprint=run_fingerprint(config, loaded.examples, model_fingerprint=loaded.files.fingerprint),
        stop=work.stop,
        heartbeat=work.heartbeat,
    )
    log.info("training_started", num_rows=len(loaded.examples.train), num_steps=trainer.num_steps)
    report = trainer.run()
    log.info("training_ended", status=report.status, step=report.step)
    return report


def _probe(work: FolderWork) -> ExitReport:
    """Real steps on the longest rows, with accumulated gradients held as in training."""
    loaded = _load(work)
    config = loaded.spec.config
    model = load_model_folder(loaded.files.path)
    make_trainable(model, config)
    stepper = Stepper(model, config, vocab_size=loaded.files.vocab_size)
    longest = sorted(loaded.examples.train, key=lambda row: -len(row.tokens))[: config.batch_size]
    batch = make_batch(longest)
    mx.reset_peak_memory()
    batches = [batch] * min(config.gradient_accumulation, 2)
    seconds = 0.0
    for step in range(_PROBE_STEPS):
        start = time.perf_counter()
        stepper.train_step(batches, learning_rate=config.learning_rate, step=step, check=work.stop.check)
        seconds = time.perf_counter() - start
    report = ProbeReport(
        peak_memory_bytes=mx.get_peak_memory(),
        seconds_per_step=seconds * config.gradient_accumulation / len(batches),
        num_rows=len(longest),
        num_tokens=len(longest[0].tokens),
        needs_all_logits=stepper.needs_all_logits,
        device_memory_bytes=_device_memory_bytes(),
    )
    write_atomically(work.folder / PROBE_FILE, msgspec.json.encode(report))
    return ExitReport(status="completed")


def _evaluate(work: FolderWork) -> ExitReport:
    loaded = _load(work)
    model = load_model_folder(loaded.files.path)
    evaluate_run(work.folder, loaded.spec, model, loaded.encoder, loaded.examples, check=work.stop.check)
    return ExitReport(status="completed")


def _load(work: FolderWork) -> _Loaded:
    spec = read_run(work.folder)
    if spec.world_size > 1:
        raise TrainingError("unsupported_world_size", "Training over several processes is not possible yet.")
    files = read_model_files(Path(spec.model_path))
    encoder = TokenEncoder(files, max_seq_length=spec.config.max_seq_length, mask_prompt=spec.config.mask_prompt)
    examples = prepare_examples(spec, encoder, check=work.stop.check)
    refuse_unusable(examples)
    return _Loaded(spec, files, encoder, examples)


def _device_memory_bytes() -> int:
    """What a run may fill: the GPU's working set on Metal, the card's memory on CUDA, else the machine's."""
    info = mx.device_info()
    for key in ("max_recommended_working_set_size", "total_memory"):
        if isinstance(size := info.get(key), int) and size > 0:
            return size
    return psutil.virtual_memory().total


_WORK: dict[Mode, Callable[[FolderWork], ExitReport]] = {"train": _train, "probe": _probe, "evaluate": _evaluate}

if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    start_logs("trainer")
    sys.exit(main())
