"""Recovery metrics of an episode as counts: a published number is a ratio of sums over episodes (docs/method.md, section 7).

A call *errs* when the environment answers it with an error. A call *succeeds* when it neither errs nor reports a failed
outcome (a soft failure, counted apart). Only executed calls count.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fission_grpo.chat.values import canonical
from fission_grpo.tasks.task import Task
from fission_grpo.types import ToolCall, ToolResult, Trajectory

HIDDEN_HAZARD = "hidden_hazard"
HAZARDS = frozenset({HIDDEN_HAZARD, "open_hazard"})
"""Tags of tasks that invite a careless call."""


@dataclass(frozen=True)
class Ratio:
    """A rate that keeps its counts.

    >>> str(Ratio(3, 4) + Ratio(0, 4)), str(Ratio(0, 0))
    ('0.375 (3/8)', '- (0/0)')
    """

    numerator: int = 0
    denominator: int = 0

    @property
    def value(self) -> float | None:
        return self.numerator / self.denominator if self.denominator else None

    def __add__(self, other: "Ratio") -> "Ratio":
        return Ratio(self.numerator + other.numerator, self.denominator + other.denominator)

    def __str__(self) -> str:
        shown = "-" if self.value is None else f"{self.value:.3f}"
        return f"{shown} ({self.numerator}/{self.denominator})"


@dataclass(frozen=True)
class CallEvent:
    """One executed call, with its place in time."""

    turn: int
    call: ToolCall
    result: ToolResult

    @property
    def succeeds(self) -> bool:
        return not (self.result.is_error or self.result.is_soft_failure)


def call_events(trajectory: Trajectory) -> list[CallEvent]:
    """All executed calls in order."""
    return [
        CallEvent(step.turn, call, result)
        for step in trajectory.steps
        # A message whose calls stopped at an error has fewer results than calls.
        for call, result in zip(step.calls, step.results, strict=False)
    ]


def same_text(first: ToolCall, second: ToolCall) -> bool:
    """Whether two calls are equal as JSON, key order and 1 against 1.0 aside."""
    if first.name != second.name:
        return False
    try:
        return canonical(first.arguments) == canonical(second.arguments)
    except TypeError:  # a call as an argument of a call, for one, is no JSON
        return first == second


def recovered_later(erred: CallEvent, later: CallEvent) -> bool:
    """Whether the later call makes good an erred one: the same tool succeeds."""
    return later.succeeds and later.call.name == erred.call.name


def repeated_later(erred: CallEvent, later: CallEvent) -> bool:
    """Whether the later call repeats an erred one: an equal call errs again."""
    return later.result.is_error and same_text(later.call, erred.call)


def solved(trajectory: Trajectory, task: Task) -> Ratio:
    """Episodes whose every turn ended right, of all episodes."""
    return Ratio(int(trajectory.solved), 1)


def hidden_hazards_solved(trajectory: Trajectory, task: Task) -> Ratio:
    """Solved episodes, of those whose task holds a hazard that its prompt does not show."""
    return Ratio(int(trajectory.solved), 1) if HIDDEN_HAZARD in task.tags else Ratio()


def hazard_free_solved(trajectory: Trajectory, task: Task) -> Ratio:
    """Solved episodes, of those whose task holds no hazard: what recovery training may cost."""
    return Ratio() if HAZARDS.intersection(task.tags) else Ratio(int(trajectory.solved), 1)


def recovery_rate_turn(trajectory: Trajectory, task: Task) -> Ratio:
    """Turns that end right, of the turns in which a call erred, with all earlier turns right and something to be done.

    A turn that was never finished counts as wrong.
    """
    erred = sorted({event.turn for event in call_events(trajectory) if event.result.is_error})
    return total(turn_recovery(trajectory, task, turn) for turn in erred)


def turn_recovery(trajectory: Trajectory, task: Task, turn: int) -> Ratio:
    """Whether a turn in which a call erred ends right; 0/0 where an earlier one did not or nothing was to be done."""
    judged = trajectory.verdict.turns if trajectory.verdict is not None else ()
    if not all(judged[:turn]) or not task.turns[turn].calls:
        return Ratio()
    return Ratio(int(turn < len(judged) and judged[turn]), 1)


def recovery_rate_task(trajectory: Trajectory, task: Task) -> Ratio:
    """Solved episodes, of the episodes in which a call erred."""
    erred = any(event.result.is_error for event in call_events(trajectory))
    return Ratio(int(trajectory.solved), 1) if erred else Ratio()


def recovery_rate_call(trajectory: Trajectory, task: Task) -> Ratio:
    """Erred calls after which the same tool succeeds within the turn, of all erred calls."""
    return _followed(trajectory, recovered_later)


def repeat_rate(trajectory: Trajectory, task: Task) -> Ratio:
    """Erred calls followed, within the turn, by an equal call that errs again, of all erred calls."""
    return _followed(trajectory, repeated_later)


def error_rate(trajectory: Trajectory, task: Task) -> Ratio:
    """Erred calls, of all calls."""
    events = call_events(trajectory)
    return Ratio(sum(event.result.is_error for event in events), len(events))


def soft_failure_rate(trajectory: Trajectory, task: Task) -> Ratio:
    """Calls that ran but report a failed outcome, of all calls."""
    events = call_events(trajectory)
    return Ratio(sum(event.result.is_soft_failure for event in events), len(events))


def format_error_rate(trajectory: Trajectory, task: Task) -> Ratio:
    """Messages that could not be read, of all messages."""
    return Ratio(sum(step.format_error is not None for step in trajectory.steps), len(trajectory.steps))


Metric = Callable[[Trajectory, Task], Ratio]

METRICS: Mapping[str, Metric] = {
    metric.__name__: metric
    for metric in (
        solved,
        hidden_hazards_solved,
        hazard_free_solved,
        recovery_rate_turn,
        recovery_rate_task,
        recovery_rate_call,
        repeat_rate,
        error_rate,
        soft_failure_rate,
        format_error_rate,
    )
}


def count_metrics(trajectory: Trajectory, task: Task) -> dict[str, Ratio]:
    """Every metric of one episode. An episode without a verdict (its infrastructure failed) counts nowhere."""
    if trajectory.verdict is None:
        return {name: Ratio() for name in METRICS}
    return {name: metric(trajectory, task) for name, metric in METRICS.items()}


def total(ratios: Iterable[Ratio]) -> Ratio:
    """The ratio of sums."""
    return sum(ratios, Ratio())


def _followed(trajectory: Trajectory, condition: Callable[[CallEvent, CallEvent], bool]) -> Ratio:
    """The share of erred calls behind which, in the same turn, some call fulfils the condition."""
    events = call_events(trajectory)
    rate = Ratio()
    for place, erred in enumerate(events):
        if erred.result.is_error:
            later = (event for event in events[place + 1 :] if event.turn == erred.turn)
            rate += Ratio(int(any(condition(erred, event) for event in later)), 1)
    return rate
