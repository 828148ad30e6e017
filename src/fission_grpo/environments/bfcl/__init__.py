"""BFCL v4 multi-turn: bfcl-eval's real API classes behind a safe, forkable environment."""

from fission_grpo.environments.bfcl.environment import BFCLEnvironment
from fission_grpo.environments.bfcl.official import CATEGORIES, official_tasks

__all__ = ["CATEGORIES", "BFCLEnvironment", "official_tasks"]
