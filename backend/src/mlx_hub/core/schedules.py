"""Learning rates as a pure function of the step, so that a resumed run continues exactly."""

import math

from mlx_hub.core.run_config import TrainingConfig


def learning_rate_at(config: TrainingConfig, step: int, num_steps: int) -> float:
    """Rate of step `step` (0 is the first) of `num_steps`: linear warm-up, then the schedule down to the final rate."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - config.warmup_steps) / max(1, num_steps - config.warmup_steps)
    remaining = 1 - done if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return config.final_learning_rate + remaining * (config.learning_rate - config.final_learning_rate)
