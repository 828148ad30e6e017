"""What `FissionGRPOTrainer` may be given, said before a model is loaded."""

from collections.abc import Mapping
from typing import Any

from fission_grpo.errors import UserError
from fission_grpo.training.config import FissionGRPOConfig
from fission_grpo.training.rollouts import OutcomeFn


def check_arguments(args: object, outcome_fn: OutcomeFn | None, of_trl: Mapping[str, Any]) -> None:
    """Says which arguments are missing or cannot be used.

    Raises:
        UserError: settings of TRL alone, nothing that tells a success from a failure, or tools that TRL would execute.
    """
    if not isinstance(args, FissionGRPOConfig):
        raise UserError(
            f"args: a {type(args).__name__} found, a FissionGRPOConfig allowed; it takes all that GRPOConfig takes"
        )
    if outcome_fn is None and args.success_threshold is None:
        raise UserError(
            "success_threshold: not set; name the reward from which a rollout is a success "
            "(FissionGRPOConfig(success_threshold=1.0)), or pass outcome_fn, which returns one bool a row"
        )
    for name in ("tools", "environment_factory"):
        if of_trl.get(name):
            raise UserError(
                f"{name}: calls that TRL executes leave no failure to fork; rows show their tools by a column `tools`, and "
                "tools to be executed are those of a FunctionEnvironment (docs/own-tools.md)"
            )
