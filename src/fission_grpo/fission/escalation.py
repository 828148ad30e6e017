"""Escalation: how much the next feedback may tell (docs/method.md, section 6).

Levels rise for a context that nobody recovered from, and fall for an error kind that everybody recovers from: the policy
should end up needing no more than the environment's own words. Never the answer, at any level.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fission_grpo.types import Failure, FeedbackLevel

START_LEVEL = FeedbackLevel.KIND
"""Where an error kind starts before anything is known about it."""


def error_kind(failure: Failure) -> str:
    """The kind that start levels are kept by."""
    return str(failure.kind if failure.error_kind is None else failure.error_kind)


@dataclass
class Escalation:
    """The start level of every error kind, and what happens to a context after its group."""

    max_attempts: int
    start_levels: dict[str, FeedbackLevel] = field(default_factory=dict[str, FeedbackLevel])

    def start_level(self, failure: Failure) -> FeedbackLevel:
        """The level of a context's first feedback."""
        return self.start_levels.get(error_kind(failure), START_LEVEL)

    def after_group(self, failure: Failure, outcomes: Sequence[bool]) -> Failure | None:
        """The context to put back one level up, or None when it is done with.

        Where all recoveries succeeded, its error kind starts one level lower next time.
        """
        if all(outcomes):
            lower = FeedbackLevel(max(FeedbackLevel.RAW, failure.level - 1))
            self.start_levels[error_kind(failure)] = min(lower, self.start_level(failure))
            return None
        if any(outcomes) or failure.attempt + 1 >= self.max_attempts:
            return None
        higher = FeedbackLevel(min(FeedbackLevel.FULL, failure.level + 1))
        return replace(failure, attempt=failure.attempt + 1, level=higher)
