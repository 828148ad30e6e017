"""The trainer's side: a `FunctionRunner` whose functions, states and final check are in a server process."""

import atexit
import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fission_grpo.environments.function_runner import Judge, LocalRunner, StateFactory
from fission_grpo.environments.isolated.channel import Channel
from fission_grpo.errors import InfrastructureError, UserError
from fission_grpo.tasks.task import Task
from fission_grpo.types import ToolCall, ToolResult

IMPORT_SECONDS = 120.0
"""That a server may take to import the functions' modules."""
_GRACE = 5.0
"""Seconds past a call's time after which the server itself is taken for dead."""
_WHO = "FunctionEnvironment(isolated=True)"


@dataclass(frozen=True)
class CallLimits:
    """What one call in another process may use up.

    Attributes:
        seconds: of wall-clock time.
        memory: bytes, beside what the imported modules take. Linux only: macOS keeps no such limit.

    Raises:
        UserError: a limit is not positive.
    """

    seconds: float = 10.0
    memory: int = 1 << 30

    def __post_init__(self) -> None:
        for name in ("seconds", "memory"):
            if not getattr(self, name) > 0:
                raise UserError(f"CallLimits: {name} is {getattr(self, name)}; it must be above 0")


class IsolatedRunner:
    """Has a server run everything. States are bytes, made and read there, and answers are JSON: nothing of them is trusted.

    Raises:
        UserError: on Windows; or the functions cannot be imported by another process.
    """

    def __init__(
        self,
        functions: Sequence[Callable[..., Any]],
        initial: Any | StateFactory,
        judge: Judge | None,
        limits: CallLimits,
    ) -> None:
        if sys.platform == "win32":
            raise UserError(f"{_WHO}: needs Linux or macOS; found Windows")
        factory = initial if callable(initial) else None
        self._initial = None if callable(initial) else LocalRunner((), None, None).pack(initial)
        self._server = _server_of(_definition(functions, factory, judge), limits)

    def initial(self, task: Task) -> bytes:
        if self._initial is not None:
            return self._initial
        return self._server.ask("the function that makes the state", "initial", task)[1]

    def call(self, state: bytes, call: ToolCall) -> tuple[ToolResult, bytes]:
        value, after = self._server.ask(f"tool {call.name!r}", "call", state, call)
        match value:
            case [str(content), bool(is_error)]:
                return ToolResult(content, is_error), after
            case _:
                raise InfrastructureError(f"tool {call.name!r} in another process: its answer is none")

    def judge(self, state: bytes, task: Task) -> bool:
        return self._server.ask("the verdict function", "judge", state, task)[0] is True

    def equal(self, ours: bytes, theirs: bytes) -> bool:
        return ours == theirs or self._server.ask("the comparison of states", "equal", ours, theirs)[0] is True

    def pack(self, state: bytes) -> bytes:
        return state

    def unpack(self, packed: bytes) -> bytes:
        return packed


class _Server:
    """A server process, started when it is needed, and again when it died. Environments of one definition share it."""

    def __init__(self, definition: bytes, limits: CallLimits) -> None:
        self._definition = definition
        self._limits = limits
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._owner = 0
        atexit.register(self._stop)

    def ask(self, who: str, request: str, *arguments: Any) -> tuple[Any, bytes]:
        """The answer, as JSON gives it, and the state after the request.

        Args:
            who: whose code it is, for a sentence about what went wrong.

        Raises:
            InfrastructureError: it died, took too long or too much memory, or raised one itself.
            UserError: it raised something where nothing may be raised.
        """
        packed = pickle.dumps((request, *arguments), protocol=5)
        with self._lock:
            try:
                channel = self._started()
                deadline = time.monotonic() + self._limits.seconds + _GRACE
                channel.send(packed, deadline)
                answer, state = json.loads(channel.receive(deadline)), channel.receive(deadline)
                value, error, text = answer.get("value"), answer.get("error"), answer.get("text")
            except (OSError, ValueError, AttributeError, RecursionError) as lost:
                self._stop()
                raise InfrastructureError(f"{who} in another process: no answer ({type(lost).__name__}: {lost})") from lost
            except BaseException:  # Ctrl-C between question and answer: the next question must not get this one's
                self._stop()
                raise
        if error is not None:
            raise (UserError if error == "UserError" else InfrastructureError)(f"{who} in another process: {text}")
        return value, state

    def check(self) -> None:
        """Starts the server, so that a mistake of the user is found now."""
        with self._lock:
            try:
                self._started()
            except (OSError, ValueError) as error:
                self._stop()
                raise UserError(f"{_WHO}: no process for the functions could be started ({error})") from error

    def _started(self) -> Channel:
        if self._channel is None or self._owner != os.getpid():
            self._start()
        assert self._channel is not None
        return self._channel

    def _start(self) -> None:
        """Starts a fresh interpreter. A fork of this one would copy torch and the locks of its threads."""
        ours, theirs = socket.socketpair()
        self._channel, self._owner = Channel(ours), os.getpid()
        paths = os.pathsep.join(str(Path(path).absolute()) for path in sys.path)
        # The order of a set of strings, and so what a state looks like, must not differ from run to run.
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "0"}
        command = [sys.executable, "-P", "-m", "fission_grpo.environments.isolated.server", str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                command,
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the trainer
            )
        deadline = time.monotonic() + IMPORT_SECONDS
        self._channel.send(pickle.dumps((self._limits.seconds, self._limits.memory, self._definition)), deadline)
        answer = json.loads(self._channel.receive(deadline))
        if answer.get("error") is not None:
            self._stop()
            raise UserError(
                f"{_WHO}: the functions cannot be imported by another process ({answer.get('text')}); "
                "define them at the top level of a module that can be imported"
            )

    def _stop(self) -> None:
        """Ends the server with all it started. Where another process owns it, only forgets it."""
        if self._channel is not None:
            self._channel.close()
        if self._process is not None and self._owner == os.getpid():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._channel = self._process = None


@cache
def _server_of(definition: bytes, limits: CallLimits) -> _Server:
    """One server for all environments of a definition: they are many, and it keeps nothing between requests."""
    server = _Server(definition, limits)
    server.check()
    return server


def _definition(functions: Sequence[Callable[..., Any]], factory: StateFactory | None, judge: Judge | None) -> bytes:
    """The functions by name, as pickle has them."""
    for function in (*functions, factory, judge):
        try:
            pickle.dumps(function)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise _not_importable(function, str(error)) from error
        if getattr(function, "__module__", None) == "__main__":
            raise _not_importable(function, "it is defined in the script or notebook that runs")
    return pickle.dumps((tuple(functions), factory, judge))


def _not_importable(function: Any, why: str) -> UserError:
    name = getattr(function, "__qualname__", repr(function))
    return UserError(
        f"{_WHO}: {name} cannot be imported by another process ({why}); define it at the top level of a module, "
        "not inside a function, as a lambda, or in a script or notebook"
    )
