"""Where a model runs."""

from fission_grpo.errors import UserError


def usable_device(name: str | None, setting: str) -> str:
    """The device of that name; without one the first GPU, else the CPU.

    Args:
        setting: what names it, for the error.

    Raises:
        UserError: torch cannot use it here.
    """
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # an unknown name, a card that is not there, a torch without CUDA
        raise UserError(f"{setting}: found {name!r}, which torch cannot use here; take cpu, or leave it out") from error
    return name
