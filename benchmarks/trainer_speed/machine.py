"""What the figures were measured on."""

import os
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch


def describe() -> str:
    """Processor or GPU, cores, threads, versions."""
    import transformers
    import trl

    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, TRL {trl.__version__}"
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, {versions}"
    return f"{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {versions}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def now(device: torch.device) -> float:
    """The time once the device has done all that it was told, in seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def matmul_ceiling(device: torch.device, bf16: bool, side: int) -> float:
    """Floating-point operations a second of one large matrix product: the best of five."""
    kind = torch.bfloat16 if bf16 else torch.float32
    left, right = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    times: list[float] = []
    for _ in range(6):
        started = now(device)
        torch.mm(left, right)
        times.append(now(device) - started)
    return 2 * side**3 / min(times[1:])


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median (lowest to highest)."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
