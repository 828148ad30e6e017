"""How the weights of the reward's terms move over training."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LinearSchedule:
    """A weight that goes linearly from `start` to `end` over the first `steps` updates, then stays.

    >>> weight = LinearSchedule(2.0, 1.0, steps=150)
    >>> weight(0), weight(75), weight(150), weight(1000)
    (2.0, 1.5, 1.0, 1.0)
    >>> LinearSchedule(2.0, 3.0, steps=0)(0)
    3.0
    """

    start: float
    end: float
    steps: int

    def __call__(self, training_step: int) -> float:
        if training_step >= self.steps:
            return self.end
        return self.start + (self.end - self.start) * training_step / self.steps
