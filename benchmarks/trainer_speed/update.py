# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch ships no complete types.
"""Time, memory, exactness and operations of one update: forward and backward pass, without the optimizer's step."""

import gc
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
import torch

from fission_grpo.training.memory import model_size
from fission_grpo.training.prefix_sharing.model import PackedRows, Rows
from memory import peak_bytes
from trainer_speed import operations
from trainer_speed.machine import matmul_ceiling, now
from trainer_speed.operations import Work
from trainer_speed.rows import sample
from trainer_speed.sizes import Size, load
from trainer_speed.variants import OURS, TRIMMED, TRL, Variant, variant_names

Progress = Callable[[str], None]
_WARM_TOKENS = 64


@dataclass
class Measured:
    """What was found of one variant.

    Attributes:
        seconds: of the repetitions.
        memory: bytes at the peak of an update, beside model and gradients before it.
        work, operations: what a forward pass goes through, and floating-point operations of the update.
        loss_error, gradient_error: relative difference to TRL's own.
    """

    seconds: list[float] = field(default_factory=list[float])
    memory: int = 0
    work: Work = field(default_factory=lambda: Work(0, 0, 0))
    operations: float = 0.0
    loss_error: float = 0.0
    gradient_error: float = 0.0


@dataclass(frozen=True)
class Update:
    """All variants, by name, and the machine's own speed.

    Attributes:
        real, shared: tokens of the rows, and of the rows packed (what differs).
        ceilings: floating-point operations a second of a large matrix product, one measurement a repetition.
    """

    variants: dict[str, Measured]
    real: int
    shared: int
    ceilings: list[float]


def measure_update(size: Size, repetitions: int, side: int, progress: Progress, memory: bool = True) -> Update:
    """Every variant once a repetition, in turns that change their order.

    Args:
        side: of the matrices that the machine's speed is measured with.
        memory: measured too, each in a process of its own.
    """
    names = variant_names()
    found = {name: Measured() for name in names}
    for name in names if memory else ():
        progress(f"{name}: memory")
        found[name].memory = update_memory(name, size)
    model, tokenizer = load(size)
    with tempfile.TemporaryDirectory() as folder:
        variants = [Variant(name, size, model, tokenizer, Path(folder)) for name in names]
    device = next(variants[0].model.parameters()).device
    batch = sample(size, model, tokenizer).batch(device)
    for variant in variants:
        progress(f"{variant.name}: warming up")
        variant.update(_shortened(batch), progress)
    ceilings: list[float] = []
    for repetition in range(repetitions):
        ceilings.append(matmul_ceiling(device, size.bf16, side))
        losses: dict[str, float] = {}
        for variant in variants if repetition % 2 == 0 else reversed(variants):
            progress(f"{variant.name}: round {repetition + 1} of {repetitions}")
            variant.model.zero_grad(set_to_none=False)
            gc.collect()
            started = now(device)
            losses[variant.name] = variant.update(batch, progress)
            found[variant.name].seconds.append(now(device) - started)
        if repetition == 0:
            _compare(variants, losses, found)
    size_of_model = model_size(model.config)
    for variant in variants:
        one = found[variant.name]
        one.work = _work(variant, batch)
        one.operations = one.work.operations(size_of_model)
    whole = Rows.of_batch(batch)
    return Update(found, int(whole.attention_mask.sum()), whole.tree.size, ceilings)


def _shortened(batch: dict[str, Any]) -> dict[str, Any]:
    """The last tokens of the prompts only: enough for libraries to set themselves up."""
    return {key: value[:, -_WARM_TOKENS:] if key.startswith("prompt") else value for key, value in batch.items()}


def update_memory(name: str, size: Size) -> int:
    """Bytes that one forward and backward pass needs at its peak, measured in a fresh process."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_pass_memory, name, size).result()


def _pass_memory(name: str, size: Size) -> int:
    """The largest of the passes that an update accumulates has as many rows as any, so one is enough."""
    model, tokenizer = load(size)
    with tempfile.TemporaryDirectory() as folder:
        variant = Variant(name, size, model, tokenizer, Path(folder))
        device = next(variant.model.parameters()).device
        part = variant.slices(sample(size, model, tokenizer).batch(device))[-1]
        del model
        for parameter in variant.model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        if name == OURS:
            variant.trainer._sharing.able(variant.model)  # its trial is no part of an update
        gc.collect()
        before = _resident(device)
        variant.trainer.compute_loss(variant.model, part).backward()
        return max(0, _peak(device) - before)


def _resident(device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if not status.exists():
        return peak_bytes()
    # Linux hands `ru_maxrss` on to the processes that one starts; this is of the process itself.
    line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _work(variant: Variant, batch: dict[str, Any]) -> Work:
    """What a forward pass of all rows goes through."""
    prompt, completion = batch["prompt_ids"].shape[1], batch["completion_ids"].shape[1]
    rows, length = len(batch["prompt_ids"]), prompt + completion
    if variant.name == TRIMMED:
        return operations.padded(rows, length, completion)
    if variant.name == TRL:
        if torch.cuda.is_available():
            return Work(rows * length, rows * length * (length + 1) // 2, int(batch["completion_mask"].sum()))
        return operations.padded(rows, length, length - 1)
    total = Work(0, 0, 0)
    for part in map(Rows.of_batch, variant.slices(batch)):
        total += operations.shared([part.tree], len(PackedRows(part).predictors))
    return total


def _compare(variants: Sequence[Variant], losses: dict[str, float], found: dict[str, Measured]) -> None:
    """Loss and gradients beside those of TRL as it is."""
    reference = variants[0]
    for variant in variants:
        difference = square = 0.0
        for own, theirs in zip(variant.model.parameters(), reference.model.parameters(), strict=True):
            difference += float((own.grad.double() - theirs.grad.double()).square().sum())
            square += float(theirs.grad.double().square().sum())
        one = found[variant.name]
        one.gradient_error = (difference / square) ** 0.5
        one.loss_error = abs(losses[variant.name] - losses[reference.name]) / abs(losses[reference.name])
