"""Proves a task by playing it: what the generator promises about a task holds because it was executed."""

from collections.abc import Sequence
from typing import Protocol

from fission_grpo.tasks.task import Task
from fission_grpo.types import Message, Tool, ToolCall, ToolResult, Verdict

Script = list[list[ToolCall]]
"""The calls to play, by user turn."""


class Playable(Protocol):
    """The part of an environment that a proof needs (`environments.base.Environment` has it)."""

    @property
    def tools(self) -> Sequence[Tool]: ...

    def reset(self, task: Task) -> list[Message]: ...

    def call(self, call: ToolCall) -> ToolResult: ...

    def next_user_turn(self) -> list[Message] | None: ...

    def verdict(self) -> Verdict: ...


class Disproof(Exception):
    """A family wrote a task that does not hold what it promises: a bug in the family, with the task's id and the reason."""


class Coincidence(Disproof):
    """What chance can do where families are put together: such a task is drawn again. Of a family alone it is a bug.

    Two calls have the same result, so that the task is solved without one of them; or a result holds a value that the user
    has left out.
    """


def play(environment: Playable, task: Task, script: Script) -> tuple[bool, list[list[ToolResult]]]:
    """Plays the calls; returns whether the episode is solved, and the results by user turn."""
    environment.reset(task)
    results: list[list[ToolResult]] = []
    for calls in script:
        results.append([environment.call(call) for call in calls])
        environment.next_user_turn()
    return environment.verdict().solved, results


def reference_script(task: Task) -> Script:
    """The reference calls by user turn."""
    return [list(turn.calls) for turn in task.turns]


def prove(task: Task, environment: Playable) -> None:
    """Proves one task.

    The reference solves it without an error; every reference call is needed; each careless call errs, and going on with
    the reference after it solves the task.

    Raises:
        Disproof: one of these does not hold.
    """
    _prove_reference(task, environment)
    _prove_every_call_needed(task, environment)
    _prove_careless(task, environment)


def prove_twins(hazard: Task, clear: Task, environment: Playable) -> None:
    """Proves that the hazard is hidden: without it the user says the same, and the careless call is part of the solution.

    Raises:
        Disproof: the user's words differ, or the careless call is not the right one without the hazard.
    """
    if [turn.messages for turn in hazard.turns] != [turn.messages for turn in clear.turns]:
        raise Disproof(f"{hazard.id}: the user says something else without the hazard")
    if hazard.tools != clear.tools:
        raise Disproof(f"{hazard.id}: other tools are offered without the hazard")
    script = reference_script(clear)
    for careless in hazard.careless:
        if script[careless.turn][careless.step] != careless.call:
            raise Disproof(f"{hazard.id}: {careless.call} is not the right call without the hazard")
    _prove_reference(clear, environment)


def is_avoidable(hazard: Task, clear: Task, environment: Playable) -> bool:
    """Whether playing it safe works without the hazard too: such a policy (log in, always) needs no recovery."""
    solved, results = play(environment, clear, reference_script(hazard))
    return solved and not any(result.is_error for turn in results for result in turn)


def _prove_reference(task: Task, environment: Playable) -> None:
    solved, results = play(environment, task, reference_script(task))
    bad = [result.content for turn in results for result in turn if result.is_error or result.is_soft_failure]
    if bad:
        raise Disproof(f"{task.id}: the reference errs: {bad[0]}")
    if not solved:
        raise Disproof(f"{task.id}: the reference does not solve the task")


def _prove_every_call_needed(task: Task, environment: Playable) -> None:
    for turn, calls in enumerate(reference_script(task)):
        for step, dropped in enumerate(calls):
            script = reference_script(task)
            del script[turn][step]
            if _solves(environment, task, script):
                raise Coincidence(f"{task.id}: solved without {dropped}")


def _solves(environment: Playable, task: Task, script: Script) -> bool:
    """`play`, but it ends at the first wrong turn."""
    environment.reset(task)
    for calls in script:
        for call in calls:
            environment.call(call)
        environment.next_user_turn()
        if not all(environment.verdict().turns):
            return False
    return environment.verdict().solved


def careless_results(task: Task, environment: Playable) -> list[ToolResult]:
    """What the environment answers to each careless call, played where it belongs in the reference."""
    return _play_careless(task, environment)[1]


def _prove_careless(task: Task, environment: Playable) -> None:
    if not task.careless:
        return
    solved, answers = _play_careless(task, environment)
    for careless, answer in zip(task.careless, answers, strict=True):
        if not answer.is_error:
            raise Disproof(f"{task.id}: the careless {careless.call} does not err: {answer.content}")
    if not solved:
        raise Disproof(f"{task.id}: the careless call is not recoverable")


def _play_careless(task: Task, environment: Playable) -> tuple[bool, list[ToolResult]]:
    """Plays the reference with the careless calls in it; returns whether it is solved, and their results."""
    script = reference_script(task)
    for careless in reversed(task.careless):
        script[careless.turn].insert(careless.step, careless.call)
    solved, results = play(environment, task, script)
    answers: list[ToolResult] = []
    for index, careless in enumerate(task.careless):
        # A careless call earlier in the turn has moved this one by one.
        earlier = sum(other.turn == careless.turn for other in task.careless[:index])
        answers.append(results[careless.turn][careless.step + earlier])
    return solved, answers


def prove_mirror(task: Task, mirror: Task, environment: Playable) -> None:
    """Proves that the hidden hazards of a composed task are hidden: `mirror` has each where the task has it not.

    Raises:
        Disproof: the user's words or the tools differ, or the reference or a careless call of the mirror does not hold.
    """
    if [turn.messages for turn in task.turns] != [turn.messages for turn in mirror.turns]:
        raise Disproof(f"{task.id}: the user says something else with other hazards")
    if [turn.new_tools for turn in task.turns] != [turn.new_tools for turn in mirror.turns]:
        raise Disproof(f"{task.id}: other tools are offered with other hazards")
    _prove_reference(mirror, environment)
    _prove_careless(mirror, environment)
