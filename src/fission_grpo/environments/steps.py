"""Step instances of tasks: every assistant message that training at step granularity is about (docs/method.md, section 6).

The trainer plays on from their states (`training/step.py`); `fission tasks convert` writes them down without
(`conversion.py`). Both take them from here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fission_grpo.environments.base import Environment
from fission_grpo.environments.replay import replay_reference
from fission_grpo.tasks.steps import StepRow
from fission_grpo.tasks.task import Task
from fission_grpo.types import Message, Snapshot, Tool, ToolCall

END_OF_TURN_EVERY = 3
"""One in so many turns also gives its last message, which calls nothing, as an instance [ours]."""


@dataclass(frozen=True)
class StepInstance:
    """x and y* with the state before and after: `snapshot` is S, `target` is S* (results of the turn included).

    At the end of a turn `reference` is empty and `target` None: nothing is left to be reached.
    """

    task: Task
    turn: int
    step: int
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    reference: tuple[ToolCall, ...]
    snapshot: Snapshot
    target: Snapshot | None

    def row(self) -> StepRow:
        """The instance without its states."""
        return StepRow(
            id=f"{self.task.id}/{self.turn}.{self.step}",
            messages=self.messages,
            tools=self.tools,
            reference=self.reference,
            scenario=self.task.scenario,
            source=self.task.environment,
            split=self.task.split,
            task=self.task.id,
            turn=self.turn,
            step=self.step,
            tags=self.task.tags,
        )


Place = tuple[Task, int, int]
"""A task, the index of a user turn, and that of a reference message in it (their number: the message that ends the turn)."""


def step_places(tasks: Sequence[Task]) -> Iterator[Place]:
    """(task, turn, step) of every reference message that makes calls, and of some that only end a turn.

    A policy that never meets the end of a turn unlearns to end it, and goes on calling after the work is done (measured:
    tasks without a hazard fell from .95 to .86 solved). It has learnt it before, so few of these are enough.
    """
    turns = 0
    for task in tasks:
        for turn, each in enumerate(task.turns):
            turns += 1
            ends = turns % END_OF_TURN_EVERY == 0
            for step in range(len(each.reference) + ends):
                yield task, turn, step


def step_instance(environment: Environment, place: Place) -> StepInstance:
    """Plays the reference up to a place, and then its calls."""
    task, turn, step = place
    messages = replay_reference(environment, task, turn, step)
    tools, before = tuple(environment.tools), environment.snapshot()
    reference = (*task.turns[turn].reference, ())[step]
    for call in reference:
        environment.call(call)
    target = environment.snapshot() if reference else None
    return StepInstance(task, turn, step, tuple(messages), tools, reference, before, target)
