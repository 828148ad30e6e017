"""Supervised training of the bundled policy in plain torch."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from fission_grpo.bundled.examples import Batch, Example, batches, collate, copy_example
from fission_grpo.bundled.optimizer import PolicyOptimizer
from fission_grpo.bundled.tokenizer import pad_id


@dataclass(frozen=True)
class Training:
    """How long and on what.

    Attributes:
        updates: number of updates.
        batch_tokens: tokens of one batch, padding included.
        copies: pure-copy sequences of a batch in the first half of the training.
    """

    updates: int = 800
    batch_tokens: int = 3072
    copies: int = 12
    seed: int = 0


def train(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[Example],
    training: Training,
    on_update: Callable[[int, float, int], None],
) -> int:
    """Trains `model` in place and returns the number of tokens it has seen, those of copies left aside.

    Args:
        on_update: called after every update with its number, the loss of what the assistant writes, and the tokens seen.
    """
    generator = random.Random(training.seed)
    pad = pad_id(tokenizer)
    optimizer = PolicyOptimizer(model, training.updates)
    model.train()
    tokens = update = 0
    while True:
        for batch in batches(examples, training.batch_tokens, pad, generator):
            loss, learned = weighted_loss(model, batch)
            if update < training.updates // 2:
                loss = loss + weighted_loss(model, _copies(training.copies, tokenizer, generator))[0] / 2
            loss.backward()
            optimizer.step()
            tokens += batch.tokens
            update += 1
            on_update(update, learned, tokens)
            if update == training.updates:
                return tokens


def weighted_loss(model: Qwen3ForCausalLM, batch: Batch) -> tuple[Tensor, float]:
    """The weighted mean of the token losses, to be differentiated, and the plain mean over tokens of weight 1."""
    logits = model(input_ids=batch.ids[:, :-1], use_cache=False).logits
    losses = cross_entropy(logits.flatten(0, 1), batch.ids[:, 1:].flatten(), reduction="none")
    weights = batch.weights[:, 1:].flatten()
    learned = losses.detach()[weights == 1.0]
    return (losses * weights).sum() / weights.sum(), float(learned.mean())


def _copies(count: int, tokenizer: PreTrainedTokenizerFast, generator: random.Random) -> Batch:
    """A batch of pure-copy sequences. They may differ by a token in length: padded."""
    return collate([copy_example(tokenizer, generator) for _ in range(count)], pad_id(tokenizer))
