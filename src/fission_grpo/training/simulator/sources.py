"""Where failures come from: a run folder (its recovery groups), or results of `fission eval bfcl`; a recipe samples anew."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

from fission_grpo.chat.parsing import render_calls
from fission_grpo.chat.values import UNCARRIABLE
from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.environments.registry import make_environment
from fission_grpo.environments.replay import CLOSING_TEXT, call_message, result_message
from fission_grpo.errors import UserError
from fission_grpo.evaluation.bfcl.entries import task_of
from fission_grpo.evaluation.bfcl.replay import replay
from fission_grpo.evaluation.bfcl.results import find_result_folders
from fission_grpo.evaluation.bfcl.run import logged_turns
from fission_grpo.evaluation.error_analysis import tools_by_turn
from fission_grpo.failure_files import failure_from_json
from fission_grpo.failures import classify_step, same_call
from fission_grpo.json_lines import read_json_lines
from fission_grpo.recipe import load_recipe
from fission_grpo.tasks.task import Task
from fission_grpo.training.runs import tasks_of
from fission_grpo.types import Failure, Message, Step, Tool, ToolCall, Trajectory

SourceKind = Literal["recipe", "run", "results"]
GROUPS = Path("trajectories") / "fission_groups.jsonl"

Progress = Callable[[int, int], None]


def kind_of_source(source: Path) -> SourceKind:
    """What a path is.

    Raises:
        UserError: nothing that failures could be collected from.
    """
    if not source.exists():
        raise UserError(f"source {source}: no such file or folder")
    if source.is_file() and source.suffix in (".yaml", ".yml"):
        return "recipe"
    if (source / "recipe.yaml").is_file():
        return "run"
    if source.is_dir() and any(source.rglob("*_result.json")):
        return "results"
    raise UserError(
        f"source {source}: found no recipe (a YAML file), run folder (with recipe.yaml) or results of `fission eval bfcl`; "
        "recipes/bfcl_quick.yaml samples fresh failures"
    )


def failures_of_run(run: Path, count: int) -> list[Failure]:
    """The failures that a run made recovery groups of, newest first, each once.

    Raises:
        UserError: the run has none, or a line of its log is broken.
    """
    recipe, path = load_recipe(run / "recipe.yaml"), run / GROUPS
    failures = read_json_lines(path, "recovery groups", _failure_of_group, "a recovery group") if path.is_file() else []
    if not failures:
        raise UserError(
            f"run {run}: no recovery groups in it; `fission simulator collect {run / 'recipe.yaml'}` samples anew"
        )
    tasks = {task.id: task for task in tasks_of(recipe.tasks.train, "train", recipe.environment)}
    environment = make_environment(recipe.environment)
    offered: dict[str, list[tuple[Tool, ...]]] = {}
    found: dict[str, Failure] = {}
    for failure in reversed(failures):
        task = tasks.get(failure.task_id)
        if task is None or failure.turn >= len(task.turns):
            raise UserError(f"run {run}: its task {failure.task_id!r} is not among the recipe's tasks; were they changed?")
        if task.id not in offered:
            offered[task.id] = tools_by_turn(environment, task)
        failure = replace(failure, tools=offered[task.id][failure.turn])
        found.setdefault(json.dumps([failure.task_id, failure.turn, list(failure.messages), failure.text]), failure)
        if len(found) == count:
            break
    return list(found.values())


def failures_of_results(root: Path, count: int, progress: Progress | None = None) -> list[Failure]:
    """The messages of benchmark results that broke a schema or erred.

    Their correct calls are those of the turn's reference that had not succeeded before. The tasks are the benchmark's own: a
    simulator trained on them has seen its answers, and must not serve a policy that is evaluated on it.
    """
    lines = [(folder, line) for folder in find_result_folders(root) for _, line in folder.entries()]
    failures: list[Failure] = []
    for index, (folder, line) in enumerate(lines, start=1):
        task = task_of(line["id"])
        trajectory = replay(task, logged_turns(line, folder), folder.model).trajectory
        failures += [] if trajectory is None else list(_erring(task, trajectory))
        if progress is not None:
            progress(index, len(lines))
        if len(failures) >= count:
            break
    return failures[:count]


def _failure_of_group(line: Mapping[str, Any]) -> Failure:
    return failure_from_json({**line["failure"], "tools": ()})


def _erring(task: Task, trajectory: Trajectory) -> Iterator[Failure]:
    """The failures of one episode, with the dialogue before each as the calls tell it."""
    tools = tools_by_turn(BFCLEnvironment(), task)
    messages: list[Message] = list(task.turns[0].messages)
    turn, failed, done = 0, list[ToolCall](), list[ToolCall]()
    for step in map(_carried, trajectory.steps):
        while turn < step.turn:
            turn, failed, done = turn + 1, [], []
            messages += [{"role": "assistant", "content": CLOSING_TEXT}, *task.turns[turn].messages]
        offered, reference = tools[turn], _rest(task, turn, done, tools[turn])
        diagnosis = classify_step(step.calls, None, step.results, None, offered, previous_failing_calls=failed)
        if diagnosis is not None:
            yield Failure(
                task_id=task.id,
                scenario=task.scenario,
                messages=tuple(messages),
                tools=offered,
                prompt_ids=(),
                completion_ids=(),
                text=render_calls(step.calls),
                calls=step.calls,
                results=step.results,
                kind=diagnosis.kind,
                error_kind=diagnosis.error_kind,
                call_index=diagnosis.call_index,
                reference=reference,
                turn=turn,
            )
        messages += [call_message(step.calls), *_answers(step)]
        for call, result in zip(step.calls, step.results, strict=False):
            (failed if result.is_error else done).append(call)


def _rest(task: Task, turn: int, done: Sequence[ToolCall], tools: Sequence[Tool]) -> tuple[ToolCall, ...]:
    """The reference calls of a turn that have not succeeded yet."""
    left = list(done)
    rest: list[ToolCall] = []
    for call in task.turns[turn].calls:
        match = next((other for other in left if same_call(call, other, tools)), None)
        if match is None:
            rest.append(call)
        else:
            left.remove(match)
    return tuple(rest)


def _carried(step: Step) -> Step:
    return replace(step, calls=tuple(ToolCall(call.name, _plain(call.arguments)) for call in step.calls))


def _plain(value: Any) -> Any:
    """An argument as JSON can carry it: calls written as Python may hold anything that a literal can be, and calls."""
    match value:
        case str():
            return UNCARRIABLE.sub("\ufffd", value)
        case float():
            return value if math.isfinite(value) else str(value)
        case None | bool() | int():
            return value
        case list() | tuple():
            return [_plain(each) for each in cast(Sequence[Any], value)]
        case dict():
            return {_plain(str(name)): _plain(each) for name, each in cast(Mapping[Any, Any], value).items()}
        case ToolCall():
            return f"{value.name}({json.dumps(_plain(value.arguments), ensure_ascii=False)})"
        case _:
            return repr(value)


def _answers(step: Step) -> list[Message]:
    return [result_message(call, result) for call, result in zip(step.calls, step.results, strict=False)]
