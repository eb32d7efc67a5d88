"""What `/admin/system` and `/admin/requests` answer. Sizes are in bytes, times in seconds since the epoch; null is unknown."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, Literal

from pydantic import BaseModel, Field

from unified_mlx_app.engine.in_flight import RequestPhase
from unified_mlx_app.observability.accelerator import AcceleratorReading, Provider
from unified_mlx_app.observability.host import HostReading, ProcessReading
from unified_mlx_app.services.serving_figures import ServingReading
from unified_mlx_app.services.system_metrics import (
    HISTORY_SECONDS,
    INTERVAL_SECONDS,
    EventKind,
    MlxReading,
    Sample,
    SystemHistory,
)

Floats = list[float | None]
Integers = list[int | None]


class HostBody(BaseModel):
    """What the machine has; the disk is that of the service's data."""

    num_cpus: int | None
    memory_total_bytes: int | None
    swap_total_bytes: int | None
    disk_total_bytes: int | None


class AcceleratorBody(BaseModel):
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
    """The service with its engine; 100 percent is one core."""

    cpu_percent: Floats
    memory_bytes: Integers
    num_threads: Integers


class AcceleratorSeries(BaseModel):
    """Readings of the accelerator's sensors, and MLX's own counters. `system_power_watts` is of the whole machine."""

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


class ServingSeries(BaseModel):
    """The engine. First-token times are of the minute before; cache counters are since the engine's start."""

    running: Integers
    queued: Integers
    prompt_tokens_per_second: Floats = Field(description="Computed ones; tokens from the prompt cache do not count.")
    decode_tokens_per_second: Floats
    ttft_p50_seconds: Floats
    ttft_p95_seconds: Floats
    cache_hits: Integers
    cache_misses: Integers
    tokens_saved: Integers
    misses_by_reason: dict[str, Integers]
    memory_entries: Integers
    memory_bytes: Integers
    disk_entries: Integers
    disk_bytes: Integers
    kv_bytes: Integers


class SystemEventBody(BaseModel):
    """Something to be marked on the time axis."""

    at: float
    kind: EventKind
    subject: str
    detail: str | None


class SystemMetricsBody(BaseModel):
    """One sample a second; every list has the length of `times`."""

    now: float
    interval_seconds: float
    history_seconds: float
    host: HostBody
    accelerator: AcceleratorBody
    memory_limit_bytes: int | None = Field(description="What weights and KV state may take together.")
    times: list[float]
    host_series: HostSeries
    process_series: ProcessSeries
    accelerator_series: AcceleratorSeries
    serving_series: ServingSeries
    events: list[SystemEventBody]


class RunningRequestBody(BaseModel):
    """How far a request is; neither its prompt nor its answer is told."""

    id: str | None = Field(description="As in `x-request-id`; several prompts of one call share it.")
    model: str
    phase: RequestPhase
    prompt_tokens: int
    cached_tokens: int | None
    prefilled_tokens: int | None = Field(description="Of the prompt, those from the cache included.")
    generated_tokens: int
    age_seconds: float
    is_warmup: bool


class RunningRequestList(BaseModel):
    object: Literal["list"]
    requests: list[RunningRequestBody]


def system_metrics_body(history: SystemHistory) -> SystemMetricsBody:
    samples = history.samples
    accelerator = _columns(AcceleratorReading, [sample.accelerator for sample in samples])
    del accelerator["name"]
    return SystemMetricsBody(
        now=history.now,
        interval_seconds=INTERVAL_SECONDS,
        history_seconds=HISTORY_SECONDS,
        host=HostBody(**asdict(history.size)),
        accelerator=AcceleratorBody(**asdict(history.accelerator)),
        memory_limit_bytes=history.memory_limit_bytes,
        times=[sample.at for sample in samples],
        host_series=HostSeries(
            **_columns(HostReading, [sample.host for sample in samples]),
            disk_free_bytes=[sample.disk_free_bytes for sample in samples],
        ),
        process_series=ProcessSeries(**_columns(ProcessReading, [sample.process for sample in samples])),
        accelerator_series=AcceleratorSeries(**accelerator, **_columns(MlxReading, [sample.mlx for sample in samples])),
        serving_series=_serving_series(samples),
        events=[SystemEventBody(**asdict(event)) for event in history.events],
    )


def _serving_series(samples: list[Sample]) -> ServingSeries:
    readings = [sample.serving for sample in samples]
    columns = _columns(ServingReading, readings)
    reasons = sorted({reason for reading in readings if reading for reason in reading.misses_by_reason})
    columns["misses_by_reason"] = {
        reason: [None if reading is None else reading.misses_by_reason.get(reason, 0) for reading in readings]
        for reason in reasons
    }
    return ServingSeries(**columns)


def _columns(kind: Any, readings: Sequence[object | None]) -> dict[str, Any]:
    """A list for each field of the dataclass `kind`."""
    return {
        field.name: [None if reading is None else getattr(reading, field.name) for reading in readings] for field in fields(kind)
    }


class SettingBody(BaseModel):
    """One setting of this server, written as in the environment; a secret is told as "set" or null."""

    variable: str
    value: str | None
    default: str | None
    is_secret: bool
    description: str


class SettingList(BaseModel):
    settings: list[SettingBody]
