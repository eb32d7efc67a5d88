"""The trainer process: `python -m mlx_hub.core.train RUN_DIR [--probe | --evaluate]`.

It reads `run.json` and answers with files alone: `metrics.jsonl`, `ckpt/`, `heartbeat`, `adapter/`, and `exit.json` last. Exit
status: 0 completed, 1 failed, 3 cancelled by SIGTERM, 4 refused because another trainer holds the folder, 5 failed on a disk
without room for the report. The other two modes end with `probe-exit.json` and `evaluate-exit.json` instead, and leave a run's
own report alone. SIGUSR1 writes the stacks of all threads to stderr.
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
import mlx.nn as nn
import msgspec
import psutil
import structlog
from mlx_lm.utils import load_model, maybe_set_recommended_wired_limit

from mlx_hub.core.adapters import adapter_config
from mlx_hub.core.batches import make_batch
from mlx_hub.core.checkpoints import is_disk_full, write_atomically
from mlx_hub.core.evaluate import evaluate_run
from mlx_hub.core.examples import Examples, prepare_examples, refuse_unusable
from mlx_hub.core.lora import make_trainable
from mlx_hub.core.model_files import ModelFiles, read_model_files
from mlx_hub.core.run_config import RunSpec, TrainingError, read_run
from mlx_hub.core.run_files import (
    DISK_FULL_EXIT_CODE,
    EXIT_CODES,
    EXIT_FILES,
    LOCKED_EXIT_CODE,
    ExitReport,
    HeartbeatWriter,
    Mode,
    run_lock,
)
from mlx_hub.core.run_reports import EVALUATION_FILE, PROBE_FILE, ProbeReport
from mlx_hub.core.stepper import Stepper
from mlx_hub.core.stopping import StopRequest, StopRequestedError
from mlx_hub.core.tokens import TokenEncoder
from mlx_hub.core.trainer import Trainer, run_fingerprint

_PROBE_STEPS = 2
_CACHE_BYTES = 2 * 2**30
"""Of freed buffers that MLX keeps: batches differ in shape, so without a bound it would keep many that never fit again."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    """What each mode of the trainer works with."""

    run_dir: Path
    stop: StopRequest
    heartbeat: HeartbeatWriter


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
    stop = StopRequest()
    stop.listen()
    try:
        with run_lock(options.run_dir):
            job = _Job(options.run_dir, stop, HeartbeatWriter(options.run_dir, mode=mode, stop=stop))
            report = _run(job, _WORK[mode], exit_file=EXIT_FILES[mode])
    except TrainingError as error:
        log.warning("training_refused", code=error.code, reason=error.message)
        return LOCKED_EXIT_CODE
    except OSError as error:
        if not is_disk_full(error):
            raise
        log.error("disk_full", reason=str(error))
        return DISK_FULL_EXIT_CODE
    return EXIT_CODES[report.status]


def _run(job: _Job, work: Callable[[_Job], ExitReport], *, exit_file: str) -> ExitReport:
    """Run `work` with a heartbeat, and say in the exit file how it ended. Raises OSError when that cannot be written."""
    (job.run_dir / exit_file).unlink(missing_ok=True)
    job.heartbeat.start()
    try:
        report = work(job)
    except StopRequestedError:
        report = ExitReport(status="cancelled")
    except TrainingError as error:
        log.warning("training_failed", code=error.code, reason=error.message)
        report = ExitReport(status="failed", error_code=error.code, error_message=error.message)
    except Exception as error:
        log.exception("training_crashed")
        report = ExitReport(
            status="failed", step=job.heartbeat.step, error_code=_crash_code(error), error_message=str(error)[:2000]
        )
    job.heartbeat.stop()
    write_atomically(job.run_dir / exit_file, msgspec.json.encode(report))
    return report


def _train(job: _Job) -> ExitReport:
    loaded = _load(job)
    config = loaded.spec.config
    model = _load_model(loaded.files)
    adaptation = make_trainable(model, config)
    trainer = Trainer(
        job.run_dir,
        config,
        Stepper(model, config, vocab_size=loaded.files.vocab_size),
        loaded.examples,
        adapter_config=adapter_config(config, num_layers=adaptation.num_layers, modules=adaptation.modules),
        fingerprint=run_fingerprint(config, loaded.examples, model_fingerprint=loaded.files.fingerprint),
        stop=job.stop,
        heartbeat=job.heartbeat,
    )
    log.info("training_started", num_rows=len(loaded.examples.train), num_steps=trainer.num_steps)
    report = trainer.run()
    log.info("training_ended", status=report.status, step=report.step)
    return report


def _probe(job: _Job) -> ExitReport:
    """Real steps on the longest rows, with accumulated gradients held as in training."""
    loaded = _load(job)
    config = loaded.spec.config
    model = _load_model(loaded.files)
    make_trainable(model, config)
    stepper = Stepper(model, config, vocab_size=loaded.files.vocab_size)
    longest = sorted(loaded.examples.train, key=lambda row: -len(row.tokens))[: config.batch_size]
    batch = make_batch(longest)
    mx.reset_peak_memory()
    batches = [batch] * min(config.gradient_accumulation, 2)
    seconds = 0.0
    for step in range(_PROBE_STEPS):
        start = time.perf_counter()
        stepper.train_step(batches, learning_rate=config.learning_rate, step=step, check=job.stop.check)
        seconds = time.perf_counter() - start
    report = ProbeReport(
        peak_memory_bytes=mx.get_peak_memory(),
        seconds_per_step=seconds * config.gradient_accumulation / len(batches),
        num_rows=len(longest),
        num_tokens=len(longest[0].tokens),
        needs_all_logits=stepper.needs_all_logits,
        device_memory_bytes=_device_memory_bytes(),
    )
    write_atomically(job.run_dir / PROBE_FILE, msgspec.json.encode(report))
    return ExitReport(status="completed")


def _evaluate(job: _Job) -> ExitReport:
    loaded = _load(job)
    model = _load_model(loaded.files)
    evaluate_run(job.run_dir, loaded.spec, model, loaded.encoder, loaded.examples, check=job.stop.check)
    return ExitReport(status="completed")


def _load(job: _Job) -> _Loaded:
    spec = read_run(job.run_dir)
    if spec.world_size > 1:
        raise TrainingError("unsupported_world_size", "Training over several processes is not possible yet.")
    files = read_model_files(Path(spec.model_path))
    encoder = TokenEncoder(files, max_seq_length=spec.config.max_seq_length, mask_prompt=spec.config.mask_prompt)
    examples = prepare_examples(spec, encoder, check=job.stop.check)
    refuse_unusable(examples)
    return _Loaded(spec, files, encoder, examples)


def _load_model(files: ModelFiles) -> nn.Module:
    maybe_set_recommended_wired_limit()
    # Where MLX keeps less by itself, as on a CPU, more would only make the process larger.
    mx.set_cache_limit(min(_CACHE_BYTES, mx.set_cache_limit(_CACHE_BYTES)))
    try:
        model, _ = load_model(files.path)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise TrainingError("bad_model", f"The model in {files.path} does not load: {error}") from error
    return model


def _device_memory_bytes() -> int:
    """What a run may fill: the GPU's working set on Metal, the card's memory on CUDA, else the machine's."""
    info = mx.device_info()
    for key in ("max_recommended_working_set_size", "total_memory"):
        if isinstance(size := info.get(key), int) and size > 0:
            return size
    return psutil.virtual_memory().total


def _crash_code(error: Exception) -> str:
    """Sorts the errors of MLX, which are all RuntimeErrors, by their wording (mlx 0.32)."""
    text = str(error).lower()
    if is_disk_full(error):
        return "storage_full"
    if isinstance(error, MemoryError) or "memory" in text or "malloc" in text:
        return "out_of_memory"
    if "impactinginteractivity" in text:
        return "gpu_watchdog"
    return "internal_error"


_WORK: dict[Mode, Callable[[_Job], ExitReport]] = {"train": _train, "probe": _probe, "evaluate": _evaluate}

if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    sys.exit(main())
