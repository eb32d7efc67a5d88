"""Metrics get from a trainer's file into the table once each, and out of it as curves that keep their shape."""

import json
import math
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fixtures.jobs import Jobs
from hypothesis import given
from hypothesis import strategies as st
from mlx_hub.models.job import Metric, TrainingJob
from mlx_hub.services import metrics_series
from mlx_hub.services.metrics_series import read_series, thin
from mlx_hub.services.metrics_tail import MetricsTail, last_steps, store_metrics
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession


def _write(run_dir: Path, *points: dict[str, Any], mode: str = "a", end: str = "\n") -> None:
    with (run_dir / "metrics.jsonl").open(mode) as file:
        file.write("".join(json.dumps({"t": 1.0, **point}) + end for point in points))


def _follow(tail: MetricsTail) -> list[dict[str, float]]:
    part = tail.read()
    tail.confirm(part)
    return [{name: value for name, value in point.items() if name != "t"} for point in part.points]


def test_each_line_is_read_once_and_again_until_it_is_confirmed(tmp_path: Path) -> None:
    tail = MetricsTail(tmp_path, {})
    assert _follow(tail) == []
    _write(tmp_path, {"step": 1, "loss": 3.0})

    assert tail.read().points == tail.read().points
    assert _follow(tail) == [{"step": 1, "loss": 3.0}]
    assert _follow(tail) == []


def test_a_line_that_is_being_written_waits(tmp_path: Path) -> None:
    tail = MetricsTail(tmp_path, {})
    _write(tmp_path, {"step": 1, "loss": 3.0})
    _write(tmp_path, {"step": 2, "loss": 2.0}, end="")

    assert _follow(tail) == [{"step": 1, "loss": 3.0}]
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write("\n")
    assert _follow(tail) == [{"step": 2, "loss": 2.0}]


def test_what_is_stored_is_skipped_by_name_not_by_step(tmp_path: Path) -> None:
    """A step's validation loss comes in a line of its own, after the others of the step are stored."""
    tail = MetricsTail(tmp_path, {"loss": 2})
    _write(tmp_path, {"step": 2, "loss": 2.0}, {"step": 2, "val_loss": 5.0}, {"step": 3, "loss": 1.0, "rate": None})

    assert _follow(tail) == [{"step": 2, "val_loss": 5.0}, {"step": 3, "loss": 1.0}]


def test_a_file_that_is_cut_and_written_anew_gives_only_what_is_new(tmp_path: Path) -> None:
    tail = MetricsTail(tmp_path, {})
    _write(tmp_path, *({"step": step, "loss": 9.0 - step} for step in range(1, 6)))
    _follow(tail)
    _write(tmp_path, *({"step": step, "loss": 9.0 - step, "t": 2.0} for step in range(1, 8)), mode="w")

    assert _follow(tail) == [{"step": 6, "loss": 3.0}, {"step": 7, "loss": 2.0}]


def test_broken_lines_are_passed_over(tmp_path: Path) -> None:
    tail = MetricsTail(tmp_path, {})
    (tmp_path / "metrics.jsonl").write_bytes(b'\xff\n{"step": 1}\n[1]\n{"loss": 1.0, "t": 1.0}\n')
    _write(tmp_path, {"step": 2, "loss": 2.0})

    assert _follow(tail) == [{"step": 2, "loss": 2.0}]


def _add_job(jobs: Jobs) -> UUID:
    async def work(session: AsyncSession) -> UUID:
        job = TrainingJob(name="j", store_id="s", adapter_name="a", model_id=None, dataset_id=None)
        session.add(job)
        return job.id

    return jobs.in_session(work)


def test_storing_twice_changes_nothing(jobs: Jobs) -> None:
    job_id = _add_job(jobs)
    points = [{"step": step, "t": 1e9 + step, "loss": float(step), "nan": math.nan} for step in range(2500)]

    for part in (points[:10], points):
        jobs.in_session(lambda session, part=part: store_metrics(session, job_id, part))

    assert jobs.rows(select(Metric.value).order_by(col(Metric.step))) == [float(step) for step in range(2500)]
    assert jobs.in_session(lambda session: last_steps(session, job_id)) == {"loss": 2499}


def test_a_long_curve_has_few_points_its_ends_and_its_peak(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_series, "MAX_READ_POINTS", 1000)
    job_id, other = _add_job(jobs), _add_job(jobs)
    points = [{"step": step, "t": 1e9 + step, "loss": 50.0 if step == 1501 else 1.0, "rate": 0.5} for step in range(1, 3002)]
    jobs.in_session(lambda session: store_metrics(session, job_id, points))
    jobs.in_session(lambda session: store_metrics(session, other, points[:3]))

    found = jobs.in_session(lambda session: read_series(session, job_id, max_points=100))
    one = jobs.in_session(lambda session: read_series(session, other, names=["loss"], max_points=100))

    assert sorted(found) == ["loss", "rate"]
    curve = found["loss"]
    assert len(curve) == 100
    assert (curve[0].step, curve[-1].step) == (1, 3001)
    assert [point.step for point in curve] == sorted({point.step for point in curve})
    assert max(point.value for point in curve) == 50.0
    assert {name: [point.step for point in points] for name, points in one.items()} == {"loss": [1, 2, 3]}
    assert jobs.in_session(lambda session: read_series(session, uuid4(), max_points=3)) == {}


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(3, 50))
def test_thinning_keeps_the_ends_and_the_bound(values: list[float], max_points: int) -> None:
    kept = thin(list(range(len(values))), values, max_points=max_points)

    assert len(kept) == min(len(values), max_points)
    assert kept == sorted(set(kept))
    assert (kept[0], kept[-1]) == (0, len(values) - 1)


def test_thinning_keeps_a_peak() -> None:
    values = [0.0] * 5000
    values[3217] = 1.0

    assert 3217 in thin(list(range(5000)), values, max_points=50)
