"""The corrective pool: failures waiting for their recovery group."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice

from fission_grpo.fission.settings import PoolOrder
from fission_grpo.types import Failure


class CorrectivePool:
    """Failures *without* feedback, newest last, one live entry for every `(x, tau_err)` (docs/method.md, section 2).

    A failure that is met again while it waits takes the place of its older copy: it is still a mistake of the newest policy.
    Once popped, a context may be mined and pooled afresh. No operation takes longer for what it leaves in the pool.

    >>> pool = CorrectivePool(capacity=2, max_age=8)
    >>> len(pool)
    0
    """

    def __init__(self, capacity: int, max_age: int, order: PoolOrder = PoolOrder.LIFO) -> None:
        self._capacity = capacity
        self._max_age = max_age
        self._order = order
        # Oldest first. A plain dict looks for its first entry past all that were ever deleted before it.
        self._entries: OrderedDict[str, Failure] = OrderedDict()
        self._keys_of_update: defaultdict[int, set[str]] = defaultdict(set)
        self.duplicates = 0
        self.evicted = 0
        self.expired = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, failure: Failure) -> None:
        """Puts a failure on top; the oldest leaves when the pool is full."""
        key = failure.key
        if key in self._entries:
            waiting = self._take(key)
            self.duplicates += 1
            # Attempts already spent on a context are not forgotten because the policy repeated its mistake.
            failure = replace(
                failure, attempt=max(failure.attempt, waiting.attempt), level=max(failure.level, waiting.level)
            )
        self._put(key, failure)
        while len(self._entries) > self._capacity:
            self._take(next(iter(self._entries)))
            self.evicted += 1

    def mean_age(self) -> float:
        """Updates since the contexts were mined, on average, as of the newest of them."""
        if not self._entries:
            return 0.0
        newest = max(self._keys_of_update)
        return sum((newest - update) * len(keys) for update, keys in self._keys_of_update.items()) / len(self._entries)

    def expire(self, update: int) -> None:
        """Drops the contexts that are more than `max_age` updates old."""
        stale = [key for mined, keys in self._keys_of_update.items() if update - mined > self._max_age for key in keys]
        for key in stale:
            self._take(key)
        self.expired += len(stale)

    def candidates(self, count: int) -> list[Failure]:
        """The `count` contexts that are next in order, first to leave first. They stay in the pool."""
        newest_first = self._order is PoolOrder.LIFO
        return list(islice(reversed(self._entries.values()) if newest_first else self._entries.values(), count))

    def remove(self, failures: Iterable[Failure]) -> None:
        """Takes contexts out: they are about to be trained on, or cannot be."""
        for failure in failures:
            self._take(failure.key)

    def entries(self) -> list[Failure]:
        """All contexts, oldest first: with the counters, the pool's whole state."""
        return list(self._entries.values())

    def restore(self, entries: Sequence[Failure]) -> None:
        """Takes over the entries of a checkpoint, oldest first."""
        self._entries.clear()
        self._keys_of_update.clear()
        for failure in entries:
            self._put(failure.key, failure)

    def _put(self, key: str, failure: Failure) -> None:
        self._entries[key] = failure
        self._keys_of_update[failure.update].add(key)

    def _take(self, key: str) -> Failure:
        failure = self._entries.pop(key)
        keys = self._keys_of_update[failure.update]
        keys.remove(key)
        if not keys:
            del self._keys_of_update[failure.update]
        return failure
