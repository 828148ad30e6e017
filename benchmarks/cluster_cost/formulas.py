"""Tokens, floating-point operations, bytes and seconds of one update. Nothing here was fitted to a measurement.

Sources of the formulas:

- 2 operations a parameter and token forward, 6 forward and backward: Kaplan et al., arXiv 2001.08361, section 2.1.
  Attention, and a head that sees only what it has to, are counted apart (`trainer_speed/operations.py`).
- One forward pass more where activations are recomputed: Korthikanti et al., arXiv 2205.05198, section 5.
- Bytes of weights, gradients, AdamW's moments and activations: docs/runs.md, as `fission train --dry-run` has it. Shards of
  ZeRO-3 and FSDP: the same over the number of GPUs (Rajbhandari et al., arXiv 1910.02054, section 5).
- Keys and values: 2 x layers x width of the keys x bytes an element, for each token.
- A token of decoding reads all weights and the cache once: Pope et al., arXiv 2211.05102, section 2.
"""

from dataclasses import dataclass

from fission_grpo.training.memory import MIXED_BYTES, MemoryEstimate, ModelSize, Workload, estimate_memory
from trainer_speed.operations import PASSES, Work

RECOMPUTED = 4 / 3
"""Operations of an update with recomputed activations, over those without: one forward pass more, to three."""


@dataclass(frozen=True)
class Batch:
    """Rows of one update.

    Attributes:
        groups, size: prompts, and rows of each (G).
        prompt, completion: mean tokens. longest: of a completion.
    """

    groups: int
    size: int
    prompt: int
    completion: int
    longest: int

    @property
    def rows(self) -> int:
        return self.groups * self.size

    @property
    def sampled(self) -> int:
        """Tokens that the policy writes."""
        return self.rows * self.completion

    def prefill(self) -> Work:
        """Prompts, read once a group, as both vLLM's prefix cache and ours do."""
        return Work(self.groups * self.prompt, self.groups * _pairs(self.prompt), self.groups)

    def update(self) -> Work:
        """Packed rows: a prompt is computed once for its group."""
        seen = self.completion * self.prompt + _pairs(self.completion)
        after = Work(self.sampled, self.rows * seen, self.sampled)
        return Work(self.groups * self.prompt, self.groups * _pairs(self.prompt), 0) + after


@dataclass(frozen=True)
class Device:
    """An accelerator, and what share of it is assumed to be used.

    Attributes:
        operations, bandwidth, memory: a second, bytes a second, bytes: from its data sheet.
        used_operations, used_bandwidth: assumptions, not measurements.
    """

    operations: float
    bandwidth: float
    memory: float
    used_operations: float
    used_bandwidth: float


@dataclass(frozen=True)
class Cost:
    """Of one update on one number of GPUs.

    Attributes:
        state: bytes a GPU of weights, gradients and optimizer, sharded. activations: bytes a GPU, working space included.
        engine: bytes a GPU of vLLM's weights. cache: of all keys and values that a GPU's rows need at once.
        parallel: GPUs that share one engine.
        sampling, scoring, update: seconds.
    """

    state: float
    activations: float
    engine: float
    cache: float
    parallel: int
    sampling: float
    scoring: float
    update: float

    @property
    def memory(self) -> float:
        """Bytes a GPU where vLLM keeps its memory during the update (no sleep mode)."""
        return self.state + self.activations + self.engine + self.cache

    @property
    def seconds(self) -> float:
        return self.sampling + self.scoring + self.update


def update_operations(model: ModelSize, work: Work, recomputed: bool) -> float:
    """Floating-point operations, forward and backward."""
    return work.operations(model) * (RECOMPUTED if recomputed else 1.0)


def cache_bytes(model: ModelSize, tokens: float, element: int = MIXED_BYTES) -> float:
    """Keys and values of so many tokens."""
    return 2 * model.layers * model.key_value * element * tokens


def update_memory(model: ModelSize, batch: Batch) -> MemoryEstimate:
    """One packed group at a time, one of its completions the longest; bf16 computation, activations recomputed."""
    tokens = batch.prompt + (batch.size - 1) * batch.completion + batch.longest
    work = Workload(1, tokens, decoded=0, mixed=True, checkpointing=True, device="gpu")
    return estimate_memory(model, work)


def cost(model: ModelSize, batch: Batch, device: Device, gpus: int, parallel: int) -> Cost:
    """One update on `gpus` GPUs (FSDP2 or ZeRO-3), sampled by one vLLM engine on every `parallel` of them."""
    memory = update_memory(model, batch)
    own_rows = batch.rows / (gpus / parallel)  # of one engine
    speed = gpus * device.operations * device.used_operations
    engine_bytes = MIXED_BYTES * model.parameters
    mean_cache = cache_bytes(model, own_rows * (batch.prompt / batch.size + batch.completion / 2))
    bandwidth = parallel * device.bandwidth * device.used_bandwidth
    decoding = batch.longest * engine_bytes / bandwidth + batch.completion * mean_cache / bandwidth
    forward = batch.update().operations(model) / PASSES
    return Cost(
        state=(memory.weights + memory.gradients + memory.optimizer) / gpus,
        activations=memory.activations + memory.working,
        engine=engine_bytes / parallel,
        cache=cache_bytes(model, own_rows * (batch.prompt / batch.size + batch.longest)) / parallel,
        parallel=parallel,
        sampling=batch.prefill().operations(model) / PASSES / speed + decoding,
        scoring=forward / speed,
        update=update_operations(model, batch.update(), recomputed=True) / speed,
    )


def smallest_parallel(model: ModelSize, batch: Batch, device: Device, gpus: int, room: float) -> Cost:
    """With the smallest engine that fits beside the update into `room` of a GPU; the largest of a node where none does."""
    found = [cost(model, batch, device, gpus, parallel) for parallel in (1, 2, 4, 8) if parallel <= gpus]
    fitting = [each for each in found if each.memory <= room * device.memory]
    return fitting[0] if fitting else found[-1]


def _pairs(length: int) -> int:
    """Queries and the keys that they see, in a causal sequence."""
    return length * (length + 1) // 2
