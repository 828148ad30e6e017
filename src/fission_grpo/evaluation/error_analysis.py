"""Which mistakes an episode holds, by the taxonomy of `fission_grpo.failures`."""

from collections import Counter
from collections.abc import Sequence

from fission_grpo.environments.base import Environment
from fission_grpo.failures import CHECKED_KINDS, classify_step
from fission_grpo.tasks.task import Task
from fission_grpo.types import FailureKind, StopReason, Tool, ToolCall, Trajectory


def tools_by_turn(environment: Environment, task: Task) -> list[tuple[Tool, ...]]:
    """The tools that each user turn of a task offers. The environment is reset and left at the task's end."""
    environment.reset(task)
    offered: list[tuple[Tool, ...]] = []
    for _ in task.turns:
        offered.append(tuple(environment.tools))
        environment.next_user_turn()
    return offered


def count_failures(trajectory: Trajectory, task: Task, tools: Sequence[Sequence[Tool]]) -> Counter[FailureKind]:
    """Counts every message that could not be read, broke a schema or erred; and, once, why the first wrong turn is wrong.

    That is judged from all the turn's calls that did not err, against all its reference calls, because a turn may be
    solved in other messages than the reference's.

    Args:
        tools: by turn, see `tools_by_turn`.
    """
    kinds: Counter[FailureKind] = Counter()
    failing: list[ToolCall] = []
    turn = -1
    for step in trajectory.steps:
        if step.turn != turn:
            turn, failing = step.turn, []
        offered = tools[step.turn]
        diagnosis = classify_step(step.calls, step.format_error, step.results, None, offered, previous_failing_calls=failing)
        if diagnosis is not None:
            kinds[diagnosis.kind] += 1
        failing += [call for call, result in zip(step.calls, step.results, strict=False) if result.is_error]
    wrong = _why_wrong(trajectory, task, tools)
    if wrong is not None:
        kinds[wrong] += 1
    return kinds


def _why_wrong(trajectory: Trajectory, task: Task, tools: Sequence[Sequence[Tool]]) -> FailureKind | None:
    """What the first wrong turn lacks; None where all are right or nothing can be told."""
    if trajectory.verdict is None or trajectory.solved or not trajectory.steps:
        return None
    judged = trajectory.verdict.turns
    turn = next((index for index, right in enumerate(judged) if not right), len(judged))
    if turn >= len(task.turns):
        return None
    steps = [step for step in trajectory.steps if step.turn == turn]
    pairs = [pair for step in steps for pair in zip(step.calls, step.results, strict=False)]
    last = turn == trajectory.steps[-1].turn
    diagnosis = classify_step(
        [call for call, result in pairs if not result.is_error],
        None,
        (),
        task.turns[turn].calls,
        tools[turn],
        at_step_limit=last and trajectory.stop_reason is StopReason.STEP_LIMIT,
    )
    # What is wrong with a message by itself was counted with the message.
    return diagnosis.kind if diagnosis is not None and diagnosis.kind not in CHECKED_KINDS else None
