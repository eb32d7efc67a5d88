"""What a worker says of itself and of its trainer."""

from dataclasses import dataclass

import pytest
from mlx_hub.observability.worker_metrics import TrainerFigures, WorkerMetrics
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Beat:
    pid: int = 1
    create_time: float = 10.0
    step: int = 0
    num_steps: int = 0
    num_checks: int = 0


def figures(metrics: WorkerMetrics) -> dict[str, float]:
    """By name and label."""
    return {
        ":".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_a_trainer_is_seen_while_it_is_watched_and_leaves_nothing_behind() -> None:
    metrics = WorkerMetrics()
    with metrics.trainer.watching("train"):
        metrics.trainer.see(Beat(step=3, num_steps=10))
        metrics.trainer.record(
            [{"step": 2, "train_loss": 4.0}, {"step": 3, "train_loss": 2.5, "learning_rate": 1e-4}, {"step": 3, "val_loss": 3.0}]
        )
        during = figures(metrics)
    after = figures(metrics)

    assert during["mlx_hub_trainer_active:train"] == 1
    assert during["mlx_hub_trainer_active:evaluate"] == 0
    assert (during["mlx_hub_training_step"], during["mlx_hub_training_planned_steps"]) == (3, 10)
    assert during["mlx_hub_training_loss:train"] == 2.5
    assert during["mlx_hub_training_loss:validation"] == 3.0
    assert during["mlx_hub_training_learning_rate"] == 1e-4
    assert after["mlx_hub_trainer_active:train"] == 0
    assert after["mlx_hub_training_steps_total"] == during["mlx_hub_training_steps_total"] == 2
    assert not {
        name for name in after if name.startswith(("mlx_hub_training_loss", "mlx_hub_training_planned", "mlx_hub_trainer_silent"))
    }


def test_a_trainer_that_is_started_again_counts_once_more_and_an_adopted_one_does_not() -> None:
    metrics = WorkerMetrics()
    with metrics.trainer.watching("train"):
        for beat in (None, Beat(pid=1), Beat(pid=1, step=1), Beat(pid=2), Beat(pid=2, create_time=11.0)):
            metrics.trainer.see(beat)
    with metrics.trainer.watching("evaluate"):
        metrics.trainer.see(Beat(pid=3))

    assert figures(metrics)["mlx_hub_trainer_starts_total:train"] == 3
    assert figures(metrics)["mlx_hub_trainer_starts_total:evaluate"] == 1


def test_silence_grows_until_the_trainer_comes_forward() -> None:
    now = [100.0]
    registry = CollectorRegistry()
    starts, steps = Counter("starts", "Starts.", ["mode"], registry=registry), Counter("steps", "Steps.", registry=registry)
    trainer = TrainerFigures(starts, steps, now=lambda: now[0])
    registry.register(trainer)

    with trainer.watching("probe"):
        now[0] = 107.0
        before_it_spoke = registry.get_sample_value("mlx_hub_trainer_silent_seconds")
        trainer.see(Beat(num_checks=1))
        now[0] = 110.0
        trainer.see(Beat(num_checks=1))
        standing_still = registry.get_sample_value("mlx_hub_trainer_silent_seconds")
        trainer.see(Beat(num_checks=2))
        moved = registry.get_sample_value("mlx_hub_trainer_silent_seconds")

    assert (before_it_spoke, standing_still, moved) == (7.0, 3.0, 0.0)


def test_work_is_counted_and_timed_also_when_it_breaks() -> None:
    metrics = WorkerMetrics()
    during: list[float] = []

    def break_down() -> None:
        with metrics.working("download"):
            during.append(figures(metrics)["mlx_hub_work_in_progress:download"])
            raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        break_down()

    assert during == [1]
    assert figures(metrics)["mlx_hub_work_in_progress:download"] == 0
    assert figures(metrics)["mlx_hub_work_duration_seconds_count:download"] == 1
