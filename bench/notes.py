"""What both trainers note, in the same way, whenever they report a step or a validation."""

import json
import time
from pathlib import Path

import mlx.core as mx


class Notes:
    """A file with a line for each report: what it was of, Unix seconds, CPU seconds, and MLX's peak so far."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1)

    def write(self, kind: str) -> None:
        line = {"kind": kind, "t": time.time(), "cpu": time.process_time(), "peak_mlx_bytes": mx.get_peak_memory()}
        self._file.write(json.dumps(line) + "\n")
