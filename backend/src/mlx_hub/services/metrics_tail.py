"""New lines of a run's `metrics.jsonl`, and how they get into the metric table: each number once, however often it is read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import func
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.core.run_files import METRICS_FILE
from mlx_hub.models.job import Metric

_READ_BYTES = 2**20
_INSERT_ROWS = 1000
"""SQLite takes 32766 variables a statement, of which a row has five."""
_NOT_METRICS = ("step", "t")

Point = dict[str, float]
"""A line of `metrics.jsonl`: `step`, `t` (Unix seconds), and numbers by name."""


@dataclass(frozen=True, slots=True)
class TailPart:
    """What was read and not stored yet. `is_last` when nothing more stood in the file."""

    points: list[Point]
    is_last: bool
    next_offset: int
    last_line: bytes


class MetricsTail:
    """Follows one file, which a trainer that starts again cuts and writes anew. Blocks on the disk; one user at a time."""

    def __init__(self, run_dir: Path, last_steps: dict[str, int]) -> None:
        """`last_steps` has the last step that is stored, by the metric's name."""
        self._path = run_dir / METRICS_FILE
        self._last_steps = dict(last_steps)
        self._offset = 0
        self._last_line = b""

    def read(self) -> TailPart:
        """Numbers that were not confirmed before; the same again until they are."""
        try:
            with self._path.open("rb") as file:
                offset = self._offset if self._is_unchanged(file) else 0
                file.seek(offset)
                content = file.read(_READ_BYTES)
        except FileNotFoundError:
            return TailPart([], is_last=True, next_offset=0, last_line=b"")
        lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
        points = [point for line in lines if (point := self._new_point(line))]
        size = sum(map(len, lines))
        last_line = lines[-1] if lines else (self._last_line if offset else b"")
        return TailPart(points, len(content) < _READ_BYTES, offset + size, last_line)

    def confirm(self, part: TailPart) -> None:
        """`part` is stored."""
        self._offset, self._last_line = part.next_offset, part.last_line
        for point in part.points:
            for name in point:
                if name not in _NOT_METRICS:
                    self._last_steps[name] = int(point["step"])

    def _is_unchanged(self, file: Any) -> bool:
        """Whether the line before the offset is the one that was read there; each has its own time."""
        file.seek(self._offset - len(self._last_line))
        return file.read(len(self._last_line)) == self._last_line

    def _new_point(self, line: bytes) -> Point | None:
        try:
            values = msgspec.json.decode(line, type=dict[str, float | None])
        except msgspec.DecodeError:
            return None
        step, written_at = values.get("step"), values.get("t")
        if step is None or written_at is None:
            return None
        new = {
            name: value
            for name, value in values.items()
            if value is not None and name not in _NOT_METRICS and step > self._last_steps.get(name, -1)
        }
        return {"step": step, "t": written_at, **new} if new else None


async def last_steps(session: AsyncSession, job_id: UUID) -> dict[str, int]:
    """The last step that is stored, by the metric's name."""
    statement = select(Metric.name, func.max(col(Metric.step))).where(col(Metric.job_id) == job_id).group_by(col(Metric.name))
    return dict((await session.exec(statement)).all())


async def store_metrics(session: AsyncSession, job_id: UUID, points: Sequence[Point]) -> None:
    """Add the numbers; those that are there already stay as they are."""
    insert: Any = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    rows = [
        {
            "job_id": job_id,
            "name": name,
            "step": int(point["step"]),
            "value": value,
            "recorded_at": datetime.fromtimestamp(point["t"], UTC),
        }
        for point in points
        for name, value in point.items()
        if name not in _NOT_METRICS and math.isfinite(value)
    ]
    for first in range(0, len(rows), _INSERT_ROWS):
        await session.exec(insert(Metric).values(rows[first : first + _INSERT_ROWS]).on_conflict_do_nothing())
