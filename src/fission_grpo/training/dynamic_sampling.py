"""Dynamic sampling: exploration groups without signal are replaced by groups of further prompts (DAPO, arXiv 2503.14476)."""

import random
from collections.abc import Sequence
from math import gcd
from typing import Any, cast

from accelerate.utils import gather_object
from datasets import Dataset

from fission_grpo.errors import UserError
from fission_grpo.training.batch import Batch, Generated
from fission_grpo.training.batches import Row, merge_outputs, pick_rows
from fission_grpo.training.config import FissionGRPOConfig
from fission_grpo.training.methods.base import Method
from fission_grpo.training.token_counts import loss_tokens


def check_whole_groups(args: FissionGRPOConfig, method: Method) -> None:
    """A process chooses among its own rows, so a group that is replaced has to lie on one process.

    Raises:
        UserError: groups would be torn apart.
    """
    rows, size, processes = cast(int, args.generation_batch_size), cast(int, args.num_generations), max(1, args.world_size)
    exploring = {rows, rows - round(args.recovery_fraction * rows)}
    if method.resampling_rounds and any(each % (size * processes) for each in exploring):
        raise UserError(
            f"num_generations: {size} found, a divisor of {gcd(*exploring) // processes} is allowed: under dynamic sampling "
            f"each of the {processes} processes explores in whole groups"
        )


def explore(rows: list[Row], trainer: Any) -> Generated:
    """One batch of exploration, in further rounds where the trainer's method has such.

    Returns:
        as many rows as were asked for. Groups with signal come first; where they do not fill the batch, others do.
    """
    size: int = trainer.num_generations
    batch = Batch(rows, size)
    found: list[Generated] = [trainer.generate_batch(batch)]
    signal = _of_rows(batch, trainer)
    for round_index in range(trainer.method.resampling_rounds):
        # Every rank goes through as many rounds as the neediest: generating is collective.
        if max(gather_object([len(rows) - sum(signal)])) <= 0:
            break
        batch = Batch(_further_rows(len(rows), round_index, trainer), size, round=round_index + 1)
        found.append(trainer.generate_batch(batch))
        signal += _of_rows(batch, trainer)
    return found[0] if len(found) == 1 else _with_signal_first(found, signal, len(rows), trainer)


def _with_signal_first(found: Sequence[Generated], signal: Sequence[bool], wanted: int, trainer: Any) -> Generated:
    order = sorted(range(len(signal)), key=lambda row: not signal[row])[:wanted]  # stable: groups stay together
    merged = merge_outputs([each.output for each in found], trainer.processing_class.pad_token_id)
    rollouts = [rollout for each in found for rollout in each.rollouts]
    failures = [failure for each in found for failure in each.failures]
    output = pick_rows(merged, order)
    output["num_items_in_batch"] = trainer.accelerator.gather(loss_tokens(output)).sum()
    return Generated(output, [rollouts[row] for row in order], [failures[row] for row in order])


def _of_rows(batch: Batch, trainer: Any) -> list[bool]:
    """Whether each of this rank's rows is in a group with signal."""
    return trainer.local([signal for signal in batch.signal for _ in range(batch.group_size)])


def _further_rows(count: int, round_index: int, trainer: Any) -> list[Row]:
    """Whole groups of rows of prompts drawn from the data set; the same draw after a resume."""
    dataset, size = cast(Dataset, trainer.train_dataset), trainer.num_generations
    generator = random.Random(
        f"{trainer.args.seed}/{trainer.state.global_step}/{round_index}/{trainer.accelerator.process_index}"
    )
    chosen = [generator.randrange(len(dataset)) for _ in range(count // size)]
    return [dict(dataset[index]) for index in chosen for _ in range(size)]
