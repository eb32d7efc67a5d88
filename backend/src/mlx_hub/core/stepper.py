"""One step of training: gradients of several batches, one update. Uses MLX, so only trainer processes import it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_flatten, tree_map, tree_unflatten

from mlx_hub.core.adapters import WEIGHTS_FILE
from mlx_hub.core.batches import Batch
from mlx_hub.core.lora import trainable_weights
from mlx_hub.core.loss import AnswerLoss, batch_arrays
from mlx_hub.core.run_config import TrainingConfig

OPTIMIZER_FILE = "optimizer.safetensors"


@dataclass(frozen=True, slots=True)
class StepResult:
    """Mean loss over the step's learned tokens, and the norm of its gradient before clipping."""

    loss: float
    grad_norm: float


class Stepper:
    """A model, its optimiser and loss. Belongs to one thread.

    Each token counts the same wherever its batch was cut: the gradient is of the mean over all tokens of the step.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig, *, vocab_size: int | None) -> None:
        self.model = model
        self._config = config
        model.eval()
        self._loss = AnswerLoss(model, vocab_size)
        self._optimizer = make_optimizer(config)
        self._optimizer.init(model.trainable_parameters())
        self._update = self._compiled_update()

    @property
    def needs_all_logits(self) -> bool:
        """Whether the model's build does not allow to compute logits of learned positions alone."""
        return self._loss.needs_all_logits

    def train_step(
        self, batches: Sequence[Batch], *, learning_rate: float, step: int, check: Callable[[], None] = lambda: None
    ) -> StepResult:
        """Update the weights. `check` runs before each batch and may raise, which leaves the weights as they were."""
        self.model.train()
        self._optimizer.learning_rate = learning_rate
        scale = 1 / max(1, sum(batch.num_learned for batch in batches))
        loss, gradients, grad_norm = 0.0, None, mx.array(0.0)
        for index, batch in enumerate(batches):
            check()
            mx.random.seed(_random_seed(self._config.seed, step, index))
            is_last = index == len(batches) - 1
            part, gradients, grad_norm = self._update(batch_arrays(batch, scale=scale), gradients, is_last)
            mx.eval(self.model.state, self._optimizer.state, part, gradients, grad_norm)
            loss += _number(part)
        return StepResult(loss, _number(grad_norm))

    def mean_loss(self, batches: Sequence[Batch], *, check: Callable[[], None] = lambda: None) -> float:
        """Mean over all learned tokens of `batches`, without dropout. `check` may raise between them."""
        return mean_loss(self.model, self._loss, batches, check=check)

    def is_finite(self) -> bool:
        """Whether every trained weight is a number."""
        flags = [mx.isfinite(weights).all() for weights in trainable_weights(self.model).values()]
        return bool(mx.stack(flags).all())

    def save(self, folder: Path) -> None:
        """Write the trained weights and the optimiser's state."""
        mx.save_safetensors(str(folder / WEIGHTS_FILE), trainable_weights(self.model))
        mx.save_safetensors(str(folder / OPTIMIZER_FILE), dict(tree_flatten(self._optimizer.state)))

    def restore(self, folder: Path) -> None:
        """Continue from what `save` wrote."""
        self.model.load_weights(str(folder / WEIGHTS_FILE), strict=False)
        state: Any = mx.load(str(folder / OPTIMIZER_FILE))
        self._optimizer.state = tree_unflatten(list(state.items()))
        self._optimizer.init(self.model.trainable_parameters())
        mx.eval(self.model.state, self._optimizer.state)
        self._update = self._compiled_update()

    def _compiled_update(self) -> Callable[..., Any]:
        loss_and_gradients = nn.value_and_grad(self.model, partial(self._loss.for_training, self.model))
        state = [self.model.state, self._optimizer.state, mx.random.state]
        max_norm = self._config.max_grad_norm or float("inf")

        @partial(mx.compile, inputs=state, outputs=state)
        def update(arrays: tuple[mx.array, ...], earlier: Any, is_last: bool) -> tuple[mx.array, Any, mx.array]:
            loss, gradients = loss_and_gradients(*arrays)
            if earlier is not None:
                gradients = tree_map(mx.add, gradients, earlier)
            if not is_last:
                return loss, gradients, mx.array(0.0)
            norm = _norm(gradients)
            if self._config.max_grad_norm is not None:
                factor = mx.minimum(max_norm / (norm + 1e-6), 1.0)
                gradients = tree_map(lambda gradient: (gradient * factor).astype(gradient.dtype), gradients)
            self._optimizer.update(self.model, gradients)
            return loss, None, norm

        return update


def mean_loss(model: nn.Module, loss: AnswerLoss, batches: Sequence[Batch], *, check: Callable[[], None] = lambda: None) -> float:
    """Mean loss over all learned tokens of `batches`, without dropout."""
    model.eval()
    total, num_tokens = 0.0, 0
    for batch in batches:
        check()
        total += _number(loss(model, *batch_arrays(batch)))
        num_tokens += batch.num_learned
    return total / max(1, num_tokens)


def make_optimizer(config: TrainingConfig) -> optim.Optimizer:
    """The configured optimiser. Its rate is set at each step; Adam's start is bias-corrected, as in its paper."""
    rate, decay = config.learning_rate, config.weight_decay
    makers: dict[str, Callable[[], optim.Optimizer]] = {
        "adam": lambda: optim.Adam(rate, bias_correction=True),
        "adamw": lambda: optim.AdamW(rate, weight_decay=decay, bias_correction=True),
        "sgd": lambda: optim.SGD(rate, momentum=0.9, weight_decay=decay),
        "muon": lambda: optim.Muon(rate, weight_decay=decay),
        "adafactor": lambda: optim.Adafactor(rate, weight_decay=decay, relative_step=False, scale_parameter=False),
        "lion": lambda: optim.Lion(rate, weight_decay=decay),
    }
    return makers[config.optimizer]()


def _number(scalar: mx.array) -> float:
    value: Any = scalar.item()
    return value


def _norm(gradients: Any) -> mx.array:
    flat: dict[str, mx.array] = dict(tree_flatten(gradients))
    squares = [gradient.astype(mx.float32).square().sum() for gradient in flat.values()]
    return mx.sqrt(mx.stack(squares).sum())


def _random_seed(seed: int, step: int, batch: int) -> int:
    """MLX's random state cannot be restored, so each batch starts from one that follows from its place."""
    return (seed * 1_000_003 + step) * 4099 + batch
