"""Curves of a run's metrics with as many points as a chart can show."""

from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import pairwise
from uuid import UUID

import numpy as np
from pydantic import BaseModel
from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.models.job import Metric

MAX_READ_POINTS = 20_000
"""Of one curve; a longer one is thinned evenly by the database first."""


class SeriesPoint(BaseModel):
    """`t` is when the trainer wrote it."""

    step: int
    value: float
    t: datetime


async def read_series(
    session: AsyncSession, job_id: UUID, *, names: Collection[str] = (), max_points: int
) -> dict[str, list[SeriesPoint]]:
    """The job's metrics, or those of `names`, each in the order of steps and with at most `max_points` points."""
    of_job = [col(Metric.job_id) == job_id, *([col(Metric.name).in_(list(names))] if names else [])]
    counts = select(Metric.name, func.count()).where(*of_job).group_by(col(Metric.name)).order_by(col(Metric.name))
    found: dict[str, list[SeriesPoint]] = {}
    for name, count in (await session.exec(counts)).all():
        number = func.row_number().over(order_by=col(Metric.step)).label("number")
        numbered = select(Metric.step, Metric.value, Metric.recorded_at, number)
        rows = numbered.where(col(Metric.job_id) == job_id, col(Metric.name) == name).subquery()
        stride = -(-count // MAX_READ_POINTS)
        is_kept = ((rows.c.number - 1) % stride == 0) | (rows.c.number == count)
        statement = select(rows.c.step, rows.c.value, rows.c.recorded_at).where(is_kept).order_by(rows.c.step)
        points = [SeriesPoint(step=step, value=value, t=t) for step, value, t in (await session.exec(statement)).all()]
        kept = thin([point.step for point in points], [point.value for point in points], max_points=max_points)
        found[name] = [points[index] for index in kept]
    return found


def thin(steps: Sequence[float], values: Sequence[float], *, max_points: int) -> list[int]:
    """Indices, ascending, of at most `max_points` (3 or more) points that show the curve's shape, the first and last included.

    Largest-Triangle-Three-Buckets: Sveinn Steinarsson, "Downsampling Time Series for Visual Representation", 2013.
    """
    count = len(values)
    if count <= max_points:
        return list(range(count))
    x, y = np.asarray(steps, float), np.asarray(values, float)
    edges = np.linspace(1, count - 1, max_points - 1).astype(int)
    kept = [0]
    for place, (start, end) in enumerate(pairwise(edges)):
        after = slice(end, edges[place + 2] if place + 2 < len(edges) else count)
        next_x, next_y = x[after].mean(), y[after].mean()
        last = kept[-1]
        areas = np.abs((x[last] - next_x) * (y[start:end] - y[last]) - (x[last] - x[start:end]) * (next_y - y[last]))
        kept.append(int(start + areas.argmax()))
    return [*kept, count - 1]
