"""Simulators: a failure becomes feedback, in batches, when it is popped from the pool (docs/method.md, section 4)."""

from fission_grpo.simulators.base import Regenerating, Simulator
from fission_grpo.simulators.chain import FallbackChain
from fission_grpo.simulators.environment import EnvironmentSimulator
from fission_grpo.simulators.fixed import FixedSimulator
from fission_grpo.simulators.leak import Leak, LeakForm, LeakKind, leaks
from fission_grpo.simulators.registry import make_chain, make_simulator
from fission_grpo.simulators.rules import RulesSimulator

__all__ = [
    "EnvironmentSimulator",
    "FallbackChain",
    "FixedSimulator",
    "Leak",
    "LeakForm",
    "LeakKind",
    "Regenerating",
    "RulesSimulator",
    "Simulator",
    "leaks",
    "make_chain",
    "make_simulator",
]
