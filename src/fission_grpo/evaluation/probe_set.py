"""The probe set: frozen error contexts that every policy continues from, so that all share one denominator.

The recovery rate of a policy's own episodes has a denominator that the policy makes itself. A probe context is a dialogue
that has just met an error, with everything needed to bring an environment to that point again: the task and the calls made
so far. No state is stored: the calls are replayed, and what the environment answers is compared with what it answered then.
"""

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from fission_grpo.disk import write_whole
from fission_grpo.environments.base import Environment
from fission_grpo.environments.replay import call_message, replay_reference, result_message
from fission_grpo.errors import UserError
from fission_grpo.rollout.episode import NOT_EXECUTED
from fission_grpo.tasks.task import Task
from fission_grpo.types import Message, ToolCall, Trajectory

Source = Literal["policy", "injected"]


@checked_dataclass(frozen=True)
class ErrorContext:
    """A dialogue that has just met an error.

    Attributes:
        turn: index of the user turn in which a call erred; all earlier turns are right.
        calls: the executed calls of every turn up to and including this one, those of the failed message last.
        messages: the dialogue, the environment's answers to the failed message last.
        failed: the call that erred.
        source: the start policy's own failure, or a careless call known to err.
    """

    task: Task
    turn: int
    calls: tuple[tuple[ToolCall, ...], ...]
    messages: tuple[Message, ...]
    failed: ToolCall
    source: Source

    @property
    def id(self) -> str:
        """Identity by content, whoever's failure it is."""
        content = _CONTEXT.dump_python(self, mode="json", exclude={"source"})
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


_CONTEXT = TypeAdapter(ErrorContext)


def contexts_of_failures(trajectories: Iterable[Trajectory], tasks: Iterable[Task]) -> list[ErrorContext]:
    """The first erring message of every episode in which one erred with all earlier turns right and something to be done.

    Args:
        trajectories: episodes played from the start of their tasks.
        tasks: at least the tasks of the trajectories.
    """
    by_id = {task.id: task for task in tasks}
    found = (_context_of_failure(trajectory, by_id[trajectory.task_id]) for trajectory in trajectories)
    return _distinct(context for context in found if context is not None)


def contexts_of_careless_calls(tasks: Iterable[Task], make_environment: Callable[[Task], Environment]) -> list[ErrorContext]:
    """The careless calls that tasks name, each made where a careless policy makes it.

    Raises:
        UserError: a call that a task names as careless does not err.
    """
    return _distinct(
        _context_of_careless_call(task, index, make_environment(task))
        for task in tasks
        for index in range(len(task.careless))
    )


def select_contexts(contexts: Sequence[ErrorContext], size: int, seed: int = 0) -> list[ErrorContext]:
    """At most `size` distinct contexts, drawn round robin over the scenarios, so that none of them dominates."""
    distinct = _distinct(contexts)
    by_scenario: dict[str, list[ErrorContext]] = defaultdict(list)
    for context in random.Random(seed).sample(distinct, len(distinct)):
        by_scenario[context.task.scenario].append(context)
    chosen: list[ErrorContext] = []
    while by_scenario and len(chosen) < size:
        for scenario in list(by_scenario)[: size - len(chosen)]:
            chosen.append(by_scenario[scenario].pop())
            if not by_scenario[scenario]:
                del by_scenario[scenario]
    return chosen


def restore_context(context: ErrorContext, environment: Environment) -> None:
    """Brings an environment to the point of the error by replaying the calls.

    Raises:
        UserError: the environment answers otherwise than when the context was made, so the probe set does not fit it.
    """
    environment.reset(context.task)
    answers: list[str] = []
    for turn, calls in enumerate(context.calls):
        if turn:
            environment.next_user_turn()
        answers += [environment.call(call).content for call in calls]
    told = [message["content"] for message in context.messages if message["role"] == "tool"]
    recorded = [content for content in told if content != NOT_EXECUTED]
    if answers != recorded:
        raise UserError(
            f"probe context {context.id} of task {context.task.id}: the environment no longer answers as recorded; "
            "use the version of bfcl-eval that the probe set was made with, or make the probe set anew"
        )


def dump_context(context: ErrorContext) -> str:
    """One line of a probe file, without its newline."""
    return json.dumps(_CONTEXT.dump_python(context, mode="json"), ensure_ascii=False)


def save_probe(contexts: Sequence[ErrorContext], path: Path) -> str:
    """Writes a probe set: a line with its hash, then one context a line. Returns the hash."""
    lines = [dump_context(context) for context in contexts]
    digest = _digest(lines)
    header = json.dumps({"contexts": len(lines), "sha256": digest})
    write_whole(path, "\n".join([header, *lines]) + "\n")
    return digest


def load_probe(path: Path) -> list[ErrorContext]:
    """Reads a probe set.

    Raises:
        UserError: no such file, a broken line, or contents that are not those which were hashed.
    """
    if not path.is_file():
        raise UserError(f"probe set {path}: no such file; `save_probe` writes one")
    header, *lines = path.read_text(encoding="utf-8").split("\n")[:-1] or [""]
    try:
        expected = json.loads(header)["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"probe set {path}, line 1: no header with the field sha256") from error
    if _digest(lines) != expected:
        raise UserError(
            f"probe set {path}: its contents hash to {_digest(lines)}, not to {expected}; take the original file"
        )
    return [_parse(line, f"probe set {path}, line {number}") for number, line in enumerate(lines, start=2)]


def _parse(line: str, where: str) -> ErrorContext:
    try:
        return _CONTEXT.validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{where}, field {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _distinct(contexts: Iterable[ErrorContext]) -> list[ErrorContext]:
    by_id: dict[str, ErrorContext] = {}
    for context in contexts:
        by_id.setdefault(context.id, context)
    return list(by_id.values())


def _context_of_failure(trajectory: Trajectory, task: Task) -> ErrorContext | None:
    if trajectory.verdict is None:
        return None
    erring = (index for index, step in enumerate(trajectory.steps) if any(result.is_error for result in step.results))
    index = next(erring, None)
    if index is None:
        return None
    step = trajectory.steps[index]
    if not all(trajectory.verdict.turns[: step.turn]) or not task.turns[step.turn].calls:
        return None
    calls: list[list[ToolCall]] = [[] for _ in range(step.turn + 1)]
    for earlier in trajectory.steps[: index + 1]:
        calls[earlier.turn] += earlier.calls[: len(earlier.results)]
    failed = next(call for call, result in zip(step.calls, step.results, strict=False) if result.is_error)
    messages = tuple(_dialogue_up_to(trajectory, index))
    return ErrorContext(task, step.turn, tuple(map(tuple, calls)), messages, failed, "policy")


def _dialogue_up_to(trajectory: Trajectory, index: int) -> Iterator[Message]:
    """The messages up to and including the answers to step `index`."""
    replies = -1
    for message in trajectory.messages:
        replies += message["role"] == "assistant"
        if replies > index or (replies == index and message["role"] == "user"):
            return
        yield message


def _context_of_careless_call(task: Task, index: int, environment: Environment) -> ErrorContext:
    careless = task.careless[index]
    dialogue = replay_reference(environment, task, careless.turn, careless.step)
    result = environment.call(careless.call)
    if not result.is_error:
        raise UserError(f"task {task.id}, field careless.{index}: the call {careless.call.name} does not err there")
    reference = [turn.calls for turn in task.turns[: careless.turn]]
    of_turn = [call for calls in task.turns[careless.turn].reference[: careless.step] for call in calls]
    messages = (*dialogue, call_message([careless.call]), result_message(careless.call, result))
    calls = (*reference, (*of_turn, careless.call))
    return ErrorContext(task, careless.turn, calls, messages, careless.call, "injected")
