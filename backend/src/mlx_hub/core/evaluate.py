"""Before and after: loss and sample answers of a run's base model and of its adapter, on the rows it was not trained on.

Uses MLX, so only trainer processes import it.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import msgspec
from mlx_lm.generate import generate_step
from mlx_lm.tuner.utils import load_adapters

from mlx_hub.core.adapters import ADAPTER, read_adapter
from mlx_hub.core.batches import Batch, batches_by_length
from mlx_hub.core.durable_files import write_atomically
from mlx_hub.core.examples import Examples
from mlx_hub.core.loss import AnswerLoss
from mlx_hub.core.run_config import RunSpec, TrainingError
from mlx_hub.core.run_reports import EVALUATION_FILE, EvaluationReport, Sample, Score
from mlx_hub.core.stepper import mean_loss
from mlx_hub.core.tokens import EncodedRow, TokenEncoder


def evaluate_run(
    run_dir: Path, spec: RunSpec, model: nn.Module, encoder: TokenEncoder, examples: Examples, *, check: Callable[[], None]
) -> EvaluationReport:
    """Measure `model`, put the run's adapter on it, measure again, and write `evaluation.json`.

    `check` may raise between batches and tokens. Raises TrainingError `bad_adapter` when the run has no adapter.
    """
    read_adapter(run_dir / ADAPTER)
    rows = examples.held_out or examples.train[: spec.config.max_validation_rows]
    batches = batches_by_length(rows, spec.config.batch_size)
    asked = _asked_rows(rows, encoder, spec.num_samples)
    model.eval()
    loss = AnswerLoss(model, encoder.vocab_size)
    base, base_answers = _measure(model, loss, batches, encoder, asked, spec.sample_tokens, check=check)
    load_adapter(model, run_dir / ADAPTER)
    adapter, adapter_answers = _measure(model, loss, batches, encoder, asked, spec.sample_tokens, check=check)
    samples = [
        Sample(line=row.row.line, prompt=encoder.decode(tokens), expected=expected, base=before, adapter=after)
        for (row, tokens, expected), before, after in zip(asked, base_answers, adapter_answers, strict=True)
    ]
    report = EvaluationReport(
        is_held_out=bool(examples.held_out),
        num_rows=len(rows),
        num_tokens=sum(batch.num_learned for batch in batches),
        base=base,
        adapter=adapter,
        samples=samples,
    )
    write_atomically(run_dir / EVALUATION_FILE, msgspec.json.encode(report))
    return report


_Asked = list[tuple[EncodedRow, list[int], str]]


def _asked_rows(rows: Sequence[EncodedRow], encoder: TokenEncoder, count: int) -> _Asked:
    """The first `count` whole rows that end in an answer, with the prompt's tokens and the expected text."""
    asked: _Asked = []
    for row in rows:
        if len(asked) == count:
            break
        prompt = None if row.num_cut else encoder.prompt_tokens(row.row)
        if prompt is not None:
            asked.append((row, *prompt))
    return asked


def _measure(
    model: nn.Module,
    loss: AnswerLoss,
    batches: Sequence[Batch],
    encoder: TokenEncoder,
    asked: _Asked,
    max_tokens: int,
    *,
    check: Callable[[], None],
) -> tuple[Score, list[str]]:
    value = mean_loss(model, loss, batches, check=check)
    # exp overflows at about 709 nats.
    score = Score(value, math.exp(min(value, 700.0)))
    return score, [_greedy_answer(model, encoder, tokens, max_tokens, check=check) for _, tokens, _ in asked]


def _greedy_answer(
    model: nn.Module, encoder: TokenEncoder, prompt: list[int], max_tokens: int, *, check: Callable[[], None]
) -> str:
    answer: list[int] = []
    for token, _ in generate_step(mx.array(prompt), model, max_tokens=max_tokens):
        check()
        if int(token) in encoder.eos_token_ids:
            break
        answer.append(int(token))
    return encoder.decode(answer)


def load_adapter(model: nn.Module, folder: Path) -> None:
    try:
        load_adapters(model, str(folder))
    except (ValueError, KeyError, OSError) as error:
        raise TrainingError("bad_adapter", f"The adapter does not fit its base model: {error}") from error
    mx.eval(model.parameters())
    model.eval()
