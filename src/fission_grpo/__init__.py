"""Fission-GRPO: reinforcement learning that teaches language models to recover from failed tool calls.

The public names are imported when they are first used, so that `import fission_grpo` stays light and loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fission_grpo.environments.functions import FunctionEnvironment
    from fission_grpo.errors import FissionError, InfrastructureError, UserError
    from fission_grpo.training.config import FissionGRPOConfig
    from fission_grpo.training.trainer import FissionGRPOTrainer

__version__ = "0.2.0.dev0"

__all__ = [
    "FissionError",
    "FissionGRPOConfig",
    "FissionGRPOTrainer",
    "FunctionEnvironment",
    "InfrastructureError",
    "UserError",
]

_HOMES = {
    "FissionError": "errors",
    "FissionGRPOConfig": "training.config",
    "FissionGRPOTrainer": "training.trainer",
    "FunctionEnvironment": "environments.functions",
    "InfrastructureError": "errors",
    "UserError": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
