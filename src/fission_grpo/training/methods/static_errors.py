"""Static error data: recovery groups on failures that the start policy made, collected once ("GRPO + static error data").

The baseline of the Fission-GRPO paper (arXiv 2601.15625): correction data goes stale, because the policy's mistakes change
as it trains. Everything but the source of the failures is as in Fission-GRPO: the difference is what freshness is worth.

Deviations: the paper does not say how its set was made; here it is `fission.pool_capacity` failures of the start policy on
the run's own training tasks, sampled before the first update, and walked through in order again and again. Sampling them is
counted apart (`collection` in metrics.jsonl) and not in the budget, as a data set that was there already would not be.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

from fission_grpo.rollout.policy import Policy, Sampling
from fission_grpo.training.generation import policy_of
from fission_grpo.training.methods.base import Method
from fission_grpo.training.rollouts import Rollout
from fission_grpo.training.sharding import whole_weights
from fission_grpo.types import Failure

ROUNDS = 50
"""Batches sampled at most: a start policy without failures must not be sampled for ever."""


class StaticErrors(Method):
    """Fills the pool with a fixed set of failures whenever it has run low.

    Args:
        sample: scored rollouts of some rows (`StepTasks.sample`, `EpisodeTasks.sample`).
        failure: the failure of a rollout.
        count: failures collected.
    """

    def __init__(
        self,
        sample: Callable[[Sequence[dict[str, Any]], Policy, Sampling], list[Rollout]],
        failure: Callable[[Rollout], Failure | None],
        count: int,
    ) -> None:
        self._sample = sample
        self._failure = failure
        self._count = count

    def begin(self, trainer: Any) -> None:
        """Collects the set before the first update, on the main process; later it is in the checkpoints, with the pool."""
        if trainer.engine.static is not None:
            return
        with whole_weights(trainer):
            failures, tokens = self._collect(trainer) if trainer.accelerator.is_main_process else ([], 0)
        trainer.engine.use_static(failures)
        trainer.count("collection/failures", len(failures))
        trainer.count("collection/tokens", tokens)

    def _collect(self, trainer: Any) -> tuple[list[Failure], int]:
        rows, args = trainer.train_dataset, trainer.args
        policy, generator = policy_of(trainer), random.Random(f"static/{args.seed}")
        found: dict[str, Failure] = {}
        tokens = 0
        for _ in range(ROUNDS):
            chosen = [dict(rows[generator.randrange(len(rows))]) for _ in range(args.generation_batch_size)]
            seed = generator.getrandbits(40)
            sampling = Sampling(args.temperature, max_new_tokens=args.max_completion_length, seed=seed)
            rollouts = self._sample(chosen, policy, sampling)
            tokens += sum(rollout.tokens for rollout in rollouts)
            failed = (rollout for rollout in rollouts if rollout.reward is not None and not rollout.outcome)
            found |= {failure.key: failure for failure in map(self._failure, failed) if failure is not None}
            if len(found) >= self._count:
                break
        return list(found.values())[: self._count], tokens
