"""The tool of `isolation.py`."""


def add(state: list[int], amount: int) -> int:
    """Adds an amount."""
    state[0] += amount
    return state[0]
