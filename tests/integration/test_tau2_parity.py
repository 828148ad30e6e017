"""Corrupted scripts earn what tau2 itself gives them, its user asked over HTTP.."""

from collections.abc import Iterator

import pytest

from fission_grpo.environments.tau2 import ScriptedUser, Tau2Environment, tau2_tasks
from fission_grpo.environments.tau2.users.server import serving
from fission_grpo.tasks.task import Task
from tau2_play.corruption import KINDS, MAX_STEPS, corrupted
from tau2_play.official import facts_of, play_officially
from tau2_play.scripts import play, reference_script

MODES: dict[str, list[Task]] = {
    "telecom": tau2_tasks("telecom"),
    "telecom, solo": tau2_tasks("telecom", solo=True),
    "retail": tau2_tasks("retail"),
    "airline": tau2_tasks("airline"),
}
SLOW = ("none", "wrong value", "wrong type", "merged", "words with calls", "calls of another task")
"""Kinds that are played in retail and airline, whose databases tau2 loads anew three times for each."""
CASES = [(mode, kind) for mode in MODES for kind in (KINDS if mode.startswith("telecom") else SLOW)]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(ScriptedUser()) as base_url:
        yield base_url


@pytest.mark.parametrize(("mode", "kind"), CASES, ids=[f"{mode}: {kind}" for mode, kind in CASES])
def test_a_script_ends_as_in_tau2(mode: str, kind: str, url: str) -> None:
    number = list(KINDS).index(kind)
    task = MODES[mode][3 * number % len(MODES[mode])]
    others = [call for other in MODES[mode] for call in other.turns[0].calls]
    script = corrupted(reference_script(task), kind, others, number)
    limit = MAX_STEPS.get(kind, 200)
    environment = Tau2Environment(max_steps=limit)
    verdict = play(task, script, lambda: environment).verdict
    official = play_officially(task, script, url, max_steps=limit)
    assert verdict is not None
    assert verdict.solved == (official.reward_info.reward >= 1 - 1e-6)
    assert environment.conversation.termination == official.termination_reason.value
    assert facts_of(environment.conversation.trajectory) == facts_of(official.messages)
