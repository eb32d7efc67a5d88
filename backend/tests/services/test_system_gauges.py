"""Samples of the machine as Prometheus sees them."""

from pathlib import Path

from mlx_hub.observability.accelerator import AcceleratorReading, AcceleratorState
from mlx_hub.observability.host import HostReading, HostSize, ProcessReading, host_size
from mlx_hub.services.system_gauges import render_gauges
from mlx_hub.services.system_metrics import Sample, SystemHistory
from prometheus_client.parser import text_string_to_metric_families


def gauges(size: HostSize, *samples: Sample) -> dict[str, float]:
    history = SystemHistory(now=0.0, size=size, accelerator=AcceleratorState(None, None, None), samples=list(samples), events=[])
    families = text_string_to_metric_families(render_gauges(history).decode())
    return {sample.name.removeprefix("mlx_hub_"): sample.value for family in families for sample in family.samples}


def sample(cpu_percent: float, accelerator: AcceleratorReading | None) -> Sample:
    return Sample(
        at=0.0,
        host=HostReading(cpu_percent, 700, None),
        disk_free_bytes=300,
        process=ProcessReading(150.0, 42, 7),
        accelerator=accelerator,
        training=None,
    )


def test_the_newest_sample_is_shown_in_base_units() -> None:
    reading = AcceleratorReading(utilization_percent=25.0, frequency_mhz=1400.0, power_watts=30.0)

    shown = gauges(HostSize(8, 1000, None, 2000), sample(10.0, None), sample(50.0, reading))

    assert shown == {
        "host_memory_total_bytes": 1000,
        "host_disk_total_bytes": 2000,
        "host_disk_free_bytes": 300,
        "host_cpu_ratio": 0.5,
        "host_memory_used_bytes": 700,
        "process_cpu_ratio": 1.5,
        "process_memory_bytes": 42,
        "process_threads": 7,
        "accelerator_utilization_ratio": 0.25,
        "accelerator_frequency_hertz": 1.4e9,
        "accelerator_power_watts": 30,
    }


def test_what_nobody_knows_is_absent() -> None:
    unknown = HostSize(None, None, None, None)

    assert gauges(unknown) == {}
    assert not {name for name in gauges(unknown, sample(1.0, None)) if name.startswith("accelerator")}
    assert "host_memory_total_bytes" in gauges(host_size(Path("/")))
