"""Plays the calls of a result once more in our environment: verdict and recovery come from what is executed here.

The verdict is the official one (bfcl-eval's own state and response checks, turn by turn). Two differences to its evaluator:
nothing is evaluated, and turns behind the first wrong one are judged too, because recovery is counted turn by turn.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.environments.bfcl.call_text import instance_prefix
from fission_grpo.evaluation.bfcl.decoding import DecodeError, is_empty
from fission_grpo.tasks.task import Task
from fission_grpo.types import Completion, Step, StopReason, ToolResult, Trajectory

Turns = Sequence[Sequence[Sequence[str]]]
"""Call texts: by user turn, by message."""

_ERROR_TYPES = {
    "nothing was called": "multi_turn:empty_turn_model_response",
    "the state differs from the reference": "multi_turn:instance_state_mismatch",
    "a result of the reference is missing": "multi_turn:execution_response_mismatch",
}
_NOT_SAMPLED = Completion((), (), StopReason.END)
"""The tokens of a recorded message are unknown."""


@dataclass(frozen=True)
class OfficialVerdict:
    """What bfcl-eval's evaluator says of an entry: `error_type` is its word for why not."""

    valid: bool
    error_type: str = ""


@dataclass(frozen=True)
class Replay:
    """A result as an episode of ours; None where the result holds none."""

    verdict: OfficialVerdict
    trajectory: Trajectory | None = None

    @property
    def answers(self) -> list[str]:
        """What the calls were answered, in order."""
        steps = self.trajectory.steps if self.trajectory is not None else ()
        return [result.content for step in steps for result in step.results]


def decode_turns(result: Any, decode: Callable[[Any], list[str]]) -> Turns | None:
    """The calls of a result; None where the entry has broken off in inference. What cannot be decoded is left out."""
    if not isinstance(result, list):
        return None
    turns: list[list[list[str]]] = []
    for turn in cast(list[Any], result):
        turns.append([calls for response in turn if (calls := _decoded(response, decode))])
    return turns


def replay(task: Task, turns: Turns | None, model: str) -> Replay:
    """Executes and judges the calls of one entry, given as the task that it is."""
    if turns is None:
        return Replay(OfficialVerdict(False, "multi_turn:inference_error"))
    environment = BFCLEnvironment()
    environment.reset(task)
    prefix = instance_prefix(model, task.id)
    steps: list[Step] = []
    for index, turn in enumerate(turns[: len(task.turns)]):
        for texts in turn:
            steps.append(_step(environment, index, texts, prefix))
        environment.next_user_turn()
    finished = len(turns) == len(task.turns)
    judged = environment.verdict()
    error_type = _ERROR_TYPES.get(judged.detail.partition(": ")[2], "") if finished else "multi_turn:force_terminated"
    trajectory = Trajectory(
        task_id=task.id,
        scenario=task.scenario,
        steps=tuple(steps),
        messages=(),
        stop_reason=StopReason.COMPLETED if finished else StopReason.STEP_LIMIT,
        verdict=judged,
        tags=task.tags,
    )
    return Replay(OfficialVerdict(finished and judged.solved, error_type), trajectory)


def _decoded(response: Any, decode: Callable[[Any], list[str]]) -> list[str]:
    try:
        calls = decode(response)
    except DecodeError:
        return []
    return [] if is_empty(calls) else calls


def _step(environment: BFCLEnvironment, turn: int, texts: Sequence[str], prefix: str) -> Step:
    executed = [environment.call_text(text, prefix) for text in texts]
    results: tuple[ToolResult, ...] = tuple(result for _, result in executed)
    return Step(turn, (), _NOT_SAMPLED, "", tuple(call for call, _ in executed), results=results)
