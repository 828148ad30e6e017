"""TAU2-Bench: tau2's own worlds, orchestrator and evaluator behind a forkable environment."""

from fission_grpo.environments.tau2.environment import Tau2Environment
from fission_grpo.environments.tau2.package import DOMAINS, Provenance, provenance
from fission_grpo.environments.tau2.tasks import SPLITS, tau2_tasks
from fission_grpo.environments.tau2.users import EndpointUser, ScriptedUser, UserModel

__all__ = [
    "DOMAINS",
    "SPLITS",
    "EndpointUser",
    "Provenance",
    "ScriptedUser",
    "Tau2Environment",
    "UserModel",
    "provenance",
    "tau2_tasks",
]
