"""The corrective pool: failures waiting for their recovery group."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from fission_grpo.fission.settings import PoolOrder
from fission_grpo.types import Failure


class CorrectivePool:
    """Failures *without* feedback, newest last, one live entry for every `(x, tau_err)` (docs/method.md, section 2).

    A failure that is met again while it waits takes the place of its older copy: it is still a mistake of the newest policy.
    Once popped, a context may be mined and pooled afresh.

    >>> pool = CorrectivePool(capacity=2, max_age=8)
    >>> len(pool)
    0
    """

    def __init__(self, capacity: int, max_age: int, order: PoolOrder = PoolOrder.LIFO) -> None:
        self._capacity = capacity
        self._max_age = max_age
        self._order = order
        self._entries: dict[str, Failure] = {}  # insertion order is age order, newest last
        self.duplicates = 0
        self.evicted = 0
        self.expired = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, failure: Failure) -> None:
        """Puts a failure on top; the oldest leaves when the pool is full."""
        key = failure.key
        waiting = self._entries.pop(key, None)
        if waiting is not None:
            self.duplicates += 1
            # Attempts already spent on a context are not forgotten because the policy repeated its mistake.
            failure = replace(
                failure, attempt=max(failure.attempt, waiting.attempt), level=max(failure.level, waiting.level)
            )
        self._entries[key] = failure
        while len(self._entries) > self._capacity:
            del self._entries[next(iter(self._entries))]
            self.evicted += 1

    def mean_age(self) -> float:
        """Updates since the contexts were mined, on average, as of the newest of them."""
        updates = [failure.update for failure in self._entries.values()]
        return max(updates) - sum(updates) / len(updates) if updates else 0.0

    def expire(self, update: int) -> None:
        """Drops the contexts that are more than `max_age` updates old."""
        stale = [key for key, failure in self._entries.items() if update - failure.update > self._max_age]
        for key in stale:
            del self._entries[key]
        self.expired += len(stale)

    def candidates(self, count: int) -> list[Failure]:
        """The `count` contexts that are next in order, first to leave first. They stay in the pool."""
        entries = list(self._entries.values())
        if self._order is PoolOrder.LIFO:
            entries.reverse()
        return entries[:count]

    def remove(self, failures: Iterable[Failure]) -> None:
        """Takes contexts out: they are about to be trained on, or cannot be."""
        for failure in failures:
            del self._entries[failure.key]

    def entries(self) -> list[Failure]:
        """All contexts, oldest first: with the counters, the pool's whole state."""
        return list(self._entries.values())

    def restore(self, entries: Sequence[Failure]) -> None:
        """Takes over the entries of a checkpoint, oldest first."""
        self._entries = {failure.key: failure for failure in entries}
