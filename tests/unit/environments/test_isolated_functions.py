"""`FunctionEnvironment(isolated=True)`: what tools do to their process ends with the call, and with nothing else."""

import os
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import hostile_tools
import psutil
import pytest
import scales

from fission_grpo.environments.functions import FunctionEnvironment
from fission_grpo.environments.isolated.runner import CallLimits
from fission_grpo.errors import InfrastructureError, UserError
from fission_grpo.tasks.task import Task, Turn
from fission_grpo.types import ToolCall

LIMITS = CallLimits(seconds=1.5, memory=512 << 20)
TASK = Task("hostile", "hostile", (Turn(({"role": "user", "content": "Go on."},)),))
UNITS = Path(__file__).parents[1]


def started(limits: CallLimits = LIMITS) -> FunctionEnvironment:
    environment = FunctionEnvironment(
        hostile_tools.TOOLS, state=[], verdict=hostile_tools.approves, isolated=True, limits=limits
    )
    environment.reset(TASK)
    return environment


def note(environment: FunctionEnvironment, text: str = "wrong") -> str:
    return environment.call(ToolCall("note", {"text": text})).content


@pytest.mark.parametrize("tool", hostile_tools.MORTAL, ids=lambda tool: tool.__name__)
def test_a_call_that_dies_or_hangs_is_an_infrastructure_failure_and_no_more(tool: Any):
    environment = started()
    assert note(environment) == "1"
    begun = time.monotonic()
    with pytest.raises(InfrastructureError, match=f"tool '{tool.__name__}' in another process"):
        environment.call(ToolCall(tool.__name__))
    assert time.monotonic() - begun < 30
    assert note(environment) == "2", "the state is the one before"


def test_what_happened_is_said():
    environment = started()
    for tool, words in (("spin", "took longer than 1.5 seconds"), ("crash", "by signal 11"), ("exit_at_once", "status 0")):
        with pytest.raises(InfrastructureError, match=words):
            environment.call(ToolCall(tool))


def test_what_a_call_does_to_its_process_ends_with_it(capfd: pytest.CaptureFixture[str]):
    environment = started()
    before = environment.call(ToolCall("surroundings")).content
    here = Path.cwd(), dict(os.environ)
    for tool in ("wander", "patch_the_checker", "shout", "start_threads", "leave_a_child", "take_memory", "recurse"):
        environment.call(ToolCall(tool))
        assert environment.call(ToolCall("surroundings")).content == before
    assert (Path.cwd(), dict(os.environ)) == here
    assert capfd.readouterr() == ("", "")
    note(environment)
    environment.next_user_turn()
    assert not environment.verdict().solved


@pytest.mark.parametrize("tool", ["take_memory", "recurse"])
def test_what_python_can_raise_stays_the_policys_error(tool: str):
    assert started().call(ToolCall(tool)).is_error


def test_the_verdict_sees_the_state():
    environment = started()
    note(environment, "right")
    environment.next_user_turn()
    assert environment.verdict().solved


def test_no_torch_in_the_other_process():
    assert started().call(ToolCall("modules")).content == "none"


def test_states_are_never_unpickled_here(tmp_path: Path):
    log = tmp_path / "log"
    environment = FunctionEnvironment([hostile_tools.plant, hostile_tools.note], state=[], isolated=True)
    environment.reset(TASK)
    empty = environment.snapshot()
    environment.call(ToolCall("plant", {"log": str(log)}))
    full = pickle.loads(pickle.dumps(environment.snapshot()))
    for snapshot in (empty, full):
        environment.restore(snapshot)
        note(environment)
        environment.matches(full)
        environment.same_state(full)
    environment.next_user_turn()
    pids = set(map(int, log.read_text().split()))
    assert pids
    assert os.getpid() not in pids


def test_another_process_answers_alike():
    """As it must after a kill: numbers drawn and the order of sets depend on the request alone."""

    def played(limits: CallLimits) -> tuple[list[str], bytes]:
        environment = started(limits)
        drawn = [environment.call(ToolCall("chance")).content for _ in range(3)]
        return drawn, environment.snapshot().data

    (drawn, state), again = played(LIMITS), played(CallLimits(seconds=11))
    assert (drawn, state) == again
    assert len(set(drawn)) == 3


def test_environments_of_a_kind_share_one_process_and_leave_nothing():
    started()
    descriptors, children = psutil.Process().num_fds(), set(psutil.Process().children())
    environments = [started() for _ in range(1000)]
    for environment in environments[:20]:
        note(environment)
    assert psutil.Process().num_fds() == descriptors
    assert set(psutil.Process().children()) == children
    assert not [child for child in children if child.status() == psutil.STATUS_ZOMBIE]


def three_notes(environment: FunctionEnvironment) -> list[str]:
    return [note(environment) for _ in range(3)]


def test_threads_take_turns():
    environments = [started() for _ in range(8)]
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(three_notes, environments))
    assert counts == [["1", "2", "3"]] * 8


OWNER = """
import sys, hostile_tools
from fission_grpo.environments.functions import CallLimits, FunctionEnvironment
from fission_grpo.tasks.task import Task, Turn
from fission_grpo.types import ToolCall
environment = FunctionEnvironment([hostile_tools.hold_on], isolated=True, limits=CallLimits(seconds=50))
environment.reset(Task("t", "t", (Turn(({"role": "user", "content": "Go on."},)),)))
print("ready", flush=True)
environment.call(ToolCall("hold_on"))
"""


def test_they_end_with_a_trainer_that_is_killed_in_a_call():
    paths = os.pathsep.join([str(UNITS), *filter(None, [os.environ.get("PYTHONPATH")])])
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths})
    assert owner.stdout is not None
    with owner.stdout:
        assert owner.stdout.readline() == b"ready\n"
    found: list[psutil.Process] = []
    deadline = time.monotonic() + 20
    while len(found) < 2 and time.monotonic() < deadline:  # the server, and its fork that hangs
        found = psutil.Process(owner.pid).children(recursive=True)
        time.sleep(0.02)
    assert len(found) == 2
    owner.kill()
    owner.wait()
    _, left = psutil.wait_procs(found, timeout=20)
    assert not left


NO_NAME: Any = lambda: True  # noqa: E731


PLUGIN = {
    "notes.py": """
from fission_grpo import FunctionEnvironment


def rename_note(state: dict, old: str, new: str) -> None:
    state[new] = state.pop(old)


def notes_of(task):
    return dict(task.config["notes"])


def environment() -> FunctionEnvironment:
    return FunctionEnvironment([rename_note], state=notes_of, isolated=True)
""",
    "notes-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: notes\nVersion: 1\n",
    "notes-1.dist-info/entry_points.txt": "[fission_grpo.environments]\nnotes = notes:environment\n",
}
PLAYS = """
from fission_grpo.environments.registry import make_environment
from fission_grpo.tasks.task import Task, Turn
from fission_grpo.types import ToolCall
environment = make_environment("notes")
call = ToolCall("rename_note", {"old": "a", "new": "b"})
environment.reset(Task("t", "t", (Turn(({"role": "user", "content": "Go on."},), ((call,),)),), config={"notes": {"a": ""}}))
environment.call(call)
environment.next_user_turn()
print(environment.verdict().solved, type(environment._runner).__name__)
"""


def test_a_recipe_finds_it_by_its_entry_point(tmp_path: Path):
    for name, text in PLUGIN.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    said = subprocess.run(
        [sys.executable, "-c", PLAYS], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["True", "IsolatedRunner"]


def nested() -> Any:
    def inner(amount: int) -> int:
        return amount

    return inner


def orphan() -> Any:
    """A function of a module that no other process finds."""

    def tool(amount: int) -> int:
        return amount

    module = sys.modules["nowhere_to_be_found"] = ModuleType("nowhere_to_be_found")
    tool.__module__, tool.__qualname__ = module.__name__, "tool"
    vars(module)["tool"] = tool
    return tool


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"functions": [nested()]}, r"nested.<locals>.inner cannot be imported .* top level of a module"),
        ({"functions": [orphan()]}, r"nowhere_to_be_found"),
        ({"state": NO_NAME}, r"<lambda> cannot be imported .* top level of a module"),
        ({"verdict": NO_NAME}, r"<lambda> cannot be imported"),
        ({"state": {"file": open(os.devnull)}}, "state cannot be pickled"),  # noqa: SIM115, PTH123
    ],
)
def test_what_another_process_cannot_have_is_the_users_error(options: dict[str, Any], words: str):
    with pytest.raises(UserError, match=words):
        arguments: dict[str, Any] = {"functions": [scales.total], "isolated": True}
        FunctionEnvironment(**arguments | options)


def test_limits_are_above_zero():
    with pytest.raises(UserError, match="seconds is 0; it must be above 0"):
        CallLimits(seconds=0)


def test_functions_of_a_script_are_the_users_error():
    script = (
        "from fission_grpo import FunctionEnvironment, UserError\n"
        "def tool(amount: int) -> int: ...\n"
        "try: FunctionEnvironment([tool], isolated=True)\n"
        "except UserError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "tool cannot be imported by another process (it is defined in the script or notebook that runs)" in said


def test_windows_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UserError, match="needs Linux or macOS; found Windows"):
        FunctionEnvironment([scales.total], isolated=True)
