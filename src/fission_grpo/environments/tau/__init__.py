"""TAU-Bench, the first version: the official package where it is installed, else its protocol over tau2's tasks."""

from fission_grpo.environments.tau.environment import TauEnvironment
from fission_grpo.environments.tau.package import DOMAINS, Mode, mode, tau_provenance
from fission_grpo.environments.tau.tasks import tau_tasks

__all__ = ["DOMAINS", "Mode", "TauEnvironment", "mode", "tau_provenance", "tau_tasks"]
