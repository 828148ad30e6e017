"""Signs of an escape: what the interpreter reports while an input is played, and what has changed in the process after it.

The audit hook sees every file opened for writing, process started, socket connected, module imported and code executed. Code
is compiled by the reader of call texts, which never runs it, and run by tau2's `calculate`, whose code may name nothing.
"""

import builtins
import hashlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import mpmath

_FORBIDDEN = (
    *("os.", "subprocess.", "pty.", "socket.", "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser.", "sqlite3."),
    *("shutil.", "tempfile.", "ctypes.", "mmap.", "fcntl.", "signal.", "resource.", "marshal.", "import", "sys.set"),
    *("code.__new__", "function.__new__", "object.__setattr__", "object.__delattr__", "builtins.input"),
)
"""Beginnings of the names of events, https://docs.python.org/3/library/audit_events.html."""
_HARMLESS = frozenset({"os.listdir", "os.scandir", "os.walk", "os.fwalk", "sys.settrace"})
_CHECKERS = ("fission_grpo", "bfcl_eval", "tau2", "jsonschema")


class Canaries:
    """Watches one process. `events` holds what was reported since `clear`; nothing can be unhooked, so there is one."""

    def __init__(self, scratch: Path) -> None:
        self.events: list[str] = []
        self._scratch = scratch
        self._watching = False
        self._recording = threading.local()
        sys.addaudithook(self._hear)
        self._before = self._state()
        self._quick = self._quick_state()

    def start(self) -> None:
        self.events.clear()
        self._quick = self._quick_state()
        self._watching = True

    def stop(self) -> list[str]:
        """What was reported, and what the cheap checks see changed."""
        self._watching = False
        found, now = list(self.events), self._quick_state()
        found += [f"{name} changed" for name, value in now.items() if value != self._quick[name]]
        return found

    def changes(self) -> list[str]:
        """What has changed in checkers, builtins and scratch folder since the start: slow, so not after every input."""
        now = self._state()
        names = {name for name in self._before.keys() | now.keys() if self._before.get(name) != now.get(name)}
        return sorted(f"{name} changed" for name in names)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._watching:
            return
        if event == "open":
            if _writes(*arguments[1:]):
                self.events.append(f"open {arguments!r}"[:200])
        elif event == "exec":
            if not _computes_only(arguments[0]):
                self.events.append(f"exec {arguments!r}"[:200])
        elif event.startswith(_FORBIDDEN) and event not in _HARMLESS:
            self.events.append(f"{event} {_shown(arguments)}"[:200])

    def _quick_state(self) -> dict[str, Any]:
        return {
            "working directory": str(Path.cwd()),
            "environment variables": len(os.environ),
            "modules": len(sys.modules),
            "threads": threading.active_count(),
            "recursion limit": sys.getrecursionlimit(),
            "digits of integers": sys.get_int_max_str_digits(),
            "precision": mpmath.mp.prec,
            "trace": sys.gettrace(),
        }

    def _state(self) -> dict[str, Any]:
        found: dict[str, Any] = {f"builtin {name}": id(value) for name, value in vars(builtins).items() if name != "_"}
        found |= {f"variable {name}": value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        found |= {f"file {path}": path.stat().st_mtime_ns for path in self._scratch.rglob("*")}
        for name, module in list(sys.modules.items()):
            if name.startswith(_CHECKERS):
                found |= {f"{name}.{key}": value for key, value in _functions_of(module)}
        return found


def _writes(mode: object, flags: object) -> bool:
    by_mode = isinstance(mode, str) and not set(mode).isdisjoint("wax+")
    return by_mode or (isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR)))


def _computes_only(code: object) -> bool:
    """Whether code names nothing and holds no code: arithmetic on literals."""
    if not isinstance(code, CodeType):
        return False
    return not code.co_names and not any(isinstance(constant, CodeType) for constant in code.co_consts)


def _functions_of(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name, value in list(vars(module).items()):
        if isinstance(value, FunctionType):
            yield name, (id(value), _digest(value))
        elif isinstance(value, type) and value.__module__ == module.__name__:
            for key, member in list(vars(value).items()):
                if isinstance(member, FunctionType):
                    yield f"{name}.{key}", (id(member), _digest(member))


def _digest(function: FunctionType) -> str:
    return hashlib.blake2b(function.__code__.co_code + repr(function.__code__.co_names).encode(), digest_size=8).hexdigest()


def _shown(arguments: Mapping[str, Any] | tuple[Any, ...]) -> str:
    try:
        return repr(arguments)
    except Exception:
        return "?"
