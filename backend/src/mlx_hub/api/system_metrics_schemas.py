"""What `/system/metrics` answers. Sizes are in bytes, times in seconds since the epoch; null is unknown."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from pydantic import BaseModel

from mlx_hub.observability.accelerator import AcceleratorReading, Provider
from mlx_hub.observability.host import HostReading, ProcessReading
from mlx_hub.services.system_metrics import HISTORY_SECONDS, INTERVAL_SECONDS, SystemHistory
from mlx_hub.services.training_figures import EventKind, TrainingReading

Floats = list[float | None]
Integers = list[int | None]


class HostSizePublic(BaseModel):
    """What the machine has; the disk is that of the service's data."""

    num_cpus: int | None
    memory_total_bytes: int | None
    swap_total_bytes: int | None
    disk_total_bytes: int | None


class AcceleratorPublic(BaseModel):
    """Who tells the accelerator's readings; `reason` says why there are none."""

    provider: Provider | None
    name: str | None
    reason: str | None


class HostSeries(BaseModel):
    """The share of the CPU is of all cores together."""

    cpu_percent: Floats
    memory_used_bytes: Integers
    swap_used_bytes: Integers
    disk_free_bytes: Integers


class ProcessSeries(BaseModel):
    """The service; 100 percent is one core."""

    cpu_percent: Floats
    memory_bytes: Integers
    num_threads: Integers


class AcceleratorSeries(BaseModel):
    """Readings of the accelerator's sensors; `system_power_watts` is of the whole machine.

    Of MLX's own counters a trainer tells its peak, the inference server all.
    """

    utilization_percent: Floats
    frequency_mhz: Floats
    power_watts: Floats
    system_power_watts: Floats
    temperature_celsius: Floats
    memory_used_bytes: Integers
    memory_total_bytes: Integers
    mlx_active_bytes: Integers
    mlx_cache_bytes: Integers
    mlx_peak_bytes: Integers


class TrainingSeries(BaseModel):
    """The trainers; of several running jobs the figures are those of the one that began last."""

    running_jobs: Integers
    queued_jobs: Integers
    job_id: list[str | None]
    tokens_per_second: Floats
    train_loss: Floats
    peak_memory_bytes: Integers


class SystemEventPublic(BaseModel):
    """Something to be marked on the time axis."""

    at: float
    kind: EventKind
    subject: str
    detail: str | None


class SystemMetricsPublic(BaseModel):
    """One sample a second; every list has the length of `times`."""

    now: float
    interval_seconds: float
    history_seconds: float
    host: HostSizePublic
    accelerator: AcceleratorPublic
    times: list[float]
    host_series: HostSeries
    process_series: ProcessSeries
    accelerator_series: AcceleratorSeries
    training_series: TrainingSeries
    events: list[SystemEventPublic]


def system_metrics_public(history: SystemHistory) -> SystemMetricsPublic:
    samples = history.samples
    accelerator = _columns(AcceleratorReading, [sample.accelerator for sample in samples])
    del accelerator["name"]
    training = _columns(TrainingReading, [sample.training for sample in samples])
    return SystemMetricsPublic(
        now=history.now,
        interval_seconds=INTERVAL_SECONDS,
        history_seconds=HISTORY_SECONDS,
        host=HostSizePublic(**asdict(history.size)),
        accelerator=AcceleratorPublic(**asdict(history.accelerator)),
        times=[sample.at for sample in samples],
        host_series=HostSeries(
            **_columns(HostReading, [sample.host for sample in samples]),
            disk_free_bytes=[sample.disk_free_bytes for sample in samples],
        ),
        process_series=ProcessSeries(**_columns(ProcessReading, [sample.process for sample in samples])),
        accelerator_series=AcceleratorSeries(
            **accelerator,
            mlx_active_bytes=[None] * len(samples),
            mlx_cache_bytes=[None] * len(samples),
            mlx_peak_bytes=training["peak_memory_bytes"],
        ),
        training_series=TrainingSeries(**training),
        events=[SystemEventPublic(**asdict(event)) for event in history.events],
    )


def _columns(kind: Any, readings: Sequence[object | None]) -> dict[str, Any]:
    """A list for each field of the dataclass `kind`."""
    return {
        field.name: [None if reading is None else getattr(reading, field.name) for reading in readings] for field in fields(kind)
    }
