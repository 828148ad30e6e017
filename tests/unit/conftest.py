"""Its being here puts this folder on the import path: tests of several packages share the helpers beside it."""

import signal
from collections.abc import Generator

import pytest


@pytest.fixture
def interruptible() -> Generator[None]:
    """Ctrl-C as in a terminal: a process that a script started in the background ignores it, and so do its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
