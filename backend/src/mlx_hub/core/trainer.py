"""The training loop: steps, metrics, evaluations, checkpoints, and the adapter at the end.

Uses MLX, so only trainer processes import it. All that happens is a function of the run's settings and the step, so a run
that is killed at any moment and started again ends with the same weights.
"""

import hashlib
import math
import time
from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec
import structlog

from mlx_hub.core.adapters import publish_adapter
from mlx_hub.core.batches import Batch, batches_by_length, make_batch
from mlx_hub.core.checkpoints import (
    Progress,
    checkpoint_folder,
    newest_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from mlx_hub.core.data_prep import BatchPlan
from mlx_hub.core.durable_files import is_disk_full
from mlx_hub.core.examples import Examples
from mlx_hub.core.run_config import TrainingConfig, TrainingError
from mlx_hub.core.run_files import ExitReport, HeartbeatWriter, MetricsLog
from mlx_hub.core.schedules import learning_rate_at
from mlx_hub.core.stepper import Stepper
from mlx_hub.core.stopping import StopRequest, StopRequestedError

_FREE_TO_CHANGE = ("epochs", "steps", "eval_every", "early_stop_patience", "save_every", "keep_checkpoints")
"""Settings that a run may get anew between its starts; the weights of a given step do not depend on them … """
_NO_EFFECT = ("gradient_checkpointing",)
""" … nor on these."""

log = structlog.get_logger(__name__)


class Trainer:
    """Runs the steps of one run folder. Belongs to one thread."""

    def __init__(
        self,
        run_dir: Path,
        config: TrainingConfig,
        stepper: Stepper,
        examples: Examples,
        *,
        adapter_config: dict[str, Any],
        fingerprint: str,
        stop: StopRequest,
        heartbeat: HeartbeatWriter,
    ) -> None:
        """Restores the newest checkpoint. Raises TrainingError `config_changed` when it is of another run."""
        self._run_dir = run_dir
        self._config = config
        self._stepper = stepper
        self._examples = examples
        self._adapter_config = adapter_config
        self._fingerprint = fingerprint
        self._stop = stop
        self._heartbeat = heartbeat
        self._plan = BatchPlan(examples.train_lengths(), config.batch_size, config.gradient_accumulation, config.seed)
        self._held_out = batches_by_length(examples.held_out, config.batch_size)
        self._eval_every = config.eval_every or self._plan.steps_per_epoch
        self._progress = Progress()
        self._saved_step = 0
        self.num_steps = config.steps or config.epochs * self._plan.steps_per_epoch
        heartbeat.num_steps = self.num_steps
        self._metrics = MetricsLog(run_dir, last_step=self._restore())

    @property
    def step(self) -> int:
        """Whole steps done."""
        return self._progress.step

    def run(self) -> ExitReport:
        """Do the remaining steps, or those until stopped, and save the state; at the end publish the adapter.

        A loss that is not a number, or a checkpoint that cannot be written, is reported as failed.
        """
        try:
            self._steps()
            self._save()
            adapter_step = self._adapter_step()
            publish_adapter(self._run_dir, checkpoint_folder(self._run_dir, adapter_step), self._adapter_config)
            return self._report("completed", adapter_step=adapter_step)
        except StopRequestedError:
            self._save()
            return self._report("stopped")
        except TrainingError as error:
            log.warning("training_failed", code=error.code, reason=error.message, saved_step=self._saved_step)
            return self._report("failed", error=error)
        finally:
            self._metrics.close()

    def _steps(self) -> None:
        self._evaluate_if_due()
        for rows in self._plan.steps(self.step, self.num_steps):
            self._stop.check()
            if self._is_stopped_early():
                log.info("training_stopped_early", step=self.step, best_step=self._progress.best_step)
                return
            self._train_step([make_batch([self._examples.train[index] for index in batch]) for batch in rows])
            self._heartbeat.step = self.step
            self._evaluate_if_due()
            if self.step % self._config.save_every == 0:
                self._save()

    def _train_step(self, batches: list[Batch]) -> None:
        start = time.perf_counter()
        rate = learning_rate_at(self._config, self.step, self.num_steps)
        result = self._stepper.train_step(batches, learning_rate=rate, step=self.step, check=self._stop.check)
        seconds = time.perf_counter() - start
        if not (math.isfinite(result.loss) and math.isfinite(result.grad_norm)):
            raise self._not_finite("loss or its gradient")
        self._progress.step += 1
        self._progress.trained_tokens += sum(batch.num_learned for batch in batches)
        values = {
            "train_loss": result.loss,
            "learning_rate": rate,
            "grad_norm": result.grad_norm,
            "epoch": self.step / self._plan.steps_per_epoch,
            "trained_tokens": self._progress.trained_tokens,
            "tokens_per_second": sum(batch.num_tokens for batch in batches) / seconds,
            "peak_memory_bytes": mx.get_peak_memory(),
        }
        self._metrics.write(self.step, values)

    def _evaluate_if_due(self) -> None:
        """Before the first step too, so that the curve starts with the base model, which is never the best."""
        is_due = self.step % self._eval_every == 0 or self.step >= self.num_steps
        if not self._held_out or not is_due or self._progress.last_eval_step == self.step:
            return
        loss = self._stepper.mean_loss(self._held_out, check=self._stop.check)
        if not math.isfinite(loss):
            raise self._not_finite("validation loss")
        self._metrics.write(self.step, {"val_loss": loss})
        progress = self._progress
        progress.last_eval_step = self.step
        if self.step == 0:
            return
        if progress.best_val_loss is None or loss < progress.best_val_loss:
            progress.best_val_loss, progress.best_step, progress.evals_without_gain = loss, self.step, 0
            self._save()
        else:
            progress.evals_without_gain += 1

    def _is_stopped_early(self) -> bool:
        patience = self._config.early_stop_patience
        return patience is not None and self._progress.evals_without_gain >= patience

    def _adapter_step(self) -> int:
        """With early stopping the best step's weights are the result, else the last one's."""
        if self._config.early_stop_patience is not None and self._progress.best_step is not None:
            return self._progress.best_step
        return self.step

    def _restore(self) -> int | None:
        """Step of the checkpoint that training continues from; None without one."""
        found = newest_checkpoint(self._run_dir)
        if found is None:
            return None
        folder, state = found
        if state.fingerprint != self._fingerprint:
            message = "The model, the data or settings that shape the weights differ from those of the run's checkpoints."
            raise TrainingError("config_changed", f"{message} Start a new run instead.")
        self._stepper.restore(folder)
        self._progress = state.progress
        self._saved_step = self._heartbeat.step = self.step
        log.info("training_resumed", step=self.step, num_steps=self.num_steps)
        return self.step

    def _save(self) -> None:
        """A checkpoint of now, which the metrics up to now belong to."""
        if not self._stepper.is_finite():
            raise self._not_finite("weights")
        try:
            self._metrics.sync()
            save_checkpoint(self._run_dir, self._progress, fingerprint=self._fingerprint, write=self._stepper.save)
        # MLX reports a file that it cannot write as a RuntimeError.
        except (OSError, RuntimeError) as error:
            code = "storage_full" if is_disk_full(error) else "checkpoint_failed"
            raise TrainingError(code, f"The checkpoint of step {self.step} cannot be written: {error}") from error
        self._saved_step = self.step
        prune_checkpoints(self._run_dir, keep=self._config.keep_checkpoints, best_step=self._progress.best_step)

    def _not_finite(self, what: str) -> TrainingError:
        message = (
            f"The {what} is not a number after step {self.step}. The last good checkpoint is of step {self._saved_step}."
            " Lower the learning rate, or clip gradients."
        )
        return TrainingError("nan_loss", message)

    def _report(self, status: Any, *, adapter_step: int | None = None, error: TrainingError | None = None) -> ExitReport:
        return ExitReport(
            status=status,
            step=self.step if error is None else self._saved_step,
            error_code=error.code if error else None,
            error_message=error.message if error else None,
            num_steps=self.num_steps,
            adapter_step=adapter_step,
            best_step=self._progress.best_step,
            best_val_loss=self._progress.best_val_loss,
            stopped_early=status == "completed" and self._is_stopped_early() and self.step < self.num_steps,
            num_train_rows=len(self._examples.train),
            num_held_out_rows=len(self._examples.held_out),
            num_dropped_rows=self._examples.num_dropped,
            num_truncated_rows=self._examples.num_truncated,
            problem_counts=dict(self._examples.problem_counts),
        )


def run_fingerprint(config: TrainingConfig, examples: Examples, *, model_fingerprint: str) -> str:
    """Digest of all that the weights of a given step follow from."""
    settings = msgspec.to_builtins(config)
    for name in _FREE_TO_CHANGE + _NO_EFFECT:
        del settings[name]
    digest = hashlib.sha256(msgspec.json.encode([settings, model_fingerprint], order="sorted"))
    for row in examples.train:
        digest.update(row.tokens.tobytes() + row.is_learned.tobytes())
    return digest.hexdigest()
