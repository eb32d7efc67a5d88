"""A model's weights in 4 or 8 bits, with its size and perplexity before and after. Uses MLX."""

import gc
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import msgspec
from mlx_lm.utils import quantize_model

from mlx_hub.core.adapter_export import describe_export, finish_export, make_part
from mlx_hub.core.batches import Batch, batches_by_length
from mlx_hub.core.data_prep import Row, read_rows, split_rows
from mlx_hub.core.loss import AnswerLoss
from mlx_hub.core.model_card import quantised_card
from mlx_hub.core.model_files import ModelFiles, read_model_files
from mlx_hub.core.model_loader import load_model_folder
from mlx_hub.core.model_writer import read_config, write_model
from mlx_hub.core.reference_text import REFERENCE_PARAGRAPHS
from mlx_hub.core.run_config import TrainingError
from mlx_hub.core.stepper import mean_loss
from mlx_hub.core.tokens import EncodedRow, TokenEncoder
from mlx_hub.core.tool import Part, Tool
from mlx_hub.core.tool_files import QuantiseSpec

GROUP_SIZES = (64, 32)
"""Tried in this order when none is asked for. mlx knows 128 too."""
MAX_ROWS = 64
_MAX_READ_ROWS = 4096
_MAX_TOKENS = 1024
_BATCH_SIZE = 4
_SEED = 42


class QuantiseReport(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes are of the weights. Perplexities are over the same `num_tokens` of `measured_on`."""

    bits: int
    group_size: int
    num_quantised_layers: int
    num_left_layers: int
    bits_per_weight: float
    size_before_bytes: int
    size_after_bytes: int
    perplexity_before: float
    perplexity_after: float
    measured_on: str
    num_rows: int
    num_tokens: int


@dataclass(frozen=True, slots=True)
class _Measure:
    """What perplexity is measured on, the same before and after."""

    source: str
    num_rows: int
    batches: list[Batch]
    vocab_size: int | None

    @property
    def num_tokens(self) -> int:
        return sum(batch.num_learned for batch in self.batches)

    def perplexity(self, model: nn.Module, part: Part) -> float:
        """Raises TrainingError `bad_result` when it is no number."""
        done = iter(range(len(self.batches)))
        loss = mean_loss(
            model, AnswerLoss(model, self.vocab_size), self.batches, check=lambda: part.report(next(done, 0) / len(self.batches))
        )
        if not math.isfinite(loss):
            raise TrainingError("bad_result", f"The model's loss on {self.source} is {loss}: its weights are broken.")
        # exp overflows at about 709 nats.
        return math.exp(min(loss, 700.0))


@dataclass(frozen=True, slots=True)
class GroupChoice:
    """How many weights share a scale, and which layers' rows that divides."""

    group_size: int
    quantised: tuple[str, ...]
    left: tuple[str, ...]


def quantise(spec: QuantiseSpec, tool: Tool) -> dict[str, Any]:
    """Make the folder `spec.output_path`, which appears when it is whole and measured; what it returns describes it.

    Raises TrainingError `already_quantised`, `cannot_quantise` and those of reading a model and a dataset.
    """
    output = Path(spec.output_path)
    files = read_model_files(Path(spec.model_path))
    if files.quantization is not None:
        raise TrainingError("already_quantised", "The model is quantised already; quantise the model that it was made from.")
    tool.begin("loading", 0.0)
    measure = _what_to_measure(spec, files)
    model = load_model_folder(files.path)
    tool.begin("measuring", 0.1)
    before = measure.perplexity(model, tool.part(0.1, 0.4))
    tool.begin("quantising", 0.4)
    choice = choose_group_size(model, spec.group_size)
    model, config = quantize_model(model, read_config(files.path), choice.group_size, spec.bits)
    part = make_part(output)
    num_parameters = _count_parameters(files)
    write_model(part, model, config, source=files.path, report=tool.part(0.4, 0.6).report)
    del model
    gc.collect()
    mx.clear_cache()
    tool.begin("measuring", 0.6)
    # What is measured is the folder on the disk, read as a user will.
    after = measure.perplexity(load_model_folder(part), tool.part(0.6, 0.95))
    size = read_model_files(part).weights_bytes
    report = QuantiseReport(
        bits=spec.bits,
        group_size=choice.group_size,
        num_quantised_layers=len(choice.quantised),
        num_left_layers=len(choice.left),
        bits_per_weight=size * 8 / num_parameters,
        size_before_bytes=files.weights_bytes,
        size_after_bytes=size,
        perplexity_before=before,
        perplexity_after=after,
        measured_on=measure.source,
        num_rows=measure.num_rows,
        num_tokens=measure.num_tokens,
    )
    measured: dict[str, Any] = msgspec.to_builtins(report)
    tool.begin("publishing", 0.95)
    manifest = finish_export(part, output, spec.lineage, card=quantised_card(spec.lineage, measured))
    return {**describe_export(manifest), **measured}


def choose_group_size(model: nn.Module, wanted: int | None) -> GroupChoice:
    """The group size asked for, or the largest of `GROUP_SIZES` that divides the rows of all layers, or of most.

    Raises TrainingError `cannot_quantise` when the one asked for does not divide all, or none divides any.
    """
    widths = {name: module.weight.shape[-1] for name, module in model.named_modules() if hasattr(module, "to_quantized")}
    choices = [_choice(widths, size) for size in ([wanted] if wanted else GROUP_SIZES)]
    best = max(choices, key=lambda choice: len(choice.quantised))
    if best.quantised and not (wanted and best.left):
        return best
    odd = best.left[0] if best.left else "none of its layers"
    told = f"{odd} has rows of {widths[best.left[0]]} weights" if best.left else "it has no layer that could be"
    sizes = " nor ".join(str(choice.group_size) for choice in choices)
    raise TrainingError("cannot_quantise", f"The model cannot be quantised in groups of {sizes}: {told}.")


def _choice(widths: dict[str, int], size: int) -> GroupChoice:
    return GroupChoice(
        size,
        tuple(name for name, width in widths.items() if width % size == 0),
        tuple(name for name, width in widths.items() if width % size != 0),
    )


def _count_parameters(files: ModelFiles) -> int:
    return sum(tensor.num_values for tensor in files.tensors.values())


def _what_to_measure(spec: QuantiseSpec, files: ModelFiles) -> _Measure:
    encoder = TokenEncoder(files, max_seq_length=_MAX_TOKENS, mask_prompt=True)
    if spec.dataset_file is None:
        source = "the reference text of mlx-hub"
        rows = [Row(line, text=text) for line, text in enumerate(REFERENCE_PARAGRAPHS, 1)]
    else:
        source = "rows of the dataset"
        rows = _chosen_rows(Path(spec.dataset_file))
    encoded = [row for row in encoder.encode(rows) if isinstance(row, EncodedRow)]
    if not encoded:
        raise TrainingError("no_rows", f"The model can be measured on none of {source}: no row fits its template.")
    return _Measure(source, len(encoded), batches_by_length(encoded, _BATCH_SIZE), encoder.vocab_size)


def _chosen_rows(file: Path) -> list[Row]:
    """At most `MAX_ROWS` of the first rows, chosen by their content, so that the same dataset is always measured alike."""
    try:
        rows = list(islice(_usable(file), _MAX_READ_ROWS))
    except OSError as error:
        raise TrainingError("bad_dataset", f"The dataset cannot be read: {error}") from error
    if len(rows) <= MAX_ROWS:
        return rows
    _, chosen = split_rows([row.digest() for row in rows], share=1.0, max_held_out=MAX_ROWS, seed=_SEED)
    return [rows[index] for index in chosen]


def _usable(file: Path) -> Iterator[Row]:
    return (row for row in read_rows([file]) if isinstance(row, Row))
