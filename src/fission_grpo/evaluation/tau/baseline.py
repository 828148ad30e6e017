"""Doing nothing, played: what a score is to be held against."""

from collections.abc import Callable, Sequence

from fission_grpo.environments.base import ConversationalEnvironment
from fission_grpo.environments.tau2.conversation import DONE
from fission_grpo.evaluation.tau.benchmarks import Benchmark, scripted
from fission_grpo.tasks.task import Task
from fission_grpo.types import ToolCall

REFUSAL = "I am sorry, I cannot help you with that."


def do_nothing(benchmark: Benchmark, tasks: Sequence[Task], on_task: Callable[[int], None] | None = None) -> dict[str, bool]:
    """By task, whether an agent solves it who calls nothing and says that he cannot help (in solo mode: is done at once).

    The scripted user listens and takes his leave, so that the conversation ends as the benchmark wants it to: what remains
    is whether the right thing was to change nothing.

    Args:
        on_task: called with the number of tasks that are played.

    Raises:
        InfrastructureError: the benchmark itself failed.
    """
    solved: dict[str, bool] = {}
    for done, task in enumerate(tasks, start=1):
        environment = scripted(benchmark)
        assert isinstance(environment, ConversationalEnvironment)
        environment.reset(task)
        environment.respond(*(("", (ToolCall(DONE),)) if task.config.get("solo") else (REFUSAL, ())))
        solved[task.id] = environment.verdict().solved
        if on_task is not None:
            on_task(done)
    return solved
