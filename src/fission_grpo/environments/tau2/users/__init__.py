"""Who plays the user of a conversation: a script, or a model behind an OpenAI-compatible endpoint."""

from fission_grpo.environments.tau2.users.base import UserModel
from fission_grpo.environments.tau2.users.endpoint import EndpointUser
from fission_grpo.environments.tau2.users.scripted import ScriptedUser

__all__ = ["EndpointUser", "ScriptedUser", "UserModel"]
