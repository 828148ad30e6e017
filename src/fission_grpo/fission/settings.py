"""Every decision of the fission loop that a user may change, with the paper's value as default where it states one."""

from dataclasses import dataclass
from enum import StrEnum

from fission_grpo.types import FeedbackLevel


class PoolOrder(StrEnum):
    """Which contexts leave the pool first."""

    LIFO = "lifo"
    """The newest: what is trained on stems from the newest policy [paper]."""
    FIFO = "fifo"
    """The oldest: an ablation."""


class RecoveryContext(StrEnum):
    """What a recovery sees. All but the first are ablations (docs/method.md, section 8.2)."""

    FEEDBACK = "feedback"
    """x, the failed message and the feedback on it [paper]."""
    SHUFFLED = "shuffled"
    """x, the failed message and the feedback on another failure: what is the diagnosis worth?"""
    ATTEMPT = "attempt"
    """x and the failed message: what is any feedback worth?"""
    PROMPT = "prompt"
    """x alone, sampled again (replay): what is more than practice on hard prompts?"""


class SignalFilter(StrEnum):
    """Which groups may move the policy."""

    NONE = "none"
    """All of them [paper]."""
    OUTCOME = "outcome"
    """Only groups whose binary outcomes differ; decided on the outcome, never on the shaped reward."""


@dataclass(frozen=True)
class FissionSettings:
    """Settings of interception, pool, trigger, selection and escalation (docs/method.md, sections 2 and 6).

    Attributes:
        recovery_generations: G', recovery rollouts of one context.
        recovery_fraction: r, share of the rows of a triggered batch that are recoveries; 1.0 is the paper's separate batch.
        trigger_interval: recoveries are trained on steps divisible by it.
        trigger_size: contexts that the pool must hold at least; the batch's own need counts anyway.
        pool_capacity: contexts kept; beyond it the oldest are dropped.
        pool_max_age: updates after which a context is stale and dropped.
        pool_order: newest or oldest first.
        recovery_context: what a recovery sees.
        unanswered_failures: also pool failures that the target benchmark never answers (malformed text, no call at all).
        feedback_level: how much a feedback may tell where escalation is off.
        selection: choose contexts by the chance that their group has signal.
        escalation: a context whose group had no success comes back with a feedback that tells more.
        max_attempts: recovery groups that one context may have under escalation.
        max_context_tokens: bound on x_corr; a context that cannot be shortened to it is dropped and counted.
        refission: a failed recovery may become a failure of its own (deeper chains) [ours; the paper does not].
    """

    recovery_generations: int = 8
    recovery_fraction: float = 0.5
    trigger_interval: int = 1
    trigger_size: int = 1
    pool_capacity: int = 512
    pool_max_age: int = 8
    pool_order: PoolOrder = PoolOrder.LIFO
    recovery_context: RecoveryContext = RecoveryContext.FEEDBACK
    unanswered_failures: bool = True
    feedback_level: FeedbackLevel = FeedbackLevel.FULL
    selection: bool = False
    escalation: bool = False
    max_attempts: int = 3
    max_context_tokens: int = 16_384
    refission: bool = False
