"""Jobs in processes of their own: order, devices, failures, and what remains of a parent that is killed."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fission_grpo.errors import UserError
from fission_grpo.workers import Device, Failure, Job, Tell, devices_of_machine, run_jobs


class Notes:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def started(self, name: str) -> None:
        self.events.append((name, "started"))

    def told(self, name: str, event: Any) -> None:
        self.events.append((name, event))

    def ended(self, name: str, failure: Failure | None) -> None:
        self.events.append((name, "failed" if failure else "ended"))


def say_where(tell: Tell) -> None:
    print("printed")
    tell((os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ["OMP_NUM_THREADS"]))


def fail(how: str, tell: Tell) -> None:
    tell("about to fail")
    if how == "user":
        raise UserError("the recipe is wrong")
    if how == "bug":
        raise ValueError("one is not two")
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for_ever(pid_file: Path, tell: Tell) -> None:
    pid_file.write_text(str(os.getpid()))
    time.sleep(300)


def test_jobs_are_done_in_order_on_their_devices(tmp_path: Path) -> None:
    jobs = [Job(name, tmp_path / f"{name}.log", say_where) for name in ("a", "b")]
    notes = Notes()
    assert run_jobs(jobs, [Device(threads=2, gpu="3")], notes) == []
    assert notes.events == [(n, e) for n in ("a", "b") for e in ("started", ("3", "2"), "ended")]
    assert (tmp_path / "a.log").read_text() == "printed\n"


def test_a_failure_takes_no_other_job_down_and_names_its_log(tmp_path: Path) -> None:
    kinds = ("user", "bug", "kill")
    jobs = [Job(how, tmp_path / f"{how}.log", partial(fail, how)) for how in kinds]
    notes = Notes()
    failures = run_jobs([*jobs, Job("good", tmp_path / "good.log", say_where)], [Device(1), Device(1)], notes)
    assert {failure.name: failure.sentence for failure in failures} == {
        "user": "the recipe is wrong",
        "bug": "ValueError: one is not two",
        "kill": "was ended by signal 9",
    }
    assert "Traceback" in failures[[each.name for each in failures].index("bug")].log.read_text()
    assert ("good", "ended") in notes.events


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """Otherwise the next call would find them writing the same files."""
    script = tmp_path / "parent.py"
    script.write_text(
        "from functools import partial\nfrom pathlib import Path\n"
        "from test_workers import Notes, wait_for_ever\nfrom fission_grpo.workers import Device, Job, run_jobs\n"
        "if __name__ == '__main__':\n"
        f"    folder = Path({str(tmp_path)!r})\n"
        "    run_jobs([Job('a', folder / 'a.log', partial(wait_for_ever, folder / 'pid'))], [Device(1)], Notes())\n"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": paths})
    pid = int(_read_when_there(tmp_path / "pid"))
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while _alive(pid):
        assert time.monotonic() < deadline, "the worker outlived its parent"
        time.sleep(0.05)


def test_as_many_places_as_gpus_or_as_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-5")
    assert [device.gpu for device in devices_of_machine()] == ["2", "GPU-5"]
    assert [device.gpu for device in devices_of_machine(3)] == ["2", "GPU-5", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("fission_grpo.workers.available_cores", lambda: 6)
    assert devices_of_machine() == [Device(threads=1)] * 6
    assert devices_of_machine(2) == [Device(threads=3)] * 2
    with pytest.raises(UserError, match="--jobs: found 0"):
        devices_of_machine(0)


def _read_when_there(path: Path) -> str:
    deadline = time.monotonic() + 60
    while not path.exists() or not path.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return path.read_text()


def _alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
