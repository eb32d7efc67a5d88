"""The accelerator as the engine sees it: name, memory size and MLX's own counters. Engine process only."""

import gc
import os
import shutil
from dataclasses import dataclass

import mlx.core as mx
import psutil


@dataclass(frozen=True, slots=True)
class MemoryCounters:
    """Bytes MLX holds in this process: in live arrays, in its buffer pool, and the most that were live at once."""

    active_bytes: int
    cache_bytes: int
    peak_bytes: int


def device_name() -> str:
    """For example "gpu (Apple M3 Max)" or "cpu (x86_64)"."""
    info = mx.device_info()
    name = info.get("device_name") or info.get("architecture") or "unknown"
    return f"{mx.default_device().type.name} ({name})"


def total_memory_bytes() -> int:
    """Memory that models may fill: the GPU's working set on Metal, the card's memory on CUDA, else the machine's."""
    info = mx.device_info()
    for key in ("max_recommended_working_set_size", "total_memory"):
        if isinstance(size := info.get(key), int) and size > 0:
            return size
    return psutil.virtual_memory().total


def memory_counters() -> MemoryCounters:
    return MemoryCounters(mx.get_active_memory(), mx.get_cache_memory(), mx.get_peak_memory())


def do_without_compiler() -> None:
    """MLX's CPU build compiles fused kernels with g++ at first use and fails without one (mlx 0.32): then run them unfused."""
    if mx.default_device().type == mx.DeviceType.cpu and shutil.which("g++") is None:
        mx.disable_compile()


def use_one_attention_kernel() -> None:
    """Keep MLX's CUDA build from choosing cuDNN's attention by the size of a buffer, before the first model is loaded.

    It takes cuDNN for one query only where the rows behind k and v are a multiple of 256 (mlx 0.32), so a restored prefix
    rounded otherwise than a computed one and its answer could differ. Without cuDNN they are equal bit for bit; a cold prefill
    takes an eighth longer, batched decoding is not slower (H200). `MLX_CUDA_USE_CUDNN_SDPA=1` has cuDNN back. Delete this when
    MLX chooses without regard to the buffer.
    """
    os.environ.setdefault("MLX_CUDA_USE_CUDNN_SDPA", "0")


def limit_buffer_pool(num_bytes: int) -> None:
    """Bound the freed buffers that MLX keeps for reuse; its own default may hold almost the whole device."""
    mx.set_cache_limit(num_bytes)


def release_unused_memory() -> None:
    """Give back what unloaded models held: Python's references first, then MLX's buffer pool."""
    gc.collect()
    mx.clear_cache()
