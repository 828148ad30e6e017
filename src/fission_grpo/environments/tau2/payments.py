"""A bound for tau2's `cancel_reservation`: each call refunds all payments so far, refunds too, so that they double."""

from collections.abc import Sized

MAX_PAYMENTS = 1_000
"""Payments of one reservation. Real ones have a few."""


def check_payments(payments: Sized) -> None:
    """Lets a reservation be cancelled again that was not cancelled many times.

    Raises:
        ValueError: its payments have grown too many.
    """
    if len(payments) > MAX_PAYMENTS:
        raise ValueError("Too many payments to refund")
