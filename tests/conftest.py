"""Settings of all tests."""

import os
from tempfile import TemporaryDirectory

from hypothesis import settings

# How long an example takes says more about what else the machine does than about the code. In CI the examples are the same
# every time, so that a change is judged by what it changed; by hand they are new every time, which is how faults are found.
settings.register_profile("house", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "house")

_DATA = TemporaryDirectory(prefix="fission-grpo-tests-")
os.environ["XDG_DATA_HOME"] = _DATA.name  # the key that tests sign checkpoints with is not the user's
