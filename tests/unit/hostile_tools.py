"""Tools that do to their process what they can. They count on one state: a list of notes."""

import ctypes
import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from fission_grpo.environments.function_runner import LocalRunner
from fission_grpo.tasks.task import Task

Notes = list[Any]


def note(state: Notes, text: str) -> int:
    """Writes a note; returns how many there are."""
    state.append(text)
    return len(state)


def modules() -> str:
    return " ".join(sorted(name for name in ("torch", "trl", "transformers") if name in sys.modules)) or "none"


def surroundings() -> list[str]:
    return [str(Path.cwd()), os.environ.get("HOSTILE", ""), str(json.loads is _LOADS), str(threading.active_count())]


def chance(state: Notes) -> float:
    state.append({f"{random.random()}", "b", "c", "d"})
    return random.random()


_LOADS = json.loads


def nothing(*_arguments: object, **_named: object) -> Any:
    return {}


# What lasts no longer than the call.


def wander() -> None:
    os.chdir("/")
    os.environ["HOSTILE"] = "yes"


def patch_the_checker() -> None:
    LocalRunner.judge = lambda self, state, task: True
    LocalRunner.equal = lambda self, ours, theirs: True
    sys.modules[__name__].approves = lambda state, task: True  # type: ignore[attr-defined]
    json.loads = nothing


def shout() -> None:
    print("shouted")
    os.write(1, b"shouted\n")
    os.write(2, b"shouted\n")


def start_threads() -> None:
    threading.Thread(target=time.sleep, args=(60,)).start()


def leave_a_child() -> None:
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)


def take_memory() -> int:
    return len(bytearray(8 << 30))


def recurse() -> None:
    recurse()


# What ends the call.


def spin() -> None:
    while True:
        pass


def hold_on() -> None:
    """Hangs, deaf to every signal that can be blocked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    time.sleep(60)


def exit_at_once() -> None:
    os._exit(0)


def crash() -> None:
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def kill_the_server() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


def close_everything() -> None:
    os.closerange(0, 256)


def write_everywhere() -> None:
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"\x80garbage" * 8)
        except OSError:
            continue


def forge() -> None:
    """Frames of the right form that hold no answer."""
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, 2 * ((4).to_bytes(8, "big") + b"1234"))
        except OSError:
            continue


def say_too_much() -> str:
    return "x" * (80 << 20)


MORTAL = [
    spin,
    hold_on,
    exit_at_once,
    crash,
    abort,
    kill_the_server,
    close_everything,
    write_everywhere,
    forge,
    say_too_much,
]
TOOLS = [
    note,
    modules,
    surroundings,
    chance,
    wander,
    patch_the_checker,
    shout,
    start_threads,
    leave_a_child,
    take_memory,
    recurse,
    *MORTAL,
]


def approves(state: Notes, task: Task) -> bool:
    return "right" in state


class Bomb:
    """Writes down in which process it is unpickled."""

    def __init__(self, log: str) -> None:
        self.log = log

    def __reduce__(self) -> Any:
        return unpickled, (self.log,)


def unpickled(log: str) -> Bomb:
    with Path(log).open("a") as file:
        file.write(f"{os.getpid()}\n")
    return Bomb(log)


def plant(state: Notes, log: str) -> None:
    state.append(Bomb(log))
