"""What every tool of a task works with: its wish to stop, and where it tells how far it is. Needs no MLX."""

import time
from dataclasses import dataclass
from pathlib import Path

from mlx_hub.core.stopping import StopRequest
from mlx_hub.core.tool_files import Progress, write_progress

_REPORT_SECONDS = 0.2


@dataclass(slots=True)
class Tool:
    """Belongs to the thread that does the work."""

    job_dir: Path
    stop: StopRequest
    phase: str = "starting"
    _reported_at: float = 0.0

    def begin(self, phase: str, progress: float) -> None:
        """Tell that a new part of the work begins. Raises StopRequestedError, as `report` does."""
        self.phase, self._reported_at = phase, 0.0
        self.report(progress)

    def report(self, progress: float) -> None:
        """Tell how much of the whole is done, not too often."""
        self.stop.check()
        if time.monotonic() - self._reported_at >= _REPORT_SECONDS:
            write_progress(self.job_dir, Progress(self.phase, min(max(progress, 0.0), 1.0)))
            self._reported_at = time.monotonic()

    def part(self, first: float, last: float) -> "Part":
        """A part of the whole that counts its own progress from 0 to 1."""
        return Part(self, first, last)


@dataclass(frozen=True, slots=True)
class Part:
    tool: Tool
    first: float
    last: float

    def report(self, progress: float) -> None:
        self.tool.report(self.first + (self.last - self.first) * progress)
