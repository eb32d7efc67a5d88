"""What a training run is told: `run.json`, its settings with their bounds, and the errors that end a run."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

RUN_FILE = "run.json"

FineTuneType = Literal["lora", "dora", "full"]
OptimizerName = Literal["adam", "adamw", "sgd", "muon", "adafactor", "lion"]
ScheduleName = Literal["constant", "linear", "cosine"]

Count = Annotated[int, Meta(ge=1, le=10_000_000)]
ModuleName = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(min_length=1, max_length=4096)]


class TrainingError(Exception):
    """Ends a run as failed. `code` is stable; the message says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class TrainingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a run. A step is one update of the weights: `gradient_accumulation` batches of `batch_size` rows.

    `num_layers` counts from the top, None is all. `target_modules` are names such as `q_proj` or `self_attn.q_proj`, None is
    every linear layer. `steps` wins over `epochs`. `warmup_steps` belong to the steps; the schedule then falls to
    `final_learning_rate` at the last one. `eval_every` None is once an epoch; `early_stop_patience` is in evaluations.
    """

    fine_tune_type: FineTuneType = "lora"
    lora_rank: Annotated[int, Meta(ge=1, le=1024)] = 16
    lora_alpha: Annotated[float, Meta(gt=0, le=65_536)] = 32.0
    lora_dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    num_layers: Count | None = None
    target_modules: Annotated[tuple[ModuleName, ...], Meta(min_length=1, max_length=200)] | None = None

    learning_rate: Annotated[float, Meta(gt=0, le=100)] = 5e-5
    final_learning_rate: Annotated[float, Meta(ge=0, le=100)] = 0.0
    schedule: ScheduleName = "cosine"
    warmup_steps: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    optimizer: OptimizerName = "adamw"
    weight_decay: Annotated[float, Meta(ge=0, le=1)] = 0.01
    max_grad_norm: Annotated[float, Meta(gt=0, le=1e6)] | None = 1.0

    epochs: Annotated[int, Meta(ge=1, le=10_000)] = 3
    steps: Count | None = None
    batch_size: Annotated[int, Meta(ge=1, le=4096)] = 4
    gradient_accumulation: Annotated[int, Meta(ge=1, le=4096)] = 1
    gradient_checkpointing: bool = False
    max_seq_length: Annotated[int, Meta(ge=8, le=1_048_576)] = 2048
    mask_prompt: bool = True
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 42

    validation_share: Annotated[float, Meta(ge=0, le=0.5)] = 0.1
    max_validation_rows: Count = 512
    eval_every: Count | None = None
    early_stop_patience: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    save_every: Count = 50
    keep_checkpoints: Annotated[int, Meta(ge=1, le=100)] = 2

    @property
    def lora_scale(self) -> float:
        """What the low-rank product is multiplied with."""
        return self.lora_alpha / self.lora_rank


class RunSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of `run.json`. Without a `validation_file` a share of the rows is held out, chosen by the seed.

    One of several processes of a job knows itself by `rank`; only rank 0 writes into the run folder.
    """

    model_path: Text
    train_files: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=1000)]
    validation_file: Text | None = None
    config: TrainingConfig = TrainingConfig()
    num_samples: Annotated[int, Meta(ge=0, le=50)] = 3
    sample_tokens: Annotated[int, Meta(ge=1, le=4096)] = 128
    rank: Annotated[int, Meta(ge=0, le=4095)] = 0
    world_size: Annotated[int, Meta(ge=1, le=4096)] = 1


def parse_config(values: dict[str, Any]) -> TrainingConfig:
    """Settings from JSON values. Raises TrainingError `invalid_config` that names the setting and its bound."""
    try:
        return msgspec.convert(values, TrainingConfig)
    except msgspec.ValidationError as error:
        raise TrainingError("invalid_config", f"The training settings are not valid: {error}") from error


def read_run(run_dir: Path) -> RunSpec:
    """The run of folder `run_dir`. Raises TrainingError `invalid_config` when `run.json` is absent or wrong."""
    try:
        spec = msgspec.json.decode((run_dir / RUN_FILE).read_bytes(), type=RunSpec)
    except (OSError, msgspec.DecodeError) as error:
        raise TrainingError("invalid_config", f"{RUN_FILE} cannot be read: {error}") from error
    if spec.rank >= spec.world_size:
        raise TrainingError("invalid_config", f"rank {spec.rank} is outside of world_size {spec.world_size}.")
    return spec


def write_run(run_dir: Path, spec: RunSpec) -> None:
    """Write `run.json`, making the folder. A run that goes on reads it anew: more steps or epochs extend it."""
    run_dir.mkdir(parents=True, exist_ok=True)
    part = run_dir / f"{RUN_FILE}.part"
    part.write_bytes(msgspec.json.format(msgspec.json.encode(spec), indent=2))
    part.replace(run_dir / RUN_FILE)
