"""How many inputs each target gets."""

from .worker import Batch

SHARES = {
    "parser": 0.33,
    "schema": 0.2,
    "executor": 0.25,
    "calculate": 0.12,
    "call text": 0.06,
    "functions": 0.02,
    "diagnosis and reward": 0.01,
    "tokens": 0.004,
    "feedback and leak guard": 0.003,
    "episode": 0.001,
    "tau2 message": 0.001,
    "log and report": 0.001,
}
"""How the inputs are shared out: the slower a target, the fewer."""
BATCH = 10_000


def batches_of(inputs: int, seed: int) -> list[Batch]:
    """All batches of a run, the small targets first: what is wrong with them shows early."""
    found: list[Batch] = []
    for target, share in sorted(SHARES.items(), key=lambda item: item[1]):
        count = round(inputs * share)
        found += [Batch(target, first, min(BATCH, count - first), seed) for first in range(0, count, BATCH)]
    return found
