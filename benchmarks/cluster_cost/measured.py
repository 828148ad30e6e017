"""One forward and backward pass, its memory, and the machine's speed beside it."""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from trl.trainer.utils import add_fused_lm_head

_SIDE = 1024
_PRODUCTS = 5


@dataclass(frozen=True)
class Measured:
    """Medians.

    Attributes:
        seconds: processor time of a pass.
        speed: floating-point operations a second of a large matrix product.
        peak: bytes of this process, so far.
    """

    seconds: float
    speed: float
    peak: int


def measure(model: Any, rows: int, tokens: int, repetitions: int) -> Measured:
    """Random tokens through the model and TRL's head, as `benchmarks/memory.py batch` does."""
    if not hasattr(model, "_cost_head"):
        add_fused_lm_head(model)
        model._cost_head = True
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    seconds: list[float] = []
    speeds: list[float] = []
    for _ in range(repetitions):
        speeds.append(_speed())
        ids = torch.randint(3, model.config.vocab_size, (rows, tokens))
        started = time.process_time()
        model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids, fused_lm_head=True).log_probs.sum().backward()
        seconds.append(time.process_time() - started)
    return Measured(statistics.median(seconds), statistics.median(speeds), status_bytes("VmHWM"))


def _speed() -> float:
    left, right = torch.randn(_SIDE, _SIDE), torch.randn(_SIDE, _SIDE)
    started = time.process_time()
    for _ in range(_PRODUCTS):
        torch.mm(left, right)
    return 2 * _SIDE**3 * _PRODUCTS / (time.process_time() - started)


def status_bytes(name: str) -> int:
    """Bytes of this process, as Linux counts them."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024
