"""What a process that does foreign work may take."""

import resource
import sys
from pathlib import Path

EXTRA_MEMORY_BYTES = 512 * 2**20
"""A process may take so much beyond what it has at its start."""


def limit_memory() -> None:
    """Called once in each process. macOS does not enforce this limit; there the limits of time and length remain."""
    if sys.platform != "linux":
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + EXTRA_MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
