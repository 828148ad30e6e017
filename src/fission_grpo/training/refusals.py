"""What the libraries under the trainer refuse, told in one sentence, and before a model is loaded where that can be."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

from torch import nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments, get_scheduler
from transformers.trainer_optimizer import is_optimizer_factory

from fission_grpo.errors import UserError, in_one_line


@contextmanager
def told_as(setting: str) -> Generator[None]:
    """Around what hands settings to a library.

    Args:
        setting: what the sentence begins with.

    Raises:
        UserError: the library refuses them.
    """
    try:
        yield
    except (TypeError, ValueError, ImportError, RuntimeError, AssertionError, OSError) as error:
        raise UserError(f"{setting}: {in_one_line(error)}") from error


def try_out(args: TrainingArguments) -> None:
    """Builds optimizer, schedule and loader over next to nothing: the trainer would do so only when its model is loaded."""
    _build_optimizer(args)
    DataLoader(
        cast(Any, [0]),
        num_workers=args.dataloader_num_workers,
        pin_memory=args.dataloader_pin_memory,
        persistent_workers=args.dataloader_persistent_workers,
        prefetch_factor=args.dataloader_prefetch_factor,
        multiprocessing_context=args.dataloader_multiprocessing_context,
    )


def _build_optimizer(args: TrainingArguments) -> None:
    if args.optim_target_modules is not None:  # names parts of the model itself
        return
    weight = nn.Linear(1, 1)
    kind, settings = Trainer.get_optimizer_cls_and_kwargs(args, cast(Any, weight))
    if is_optimizer_factory(kind):
        return
    updates = max(1, args.max_steps)
    get_scheduler(
        args.lr_scheduler_type,
        optimizer=kind(weight.parameters(), **settings),
        num_warmup_steps=args.get_warmup_steps(updates),
        num_training_steps=updates,
        scheduler_specific_kwargs=cast(Any, args.lr_scheduler_kwargs),
    )
