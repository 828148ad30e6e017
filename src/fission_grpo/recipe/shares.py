"""Which shares of a batch can be recoveries: whole groups of G', beside whole groups of G."""


def fitting_shares(wanted: float, rows: int, group: int, siblings: int, processes: int = 1) -> str:
    """The three shares nearest to the one that was wanted, to end a sentence with.

    >>> fitting_shares(0.4, rows=128, group=8, siblings=8)
    '0.3125, 0.375, 0.4375 would'
    >>> fitting_shares(0.4, rows=8, group=3, siblings=16)
    'no fraction would'

    Args:
        rows: of the batch, over all processes.
        group, siblings: G and G'.
        processes: each has as many recoveries as the others.
    """
    fitting = [n / rows for n in range(0, rows + 1, siblings) if not (n % processes or (rows - n) % group)]
    nearest = sorted(sorted(fitting, key=lambda share: abs(share - wanted))[:3])
    return f"{', '.join(f'{share:g}' for share in nearest) or 'no fraction'} would"
