"""The bundled policy's chat format, loaded once."""

import pytest

from fission_grpo.chat.template import ChatFormat
from fission_grpo.rollout.loading import load_policy_model


@pytest.fixture(scope="session")
def chat() -> ChatFormat:
    return ChatFormat(load_policy_model("bundled")[1])
