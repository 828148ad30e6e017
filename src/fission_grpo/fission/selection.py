"""Selection: which contexts are worth a recovery group (docs/method.md, section 6).

A group without variance teaches nothing. The chance that G' recoveries of success probability p differ is
`1 - p^G' - (1-p)^G'`. p is estimated in two steps:

- by key (error kind, tool, feedback level): the mean of Beta(1 + successes, 1 + failures) over past recovery groups, with
  older evidence decayed as the policy moves on;
- by context: the rollouts of the failure's own group met the same task, so they count too, with the key's mean as prior.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from fission_grpo.types import Failure

DECAY = 0.9
"""What is left of the evidence after an update."""
CANDIDATE_FACTOR = 4
"""Selection looks at this many times the contexts it needs."""
UNSEEN_SHARE = 0.1
"""Share of the chosen contexts that is kept for keys never tried."""
PRIOR_WEIGHT = 2.0
"""Rollouts that a key's mean counts for, against those of the context's own group."""

Key = tuple[str, str, int]


def selection_key(failure: Failure) -> Key:
    """What recovery odds are shared by: error kind, tool, feedback level."""
    kind = failure.kind if failure.error_kind is None else failure.error_kind
    tool = failure.failed_call.name if failure.failed_call is not None else ""
    return (str(kind), tool, int(failure.level))


def signal_probability(success: float, group_size: int) -> float:
    """The chance that a group has both successes and failures.

    >>> round(signal_probability(0.5, 8), 4)
    0.9922
    >>> signal_probability(0.0, 8)
    0.0
    """
    return 1.0 - success**group_size - (1.0 - success) ** group_size


@dataclass
class RecoveryOdds:
    """Successes and failures of past recoveries by key."""

    evidence: dict[Key, tuple[float, float]] = field(default_factory=dict[Key, tuple[float, float]])

    def probability(self, key: Key) -> float:
        """Posterior mean of the recovery probability under a uniform prior.

        >>> RecoveryOdds().probability(("not_found", "cat", 0))
        0.5
        """
        successes, failures = self.evidence.get(key, (0.0, 0.0))
        return (1.0 + successes) / (2.0 + successes + failures)

    def of_context(self, failure: Failure) -> float:
        """The recovery probability of one context: its key's, moved by how its siblings fared.

        >>> from fission_grpo.types import FailureKind
        >>> failure = Failure("t", "s", (), (), (1,), (2,), "hm", (), (), FailureKind.MISSING_CALL, siblings=(3, 5))
        >>> RecoveryOdds().of_context(failure)
        0.4
        """
        successes, failures = failure.siblings
        prior = PRIOR_WEIGHT * self.probability(selection_key(failure))
        return (prior + successes) / (PRIOR_WEIGHT + successes + failures)

    def record(self, key: Key, successes: int, failures: int) -> None:
        """Adds the outcomes of one group."""
        old_successes, old_failures = self.evidence.get(key, (0.0, 0.0))
        self.evidence[key] = (old_successes + successes, old_failures + failures)

    def decay(self) -> None:
        """Called once an update."""
        self.evidence = {key: (s * DECAY, f * DECAY) for key, (s, f) in self.evidence.items()}


def select(candidates: Sequence[Failure], count: int, odds: RecoveryOdds, group_size: int) -> list[Failure]:
    """The `count` candidates most likely to have signal, a tenth of them of unseen keys where there are such.

    Ties keep the candidates' order, so that newer contexts win.
    """
    unseen = [failure for failure in candidates if selection_key(failure) not in odds.evidence]
    chosen = unseen[: math.ceil(UNSEEN_SHARE * count)]
    taken = {failure.key for failure in chosen}
    rest = [failure for failure in candidates if failure.key not in taken]
    rest.sort(key=lambda failure: -signal_probability(odds.of_context(failure), group_size))
    return chosen + rest[: count - len(chosen)]
