"""The loss of a model on the tokens to learn, without logits for the others. Uses MLX, so only trainer processes import it."""

from functools import partial
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from mlx_hub.core.batches import MAX_LOGITS_BYTES, Batch

_BACKBONES = ("model", "backbone", "transformer", "language_model.model", "language_model.backbone", "model.language_model")
_CHECK_TOKENS = 5
_TOLERANCE = 1e-2
"""Relative to the largest logit: half precision rounds differently when it multiplies fewer rows at once."""


class AnswerLoss:
    """Sums the loss over a batch's positions.

    A model is a backbone with hidden states and, after it, work on each position alone. So the hidden states of the
    positions to learn are enough for the rest. Whether a model is built like that is tried when this is made; if not, all
    logits are computed.
    """

    def __init__(self, model: nn.Module, vocab_size: int | None) -> None:
        """Gives the model's backbone a subclass of its class; the model works as before outside of this loss."""
        self._tap: _Tap | None = None
        for path in _BACKBONES:
            backbone = _module_at(model, path)
            if backbone is None:
                continue
            tap = _Tap(backbone)
            if _is_exact(model, tap):
                self._tap = tap
                break
            tap.remove()
        self._max_positions = max(64, MAX_LOGITS_BYTES // (4 * (vocab_size or 1)))

    @property
    def needs_all_logits(self) -> bool:
        return self._tap is None

    def __call__(self, model: nn.Module, inputs: mx.array, positions: mx.array, targets: mx.array, weights: mx.array) -> mx.array:
        """Sum of weighted cross entropies (a float32 scalar). Shapes: inputs (rows, width), the others (positions,)."""
        if self._tap is None:
            logits = model(inputs)
            return _weighted_sum(logits.reshape(-1, logits.shape[-1])[positions], targets, weights)
        hidden = self._tap.hidden_states(model, inputs, positions)
        parts = [_head_loss(self._tap, model, hidden[cut], targets[cut], weights[cut]) for cut in self._cuts(positions)]
        return mx.stack(parts).sum()

    def for_training(
        self, model: nn.Module, inputs: mx.array, positions: mx.array, targets: mx.array, weights: mx.array
    ) -> mx.array:
        """The same sum, to be differentiated: logits in parts are neither kept for the gradient nor computed twice.

        What follows the backbone must be frozen, as the gradient is that of the hidden states.
        """
        cuts = self._cuts(positions)
        if self._tap is None or len(cuts) == 1:
            return self(model, inputs, positions, targets, weights)
        hidden = self._tap.hidden_states(model, inputs, positions)
        fixed = mx.stop_gradient(hidden)
        loss_and_gradient = mx.value_and_grad(partial(_head_loss, self._tap, model))
        total, gradients = mx.array(0.0), list[mx.array]()
        for cut in cuts:
            # MLX would else work on many parts at once, and hold the logits of each.
            part = mx.depends([fixed[cut]], [total, *gradients[-1:]])[0]
            loss, gradient = loss_and_gradient(part, targets[cut], weights[cut])
            total += loss
            gradients.append(gradient)
        # The last term is zero; its derivative is the gradient that was made with the losses.
        return mx.stop_gradient(total) + ((hidden - fixed) * mx.stop_gradient(mx.concatenate(gradients))).sum()

    def _cuts(self, positions: mx.array) -> list[slice]:
        return [slice(first, first + self._max_positions) for first in range(0, positions.shape[0], self._max_positions)]


def batch_arrays(batch: Batch, *, scale: float = 1.0) -> tuple[mx.array, mx.array, mx.array, mx.array]:
    """Arguments of the loss; `scale` multiplies the weights."""
    return mx.array(batch.inputs), mx.array(batch.positions), mx.array(batch.targets), mx.array(batch.weights * scale)


class _Tap:
    """Takes hidden states out of a model's backbone, and puts given ones in its place."""

    def __init__(self, backbone: nn.Module) -> None:
        tap = self
        self._backbone = backbone
        self._original = type(backbone)
        self._given: mx.array | None = None
        self._taken: list[mx.array] | None = None

        class Tapped(self._original):  # type: ignore[name-defined,misc]
            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                if tap._given is not None:
                    return tap._given
                hidden = super().__call__(*args, **kwargs)
                if tap._taken is None:
                    return hidden
                tap._taken.append(hidden)
                # What follows is not used and, MLX being lazy, not computed.
                return hidden[:, :1]

        backbone.__class__ = Tapped

    def remove(self) -> None:
        self._backbone.__class__ = self._original

    def hidden_states(self, model: nn.Module, inputs: mx.array, positions: mx.array) -> mx.array:
        """Of shape (positions, dimensions)."""
        self._taken = []
        try:
            model(inputs)
            (hidden,) = self._taken
        finally:
            self._taken = None
        return hidden.reshape(-1, hidden.shape[-1])[positions]

    def logits(self, model: nn.Module, hidden: mx.array) -> mx.array:
        """Logits (positions, vocabulary) of hidden states (positions, dimensions)."""
        self._given = hidden[None]
        try:
            # Indexing would do, but its gradient copies the logits.
            return model(mx.zeros((1, hidden.shape[0]), mx.int32)).squeeze(0)
        finally:
            self._given = None


def _is_exact(model: nn.Module, tap: _Tap) -> bool:
    inputs = mx.arange(2 * _CHECK_TOKENS).reshape(2, _CHECK_TOKENS)
    picked = mx.array([1, _CHECK_TOKENS - 1, 2 * _CHECK_TOKENS - 2])
    expected = model(inputs)
    expected = expected.reshape(-1, expected.shape[-1])[picked].astype(mx.float32)
    try:
        found = tap.logits(model, tap.hidden_states(model, inputs, picked)).astype(mx.float32)
    # A model that is built otherwise fails in its own way; it then gets the plain loss.
    except Exception:
        return False
    if found.shape != expected.shape:
        return False
    return bool(mx.abs(found - expected).max() <= _TOLERANCE * mx.maximum(mx.abs(expected).max(), 1e-6))


def _head_loss(tap: _Tap, model: nn.Module, hidden: mx.array, targets: mx.array, weights: mx.array) -> mx.array:
    return _weighted_sum(tap.logits(model, hidden), targets, weights)


def _weighted_sum(logits: mx.array, targets: mx.array, weights: mx.array) -> mx.array:
    targets, weights = mx.stop_gradient(targets), mx.stop_gradient(weights)
    losses = nn.losses.cross_entropy(logits.astype(mx.float32), targets, reduction="none")
    # A product would turn the infinite loss of a padded position into NaN.
    return mx.where(weights > 0, losses * weights, 0.0).sum()


def _module_at(model: nn.Module, path: str) -> nn.Module | None:
    found: Any = model
    for name in path.split("."):
        found = found.get(name) if isinstance(found, nn.Module) else None
    return found if isinstance(found, nn.Module) else None
