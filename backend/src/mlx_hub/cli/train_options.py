"""The settings of a training run as options; the keys are those of the API's `config`."""

import json
from enum import StrEnum
from typing import Annotated, Any, TypedDict

import typer

from mlx_hub.cli.client import Json
from mlx_hub.cli.errors import UsageError

_ADAPTER, _BATCHES, _OPTIMISER, _VALIDATION = "What is trained", "Rows and batches", "Optimiser", "Validation and checkpoints"


class FineTuneType(StrEnum):
    LORA = "lora"
    DORA = "dora"
    FULL = "full"


class Optimizer(StrEnum):
    ADAM = "adam"
    ADAMW = "adamw"
    SGD = "sgd"
    MUON = "muon"
    ADAFACTOR = "adafactor"
    LION = "lion"


class Schedule(StrEnum):
    CONSTANT = "constant"
    LINEAR = "linear"
    COSINE = "cosine"


class TrainOptions(TypedDict, total=False):
    """Every one may be absent: the backend has the defaults, which the help repeats."""

    fine_tune_type: Annotated[
        FineTuneType | None, typer.Option("--type", help="Kind of adapter.", show_default="lora", rich_help_panel=_ADAPTER)
    ]
    lora_rank: Annotated[
        int | None, typer.Option("--rank", min=1, help="Rank of the adapter.", show_default="16", rich_help_panel=_ADAPTER)
    ]
    lora_alpha: Annotated[
        float | None,
        typer.Option("--alpha", help="Its strength; alpha / rank scales it.", show_default="32", rich_help_panel=_ADAPTER),
    ]
    lora_dropout: Annotated[
        float | None, typer.Option("--dropout", min=0, max=1, help="Dropout.", show_default="0", rich_help_panel=_ADAPTER)
    ]
    num_layers: Annotated[
        int | None, typer.Option("--layers", min=1, help="Layers from the top.", show_default="all", rich_help_panel=_ADAPTER)
    ]
    target_modules: Annotated[
        list[str] | None,
        typer.Option(
            "--target", help="Such as q_proj; may be given several times.", show_default="all linear", rich_help_panel=_ADAPTER
        ),
    ]
    epochs: Annotated[int | None, typer.Option(min=1, help="Times through the rows.", show_default="3", rich_help_panel=_BATCHES)]
    steps: Annotated[int | None, typer.Option(min=1, help="Steps; goes before --epochs.", rich_help_panel=_BATCHES)]
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows of a batch.", show_default="4", rich_help_panel=_BATCHES)]
    gradient_accumulation: Annotated[
        int | None, typer.Option("--accumulate", min=1, help="Batches of a step.", show_default="1", rich_help_panel=_BATCHES)
    ]
    max_seq_length: Annotated[
        int | None,
        typer.Option("--max-length", min=8, help="Tokens that a row is cut to.", show_default="2048", rich_help_panel=_BATCHES),
    ]
    mask_prompt: Annotated[
        bool | None, typer.Option(help="Learn the answers alone.", show_default="mask-prompt", rich_help_panel=_BATCHES)
    ]
    gradient_checkpointing: Annotated[
        bool | None,
        typer.Option("--grad-checkpoint", help="Less memory, more time.", rich_help_panel=_BATCHES),
    ]
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", "--lr", show_default="5e-5", rich_help_panel=_OPTIMISER)
    ]
    schedule: Annotated[
        Schedule | None, typer.Option(help="Of the learning rate.", show_default="cosine", rich_help_panel=_OPTIMISER)
    ]
    warmup_steps: Annotated[
        int | None,
        typer.Option("--warmup", min=0, help="Steps with a rising rate.", show_default="0", rich_help_panel=_OPTIMISER),
    ]
    optimizer: Annotated[Optimizer | None, typer.Option(show_default="adamw", rich_help_panel=_OPTIMISER)]
    weight_decay: Annotated[float | None, typer.Option(min=0, max=1, show_default="0.01", rich_help_panel=_OPTIMISER)]
    seed: Annotated[int | None, typer.Option(min=0, show_default="42", rich_help_panel=_OPTIMISER)]
    validation_share: Annotated[
        float | None, typer.Option(min=0, max=0.5, help="Rows held out.", show_default="0.1", rich_help_panel=_VALIDATION)
    ]
    eval_every: Annotated[
        int | None, typer.Option(min=1, help="Steps between evaluations.", show_default="an epoch", rich_help_panel=_VALIDATION)
    ]
    early_stop_patience: Annotated[
        int | None,
        typer.Option("--early-stop", min=1, help="Stop after so many evaluations without gain.", rich_help_panel=_VALIDATION),
    ]
    save_every: Annotated[
        int | None, typer.Option(min=1, help="Steps between checkpoints.", show_default="50", rich_help_panel=_VALIDATION)
    ]


def config_of(options: TrainOptions, others: list[str]) -> Json:
    """The settings that were given; `others` are `name=value` with values in JSON, or text. Raises UsageError."""
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None and value != []}
    for pair in others:
        name, separator, text = pair.partition("=")
        if not separator:
            raise UsageError(f"--set {pair!r} must look like name=value.")
        given[name] = _value(text)
    return given


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
