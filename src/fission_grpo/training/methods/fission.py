"""Fission-GRPO: a share of the rows are recovery groups, which continue from earlier failures (arXiv 2601.15625).

The trainer does that for every method that recovers (`fission/`, docs/method.md); the update of both halves is GRPO's.
"""

from fission_grpo.training.methods.base import Method


class FissionGRPO(Method):
    """GRPO on both halves of the batch."""
