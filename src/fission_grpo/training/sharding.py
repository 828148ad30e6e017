# pyright: reportUnknownMemberType=false
# TRL and torch ship no complete types.
"""Weights that are sharded over processes (FSDP2, ZeRO-3), made whole while a process samples by itself.

Where weights are sharded, every forward pass is collective: each layer is gathered from all processes. But each process
samples as many messages of as many tokens as its own rows need, so they would fall out of step and wait for each other for
ever. So the weights are gathered once before and let go of afterwards: every process needs room for all of them meanwhile.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from torch.distributed.fsdp import FSDPModule
from trl.models.utils import unwrap_model_for_generation

from fission_grpo.errors import UserError


def check_sharding(trainer: Any) -> None:
    """Looks at what the launcher configured.

    Raises:
        UserError: the weights are sharded in a way in which they cannot be made whole.
    """
    if trainer._dist.fsdp_version == 1:
        raise UserError("fsdp_version: 1 found, 2 is allowed (fsdp_config of accelerate)")


@contextmanager
def whole_weights(trainer: Any) -> Generator[None]:
    """Inside, forward passes of the policy are this process's own affair. Every process has to enter and to leave."""
    if trainer._dist.is_zero3:
        with unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator):
            yield
    elif trainer._dist.is_fsdp:
        sharded = [module for module in trainer.model_wrapped.modules() if isinstance(module, FSDPModule)]
        for module in sharded:
            module.set_reshard_after_forward(False, recurse=False)
            module.unshard()
        yield
        for module in sharded:
            module.set_reshard_after_forward(trainer.accelerator.state.fsdp_plugin.reshard_after_forward, recurse=False)
            module.reshard()
    else:
        yield
