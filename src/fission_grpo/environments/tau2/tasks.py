"""tau2's tasks as tasks of ours."""

from typing import Any, Literal

from fission_grpo.environments.tau2.package import check_domain, official_tasks, package_module
from fission_grpo.environments.tau2.prepared import SOLO_DOMAINS
from fission_grpo.errors import UserError
from fission_grpo.tasks.task import Split, Task, Turn
from fission_grpo.types import ToolCall

Tau2Split = Literal["base", "train", "test"]
SPLITS: tuple[Tau2Split, ...] = ("base", "train", "test")
"""`base` is the whole benchmark; train and test are its two parts. Train on `train` alone."""


def tau2_tasks(domain: str, split: Tau2Split = "base", *, solo: bool = False) -> list[Task]:
    """The tasks of a domain, in the order of tau2's file.

    A task is one turn, however long the conversation: what the user says in between answers the agent's messages. Its
    reference are the agent's actions, one a message; in solo mode the user's too, which the agent does himself then.

    Args:
        solo: without a user, from a ticket; telecom alone.

    Raises:
        UserError: tau2 is not installed as it must be, or there is no such domain, split or mode.
    """
    check_domain(domain)
    if split not in SPLITS:
        raise UserError(f"tau2 split {split!r}: no such split; allowed: {', '.join(SPLITS)}")
    if solo and domain not in SOLO_DOMAINS:
        raise UserError(f"tau2 domain {domain!r}: cannot be played without a user; allowed with solo: telecom")
    splits: dict[str, list[str]] = package_module("registry").registry.get_task_splits_loader(domain)()
    train, wanted = set(splits["train"]), set(splits[split])
    return [
        _task(domain, official, "train" if official.id in train else "test", solo)
        for official in official_tasks(domain).values()
        if official.id in wanted
    ]


def _task(domain: str, official: Any, split: Split, solo: bool) -> Task:
    criteria = official.evaluation_criteria
    actions = (criteria.actions if criteria else None) or []
    reference = tuple(
        (ToolCall(action.name, dict(action.arguments)),) for action in actions if solo or action.requestor == "assistant"
    )
    return Task(
        id=f"tau2-{domain}-{'solo-' if solo else ''}{official.id}",
        scenario=f"tau2-{domain}-{official.id}",
        turns=(Turn(messages=(), reference=reference),),
        environment="tau2",
        split=split,
        classes=(domain,),
        config={"domain": domain, "task": official.id, "solo": solo},
        tags=("tau2", domain, *(("solo",) if solo else ())),
    )
