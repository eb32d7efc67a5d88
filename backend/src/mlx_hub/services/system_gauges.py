"""The newest sample of the machine and its accelerator as Prometheus gauges. What no sensor tells is absent, never 0."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mlx_hub.observability.accelerator import AcceleratorReading
from mlx_hub.observability.host import HostReading, HostSize, ProcessReading
from mlx_hub.services.system_metrics import Sample, SystemHistory

_Figures = dict[str, tuple[str, float | None]]


class _Newest(Collector):
    def __init__(self, history: SystemHistory) -> None:
        self._size = history.size
        self._sample = history.samples[-1] if history.samples else None

    def collect(self) -> Iterator[Metric]:
        figures = _machine(self._size)
        if self._sample is not None:
            figures |= _figures(self._sample)
        for name, (text, value) in figures.items():
            if value is not None:
                yield GaugeMetricFamily(f"mlx_hub_{name}", text, value=value)


def render_gauges(history: SystemHistory) -> bytes:
    """The Prometheus text format."""
    registry = CollectorRegistry()
    registry.register(_Newest(history))
    return generate_latest(registry)


def _machine(size: HostSize) -> _Figures:
    return {
        "host_memory_total_bytes": ("Memory of the machine.", size.memory_total_bytes),
        "host_swap_total_bytes": ("Swap of the machine.", size.swap_total_bytes),
        "host_disk_total_bytes": ("Size of the disk with the data folder.", size.disk_total_bytes),
    }


def _figures(sample: Sample) -> _Figures:
    figures: _Figures = {"host_disk_free_bytes": ("Room on the disk with the data folder.", sample.disk_free_bytes)}
    if sample.host is not None:
        figures |= _host(sample.host)
    if sample.process is not None:
        figures |= _process(sample.process)
    if sample.accelerator is not None:
        figures |= _accelerator(sample.accelerator)
    return figures


def _host(host: HostReading) -> _Figures:
    return {
        "host_cpu_ratio": ("Busy share of all cores, 0 to 1.", _ratio(host.cpu_percent)),
        "host_memory_used_bytes": ("Memory that is not available to others.", host.memory_used_bytes),
        "host_swap_used_bytes": ("Swap in use.", host.swap_used_bytes),
    }


def _process(process: ProcessReading) -> _Figures:
    return {
        "process_cpu_ratio": ("Cores that the API keeps busy.", _ratio(process.cpu_percent)),
        "process_memory_bytes": ("Memory of the API.", process.memory_bytes),
        "process_threads": ("Threads of the API.", process.num_threads),
    }


def _accelerator(accelerator: AcceleratorReading) -> _Figures:
    megahertz = accelerator.frequency_mhz
    return {
        "accelerator_utilization_ratio": ("Busy share, 0 to 1.", _ratio(accelerator.utilization_percent)),
        "accelerator_frequency_hertz": ("Clock.", megahertz * 1e6 if megahertz is not None else None),
        "accelerator_power_watts": ("Power drawn.", accelerator.power_watts),
        "accelerator_temperature_celsius": ("Temperature.", accelerator.temperature_celsius),
        "accelerator_memory_used_bytes": ("Memory in use, by whatever process.", accelerator.memory_used_bytes),
        "accelerator_memory_total_bytes": ("Memory that it has.", accelerator.memory_total_bytes),
        "system_power_watts": ("Power drawn by the whole machine.", accelerator.system_power_watts),
    }


def _ratio(percent: float | None) -> float | None:
    return percent / 100 if percent is not None else None
