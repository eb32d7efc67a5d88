"""The machine, its accelerator, and the processes of the platform."""

from dashboards.panel import RATE, Dashboard, Panel


def _both(metric: str) -> str:
    """The same figure as the machines of both services tell it; often they are one."""
    return f'{{__name__=~"mlx(_hub)?_{metric}"}}'


def _used_of_total(name: str) -> dict[str, str]:
    return {"{{job}} used": _both(f"{name}_used_bytes"), "{{job}} total": _both(f"{name}_total_bytes")}


SYSTEM = Dashboard(
    "mlx-system",
    "MLX Model Hub · GPU and system",
    "What the machines have left. A sensor that a machine lacks draws nothing.",
    (
        Panel("GPU", "Busy share.", "percentunit", {"{{job}}": _both("accelerator_utilization_ratio")}),
        Panel("GPU clock", "As its sensor tells it.", "hertz", {"{{job}}": _both("accelerator_frequency_hertz")}),
        Panel(
            "Power",
            "Of the accelerator, and of the whole machine where it is told.",
            "watt",
            {"{{job}}": _both("(accelerator|system)_power_watts")},
        ),
        Panel("GPU temperature", "As its sensor tells it.", "celsius", {"{{job}}": _both("accelerator_temperature_celsius")}),
        Panel(
            "GPU memory",
            "Of the card, by whatever process; on a Mac of the machine, as CPU and GPU share it.",
            "bytes",
            _used_of_total("accelerator_memory"),
        ),
        Panel(
            "MLX memory",
            "Of the engine: live arrays, freed buffers kept for reuse, and the most that was live at once.",
            "bytes",
            {"{{kind}}": 'sum by (kind) (mlx_device_memory_bytes{kind!="kv"})'},
        ),
        Panel("CPU", "Busy share of all cores.", "percentunit", {"{{job}}": _both("host_cpu_ratio")}),
        Panel(
            "Memory",
            "Of the machine.",
            "bytes",
            _used_of_total("host_memory"),
        ),
        Panel(
            "Swap",
            "A machine that swaps is too small for its models.",
            "bytes",
            _used_of_total("host_swap"),
        ),
        Panel(
            "Disk",
            "Room on the disks with the prompt cache and the data folder.",
            "bytes",
            {"{{job}} free": _both("host_disk_free_bytes"), "{{job}} total": _both("host_disk_total_bytes")},
        ),
        Panel("Cores in use", "By the processes of each service.", "short", {"{{job}}": _both("process_cpu_ratio")}),
        Panel(
            "Memory of processes",
            "Resident, of each service with its engine.",
            "bytes",
            {"{{job}}": _both("process_memory_bytes")},
        ),
        Panel("Threads", "Of each service; a line that only rises is a leak.", "short", {"{{job}}": _both("process_threads")}),
        Panel(
            "Trace spans",
            "Delivered to the collector, not delivered, or dropped as the queue was full. Nothing without OTLP_ENDPOINT.",
            "suffix: spans/s",
            {"{{job}} {{result}}": f"sum by (job, result) (rate({_both('trace_spans_total')}{RATE}))"},
        ),
    ),
)
