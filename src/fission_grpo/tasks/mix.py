"""The two mixes of generated tasks."""

from enum import StrEnum


class Mix(StrEnum):
    """What kind of tasks the generator makes."""

    COMPACT = "compact"
    """One API class, one or two user turns, 8 to 10 tools offered: fits the bundled policy's context of 2,048 tokens."""
    BENCHMARK = "benchmark"
    """The shape of BFCL's multi-turn tasks: one or two API classes with all their tools, several turns, four categories."""
