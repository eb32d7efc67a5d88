"""How quickly the backend answers while nothing runs and while a job trains, and how soon asked work begins.

The whole platform runs as in the end-to-end tests, on a database file of its own. Prints medians and 99th percentiles and saves
every sample. See README.md.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY / "backend/tests"), str(REPOSITORY / "scripts")]

import httpx
import report
from e2e.stack import Platform, run_platform
from fixtures.hub import run_hub
from rich.console import Console
from rich.table import Table

_ROUTES = ("/api/v1/models", "/api/v1/training", "/health/ready")
_NUM_STARTS = 5
Samples = dict[str, list[float]]


def seconds_of(platform: Platform, num_requests: int, *, goes_on: Callable[[], bool] = lambda: True) -> Samples:
    """Of each route, asked one request after the other on one connection."""
    found: Samples = {route: [] for route in _ROUTES}
    with httpx.Client(base_url=platform.backend.base_url, timeout=30) as client:
        for _ in range(num_requests):
            for route in _ROUTES:
                started = time.perf_counter()
                client.get(route).raise_for_status()
                found[route].append(time.perf_counter() - started)
            if not goes_on():
                break
    return found


def measure(platform: Platform, num_requests: int) -> tuple[dict[str, Samples], list[float]]:
    """Samples idle and while training, and the seconds from asking for a job to its first moment at a worker."""
    model_id, dataset_id = platform.download(), platform.upload()
    waits = []
    for _ in range(_NUM_STARTS):
        asked = time.perf_counter()
        job_id = platform.train(model_id, dataset_id, steps=1)
        platform.wait_for(f"/training/{job_id}", lambda row: row["status"] != "queued")
        waits.append(time.perf_counter() - asked)
        platform.wait_for(f"/training/{job_id}", lambda row: row["status"] == "completed")
    idle = seconds_of(platform, num_requests)
    job_id = platform.train(model_id, dataset_id, steps=1_000_000)
    platform.wait_for(f"/training/{job_id}", lambda row: row["step"] > 5)
    busy = seconds_of(platform, num_requests, goes_on=lambda: platform.get(f"/training/{job_id}")["status"] == "running")
    steps = platform.get(f"/training/{job_id}")["step"]
    assert steps > 5, "the job did not train meanwhile"
    platform.post(f"/training/{job_id}/cancel")
    return {"idle": idle, "training": busy}, waits


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def summarise(samples: dict[str, Samples]) -> dict[str, dict[str, float]]:
    """Milliseconds by route: median and 99th percentile, idle and while training."""
    return {
        route: {
            f"{state}_{name}": 1000 * percentile(found[route], share)
            for state, found in samples.items()
            for name, share in (("p50", 0.5), ("p99", 0.99))
        }
        for route in _ROUTES
    }


def print_summary(summary: dict[str, dict[str, float]], waits: list[float]) -> None:
    table = Table("route", "idle p50", "idle p99", "training p50", "training p99", title="milliseconds of one request")
    for route, values in summary.items():
        table.add_row(route, *(f"{values[key]:.1f}" for key in ("idle_p50", "idle_p99", "training_p50", "training_p99")))
    Console().print(table)
    Console().print(f"from POST /training to running: median {median(waits):.2f} s of {len(waits)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=300, help="for each route and state")
    parser.add_argument("--name", default="backend", help="results/NAME.json is written")
    options = parser.parse_args()
    started_at = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="mlx-hub-bench-") as work, run_hub() as hub:
        url = f"sqlite:///{work}/hub.db"
        with run_platform(Path(work), url, hub) as platform:
            samples, waits = measure(platform, options.requests)
    summary = summarise(samples)
    print_summary(summary, waits)
    return report.conclude(
        options.name,
        [],
        {"milliseconds": summary, "seconds_to_running": waits, "samples": samples},
        started_at=started_at,
        package="mlx-hub",
    )


if __name__ == "__main__":
    sys.exit(main())
