"""The server process: imports the functions once, then forks itself for every request.

A fork sees the modules as they were imported: whatever a call does to its process (changed modules, folders, signals,
memory) ends with it, and every answer depends on its request alone. The server runs nothing of the user's after the import,
has no threads, and imports no torch by itself. It ends when the other end of its socket is closed, whoever closed it.

Started as `python -m fission_grpo.environments.isolated.server DESCRIPTOR`.
"""

import contextlib
import gc
import json
import math
import os
import pickle
import random
import resource
import signal
import socket
import sys
import time
import zlib
from pathlib import Path
from typing import Any, NoReturn

from fission_grpo.environments.function_runner import LocalRunner
from fission_grpo.environments.function_tools import function_tool
from fission_grpo.environments.isolated.channel import Channel
from fission_grpo.errors import FissionError, UserError

_PARTING = 5.0
"""Seconds past its time after which a fork ends by itself, should the server be gone."""


def main(descriptor: int) -> None:
    """Answers requests until the other end is gone."""
    trainer = Channel(socket.socket(fileno=descriptor))
    with contextlib.suppress(OSError):  # where memory runs out, this one goes first
        Path("/proc/self/oom_score_adj").write_text("1000")
    seconds, memory, definition = pickle.loads(trainer.receive())
    try:
        functions, factory, judge = pickle.loads(definition)
        runner = LocalRunner(map(function_tool, functions), factory, judge)
    except Exception as error:
        trainer.send(_error("UserError", f"{type(error).__name__}: {error}"), time.monotonic() + _PARTING)
        return
    gc.freeze()  # forks then leave the pages of the modules shared
    room = _address_space() + memory
    trainer.send(json.dumps({"value": None}).encode(), time.monotonic() + _PARTING)
    with contextlib.suppress(ConnectionError):
        while True:
            for frame in _forked(runner, trainer.receive(), trainer, seconds, room):
                trainer.send(frame, time.monotonic() + _PARTING)


def _forked(runner: LocalRunner, request: bytes, trainer: Channel, seconds: float, room: int | None) -> tuple[bytes, bytes]:
    """What a fork answers, or what became of it: JSON, and the state after a call.

    Raises:
        ConnectionError: the trainer is gone.
    """
    ours, theirs = (Channel(end) for end in socket.socketpair())
    fork = os.fork()
    if fork == 0:
        ours.close()
        trainer.close()
        _work(runner, request, theirs, seconds, room)
    theirs.close()
    with contextlib.suppress(OSError):  # both sides do it: neither knows who comes first
        os.setpgid(fork, fork)
    deadline = time.monotonic() + seconds
    fault = ""
    try:
        return ours.receive(deadline, trainer), ours.receive(deadline, trainer)
    except TimeoutError:
        fault = f"took longer than {seconds:g} seconds"
    except ConnectionError:
        pass  # its end says more
    except OSError as error:
        fault = f"answered too much: {error}"
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS does not permit it where all are dead
            os.killpg(fork, signal.SIGKILL)
        _, status = os.waitpid(fork, 0)
        ours.close()
    return _error("InfrastructureError", fault or _ending(os.waitstatus_to_exitcode(status))), b""


def _work(runner: LocalRunner, request: bytes, server: Channel, seconds: float, room: int | None) -> NoReturn:
    """The life of a fork, which does not outlive this function. The user's code runs here alone."""
    try:
        os.setpgid(0, 0)
        signal.alarm(math.ceil(seconds + _PARTING))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if room is not None:
            _, most = resource.getrlimit(resource.RLIMIT_AS)
            room = room if most == resource.RLIM_INFINITY else min(room, most)
            resource.setrlimit(resource.RLIMIT_AS, (room, room))
        _seed(request)
        for frame in _frames(runner, request):
            server.send(frame, time.monotonic() + seconds)
    finally:
        os._exit(0)  # and not through what the user's code has left to be done at an exit


def _frames(runner: LocalRunner, request: bytes) -> tuple[bytes, bytes]:
    try:
        value, state = _answer(runner, *pickle.loads(request))
        return json.dumps({"value": value}).encode(), state
    except FissionError as error:
        return _error("UserError" if isinstance(error, UserError) else "InfrastructureError", str(error)), b""
    except BaseException as error:
        return _error("UserError", f"raised {type(error).__name__}: {error}"), b""


def _answer(runner: LocalRunner, request: str, *arguments: Any) -> tuple[Any, bytes]:
    """The answer as JSON allows it, and the state, packed, where there is one after the request."""
    if request == "initial":
        return None, runner.pack(runner.initial(*arguments))
    if request == "call":
        packed, call = arguments
        result, state = runner.call(runner.unpack(packed), call)
        return [result.content, result.is_error], runner.pack(state)
    packed, other = arguments
    state = runner.unpack(packed)
    return (runner.judge(state, other) if request == "judge" else runner.equal(state, other)), b""


def _seed(request: bytes) -> None:
    """The same request draws the same numbers, before a kill and after it."""
    random.seed(request)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(zlib.crc32(request))


def _address_space() -> Any:
    """Bytes that this process has mapped; None on systems that do not say so (macOS, which keeps no such limit either)."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return None


def _error(kind: str, text: str) -> bytes:
    return json.dumps({"error": kind, "text": text}).encode()


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended its process with status {code}"
    return f"ended its process by signal {-code} ({signal.strsignal(-code)})"


if __name__ == "__main__":
    main(int(sys.argv[1]))
