"""Feedback on other failures, for the ablation that tells a diagnosis from a second try (docs/method.md, section 8.2)."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from fission_grpo.types import Failure, Feedback


@dataclass
class FeedbackShuffler:
    """Gives each failure the feedback on another one: of another task and with other words, where there is such.

    Contexts that leave the pool together often stem from one prompt, so the feedbacks of the batch before are offered too.
    """

    before: list[tuple[str, Feedback]] = field(default_factory=list[tuple[str, Feedback]])

    def shuffle(self, failures: Sequence[Failure], feedbacks: Sequence[Feedback]) -> list[Feedback]:
        """The feedbacks (N,) that the failures (N,) get instead of their own. Drawn by content, so a resume repeats it."""
        now = [(failure.task_id, feedback) for failure, feedback in zip(failures, feedbacks, strict=True)]
        offered = [*self.before, *now]
        self.before = now
        return [_of_another(failure, own, offered) for failure, (_, own) in zip(failures, now, strict=True)]


def _of_another(failure: Failure, own: Feedback, offered: Sequence[tuple[str, Feedback]]) -> Feedback:
    other_words = [(task, feedback) for task, feedback in offered if feedback.text != own.text]
    other_task = [feedback for task, feedback in other_words if task != failure.task_id]
    choices = other_task or [feedback for _, feedback in other_words] or [own]
    return random.Random(failure.key).choice(choices)
