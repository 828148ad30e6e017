"""Fission itself: corrective pool, trigger, selection, escalation, context builder. No torch. Start with `engine`."""

from fission_grpo.fission.context import FEEDBACK_HEADER, build_context
from fission_grpo.fission.engine import FissionEngine
from fission_grpo.fission.pool import CorrectivePool
from fission_grpo.fission.settings import FissionSettings, PoolOrder, RecoveryContext, SignalFilter
from fission_grpo.fission.signal import has_signal

__all__ = [
    "FEEDBACK_HEADER",
    "CorrectivePool",
    "FissionEngine",
    "FissionSettings",
    "PoolOrder",
    "RecoveryContext",
    "SignalFilter",
    "build_context",
    "has_signal",
]
