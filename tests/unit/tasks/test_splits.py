"""What is evaluated is not trained on; a name alone does not make two scenarios one."""

from dataclasses import replace

import pytest

from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.errors import UserError
from fission_grpo.quickstart import FAST
from fission_grpo.tasks.generate import SplitShares, generate_tasks
from fission_grpo.tasks.mix import Mix
from fission_grpo.tasks.splits import check_apart
from fission_grpo.tasks.task import Task, Turn

TASK = Task("a", "s", (Turn(({"role": "user", "content": "Open it."},)),), config={"folder": "docs"})


def test_tasks_of_a_scenario_share_configuration_or_words() -> None:
    other = replace(TASK, id="b", config={"folder": "tmp"}, turns=(Turn(({"role": "user", "content": "Close it."},)),))
    check_apart([TASK], [other], "`tasks.test`")
    check_apart([TASK], [replace(TASK, scenario="t")], "`tasks.test`")
    for shared in (replace(other, config=TASK.config), replace(other, turns=TASK.turns)):
        with pytest.raises(UserError, match=r"`tasks\.test` and `tasks\.train` share 1 scenarios, such as 's'"):
            check_apart([TASK], [TASK, shared], "`tasks.test`")


def test_the_tasks_of_the_quickstart_are_apart() -> None:
    train, test = (
        generate_tasks(count, 0, BFCLEnvironment(), mix=Mix.COMPACT, shares=shares)
        for count, shares in (
            (5 * FAST.train_tasks, SplitShares(1.0, 0.0, 0.0)),
            (5 * FAST.test_tasks, SplitShares(0.0, 0.0, 1.0)),
        )
    )
    assert {task.scenario for task in train} & {task.scenario for task in test}, "names that the splits share"
    check_apart(train, test, "`tasks.test`")
