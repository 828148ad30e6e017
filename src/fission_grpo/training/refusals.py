"""What the libraries under the trainer refuse, told in one sentence, and before a model is loaded where that can be."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments, get_scheduler

from fission_grpo.errors import UserError, in_one_line
from fission_grpo.rollout.memory_errors import is_out_of_memory


@contextmanager
def told_as(setting: str, *also: type[Exception]) -> Generator[None]:
    """Around what hands settings to a library.

    Args:
        setting: what the sentence begins with.
        also: what the library raises of its refusals beside ValueError and ImportError.

    Raises:
        UserError: the library refuses them.
    """
    try:
        yield
    except (ValueError, ImportError, *also) as error:
        if is_out_of_memory(error):
            raise
        raise UserError(f"{setting}: {in_one_line(error) or type(error).__name__}") from error


def try_out(args: TrainingArguments) -> None:
    """Builds optimizer, schedule and loader over next to nothing: the trainer would do so only when its model is loaded.

    Raises:
        UserError: they cannot be built so.
    """
    with told_as("trainer", TypeError, AssertionError, RuntimeError):
        _build_optimizer(args)
        updates = max(1, args.max_steps)
        get_scheduler(
            args.lr_scheduler_type,
            optimizer=torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=args.learning_rate),
            num_warmup_steps=args.get_warmup_steps(updates),
            num_training_steps=updates,
            scheduler_specific_kwargs=cast(Any, args.lr_scheduler_kwargs),
        )
        DataLoader(
            cast(Any, [0]),
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
        )


def _build_optimizer(args: TrainingArguments) -> None:
    if args.optim_target_modules is not None:  # names parts of the model itself
        return
    weight = nn.Linear(1, 1)
    kind, settings = Trainer.get_optimizer_cls_and_kwargs(args, cast(Any, weight))
    plain = isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)
    if plain and "model" not in settings:  # others are made for the model as a whole
        kind(weight.parameters(), **settings)
