"""Judging in processes: in order, without a network, and without waiting for what hangs."""

import socket
import subprocess
import sys

import pytest

from fission_grpo.evaluation.bfcl.checking import Job, judge, judge_all

RIGHT = Job("multi_turn_base_1", [[["pwd()"]]] * 2, "m")


def test_results_are_judged_in_order_and_as_in_this_process() -> None:
    jobs = [Job(f"multi_turn_base_{number}", [[["ls()"]]], "m") for number in range(3)] + [
        Job("multi_turn_base_7", None, "m")
    ]
    judged = list(judge_all(jobs, processes=2))
    assert [one.job for one in judged] == jobs
    assert [one.verdict for one in judged] == [judge(job).verdict for job in jobs]
    assert judged[-1].verdict is not None
    assert judged[-1].verdict.error_type == "multi_turn:inference_error"


def test_what_hangs_is_killed_and_the_others_are_judged() -> None:
    """A result of a hundred thousand calls, which takes far longer than it is given."""
    endless = Job("multi_turn_base_0", [[["find(path='.', name='x')"] * 400_000]], "m")
    jobs = [RIGHT, endless, RIGHT]
    judged = list(judge_all(jobs, processes=1, timeout=4.0))
    assert [one.fault for one in judged] == ["", "judging took more than 4 s", ""]
    assert judged[1].record is None
    assert judged[0].record == judged[2].record == judge(RIGHT).record


def test_a_judging_process_has_no_network() -> None:
    program = (
        "from fission_grpo.evaluation.bfcl import checking; checking._cut_off()\n"
        "import socket, ssl, urllib.request\n"
        "for reach in (lambda: socket.create_connection(('127.0.0.1', 9)), lambda: socket.socket(),\n"
        "              lambda: urllib.request.urlopen('http://127.0.0.1:9')):\n"
        "    try: reach()\n"
        "    except OSError as error: assert 'no network' in str(error), error\n"
        "    else: raise SystemExit('reached')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert socket.socket().close() is None  # here it is as before


@pytest.mark.parametrize("processes", [None, 1])
def test_no_jobs(processes: int | None) -> None:
    assert list(judge_all([], processes)) == []
