"""The leak guard: does a feedback give the answer away? `guard.py` says what a leak is."""

from fission_grpo.simulators.leak.forms import LeakForm
from fission_grpo.simulators.leak.guard import Leak, LeakKind, leaks

__all__ = ["Leak", "LeakForm", "LeakKind", "leaks"]
