"""How much memory a run will take, from the model's configuration alone (the formula and its limits: docs/runs.md).

Bytes of one process, without what Python and the libraries take themselves. Weights, gradients and AdamW's two moments are
float32, as the trainer holds them; under mixed precision the computation's own tensors take two bytes.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedConfig

FULL_BYTES, MIXED_BYTES = 4, 2
MOMENTS = 2
"""What AdamW keeps of every trained weight."""
CACHE_ROOM = 1.25
"""How much larger than its content the key-value cache grows (`rollout.cache`)."""
ROWS_DECODED = 64
"""Rows that `TransformersPolicy` decodes together at most."""
HEAD_TILE = (4096, 32_768)
"""Positions x vocabulary that TRL's fused head computes at once."""
TILES = {"gpu": 2, "cpu": 9}
"""How many such tiles are alive in its backward pass: its kernel works in place, its torch code does not."""


@dataclass(frozen=True)
class ModelSize:
    """A decoder's dimensions.

    Attributes:
        parameters: of the model without adapters, tied weights counted once.
        trainable: of them, or of the adapters.
        query, key_value: width of the queries, and of keys and values each, over all heads.
    """

    parameters: int
    trainable: int
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    query: int
    key_value: int
    adapters: int = 0


@dataclass(frozen=True)
class Workload:
    """What is computed at once on one process.

    Attributes:
        rows: sequences of one forward and backward pass (`per_device_train_batch_size`).
        tokens: of the longest sequence, completion included.
        decoded: rows sampled together; 0 where vLLM samples.
        mixed: bf16 or fp16 computation.
        checkpointing: activations of a layer are recomputed in the backward pass.
        device: where.
    """

    rows: int
    tokens: int
    decoded: int
    mixed: bool
    checkpointing: bool
    device: Literal["gpu", "cpu"] = "cpu"


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes by what they are for.

    Attributes:
        gradients, activations, working: of an update; the last is what its backward pass needs beside, in head or layer.
        cache: keys and values, while sampling.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    working: int
    cache: int

    @property
    def peak(self) -> int:
        """Most that is alive at once."""
        return self.weights + self.optimizer + max(self.gradients + self.activations + self.working, self.cache)


def model_size(config: PreTrainedConfig, lora: LoraConfig | None = None) -> ModelSize:
    """Counts parameters on torch's meta device, where tensors have a shape and no content."""
    text: Any = config.get_text_config()
    heads = text.num_attention_heads
    head_width = getattr(text, "head_dim", None) or text.hidden_size // heads
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
        parameters = trainable = model.num_parameters()
        if lora is not None:
            trainable = get_peft_model(model, lora).get_nb_trainable_parameters()[0]
    return ModelSize(
        parameters=parameters,
        trainable=trainable,
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        intermediate=text.intermediate_size,
        vocabulary=text.vocab_size,
        query=heads * head_width,
        key_value=(getattr(text, "num_key_value_heads", None) or heads) * head_width,
        adapters=0 if lora is None else trainable,
    )


def estimate_memory(size: ModelSize, work: Workload) -> MemoryEstimate:
    """The estimate; `docs/runs.md` states it with its assumptions."""
    element = MIXED_BYTES if work.mixed else FULL_BYTES
    weights = (size.parameters + size.adapters) * FULL_BYTES
    if work.mixed:
        weights += size.parameters * MIXED_BYTES  # autocast's copies
    positions = work.rows * work.tokens
    stream = positions * size.hidden * FULL_BYTES  # the residual stream stays in float32
    layer = 6 * stream + positions * (6 * size.query + 4 * size.intermediate) * element
    activations = stream * size.layers + layer if work.checkpointing else layer * size.layers
    tile = min(positions, HEAD_TILE[0]) * min(size.vocabulary, HEAD_TILE[1]) * FULL_BYTES
    head = TILES[work.device] * tile + size.vocabulary * size.hidden * FULL_BYTES  # and the gradient of its weights
    columns = int(work.tokens * CACHE_ROOM)
    return MemoryEstimate(
        weights=weights,
        gradients=size.trainable * FULL_BYTES,
        optimizer=size.trainable * FULL_BYTES * MOMENTS,
        activations=activations,
        working=max(head, layer),
        cache=work.decoded * columns * 2 * size.key_value * size.layers * element,
    )
