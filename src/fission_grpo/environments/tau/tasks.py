"""TAU-Bench's tasks as tasks of ours."""

from typing import Any

from fission_grpo.environments.tau.official import official_env
from fission_grpo.environments.tau.package import Mode, check_domain, mode
from fission_grpo.environments.tau2.tasks import tau2_tasks
from fission_grpo.errors import UserError
from fission_grpo.tasks.task import Split, Task, Turn
from fission_grpo.types import ToolCall

OFFICIAL_SPLITS: dict[str, dict[str, Split]] = {
    "retail": {"test": "test", "train": "train", "dev": "validation"},
    "airline": {"test": "test"},
}
"""The official package's splits by domain, with ours. The benchmark is `test`: 115 and 50 tasks."""


def tau_tasks(domain: str, split: str = "test") -> list[Task]:
    """The tasks of a domain, each one turn (see `tau2_tasks`).

    Args:
        split: of the official package. In the v1-compatible mode `test` alone, all tasks of tau2's domain (`base` there).

    Raises:
        UserError: no such domain or split, or neither package is installed as it must be.
    """
    check_domain(domain)
    if mode() is Mode.COMPATIBLE:
        if split != "test":
            raise UserError(f"tau-bench split {split!r}: only `test` is there without the official package")
        return [_compatible(task) for task in tau2_tasks(domain)]
    if split not in OFFICIAL_SPLITS[domain]:
        raise UserError(f"tau-bench {domain} split {split!r}: no such split; allowed: {', '.join(OFFICIAL_SPLITS[domain])}")
    return [_official(domain, split, index, task) for index, task in enumerate(official_env(domain, split).tasks)]


def _compatible(task: Task) -> Task:
    return Task(
        id=task.id.replace("tau2-", "tau-compatible-"),
        scenario=task.scenario,
        turns=task.turns,
        environment="tau",
        split="test",
        classes=task.classes,
        config={"mode": Mode.COMPATIBLE.value, "domain": task.config["domain"], "task": task.config["task"]},
        tags=("tau", "v1-compatible", *task.classes),
    )


def _official(domain: str, split: str, index: int, task: Any) -> Task:
    calls = tuple((ToolCall(action.name, dict(action.kwargs)),) for action in task.actions if action.name != "respond")
    return Task(
        id=f"tau-{domain}-{split}-{index}",
        scenario=f"tau-{domain}-{split}-{index}",
        turns=(Turn(messages=(), reference=calls),),
        environment="tau",
        split=OFFICIAL_SPLITS[domain][split],
        classes=(domain,),
        config={"mode": Mode.OFFICIAL.value, "domain": domain, "split": split, "index": index},
        tags=("tau", domain),
    )
