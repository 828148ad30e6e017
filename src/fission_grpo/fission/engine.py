"""The engine: the road from a failed rollout to a recovery group, and what is learnt from that group.

    intercept(failures)          failures of an exploration batch enter the pool
    pop(step, rows) -> contexts  on a trigger: contexts leave it, get their feedback *now*, become x_corr
    record(context, outcomes)    the group's outcomes feed selection and escalation

It runs on the main process only; the trainer broadcasts the contexts, so the pool cannot differ between ranks.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fission_grpo.failures import answered_by_benchmark
from fission_grpo.fission.context import NO_FEEDBACK, ChatRenderer, build_context
from fission_grpo.fission.escalation import Escalation
from fission_grpo.fission.pool import CorrectivePool
from fission_grpo.fission.selection import CANDIDATE_FACTOR, RecoveryOdds, select, selection_key
from fission_grpo.fission.settings import FissionSettings, RecoveryContext
from fission_grpo.fission.shuffle import FeedbackShuffler
from fission_grpo.fission.trigger import recovery_groups, triggers
from fission_grpo.simulators.base import Counting
from fission_grpo.simulators.chain import FallbackChain
from fission_grpo.types import CorrectiveContext, Failure, Feedback, FeedbackLevel


class FissionEngine:
    """Pool, trigger, selection, escalation, simulators and context building of one run; all of it is in `state_dict`.

    Attributes:
        simulator_seconds: time that the simulators took so far.
        static: failures that the pool is filled with instead of new ones, None where it lives on what is intercepted.
    """

    def __init__(self, settings: FissionSettings, chain: FallbackChain, chat: ChatRenderer) -> None:
        self.settings = settings
        self.pool = CorrectivePool(settings.pool_capacity, settings.pool_max_age, settings.pool_order)
        self.odds = RecoveryOdds()
        self.escalation = Escalation(settings.max_attempts)
        self.chain = chain
        self._chat = chat
        self.simulator_seconds = 0.0
        self.static: list[Failure] | None = None
        self._static_served = 0
        self._shuffler = FeedbackShuffler()
        self._counts: Counter[str] = Counter()
        self._reported: dict[str, Counter[str]] = {}

    def intercept(self, failures: Sequence[Failure]) -> None:
        """Puts the failures of a batch into the pool, in order. Plain GRPO (no recoveries) only counts them."""
        for failure in failures:
            self._counts["failures"] += 1
            self._counts[f"failures/{failure.kind}"] += 1
            if not answered_by_benchmark(failure.kind):
                self._counts["unanswered"] += 1
            if self.settings.recovery_fraction > 0 and self.static is None and self._accepts(failure):
                self.pool.add(replace(failure, level=self._first_level(failure)))

    def pop(self, step: int, batch_rows: int) -> list[CorrectiveContext]:
        """The contexts that step `step` trains, exactly `r * N / G'` of them, or none: then it is all exploration.

        Args:
            step: number of updates done.
            batch_rows: N, rows of the generation batch over all ranks.
        """
        self.pool.expire(step)
        if self.static is not None:
            self._refill(step, recovery_groups(self.settings, batch_rows))
        if not triggers(self.settings, step, len(self.pool), batch_rows):
            return []
        wanted = recovery_groups(self.settings, batch_rows)
        contexts: list[CorrectiveContext] = []
        while len(contexts) < wanted and len(self.pool) >= wanted - len(contexts):
            chosen = self._choose(wanted - len(contexts))
            self.pool.remove(chosen)
            contexts += self._build(chosen)
        if len(contexts) < wanted:  # contexts that were too long left a gap that the pool cannot fill
            for context in reversed(contexts):
                self.pool.add(context.failure)
            return []
        self._counts["recovery_groups"] += wanted
        return contexts

    def use_static(self, failures: Sequence[Failure]) -> None:
        """From now on the pool is filled with these failures, in order and again and again."""
        self.static = [failure for failure in failures if self._accepts(failure)]

    def record(self, context: CorrectiveContext, outcomes: Sequence[bool]) -> None:
        """Takes in the outcomes (G',) of a recovery group."""
        successes = sum(outcomes)
        self._counts["recoveries"] += len(outcomes)
        self._counts["recovered"] += successes
        self._counts["groups_with_signal"] += 0 < successes < len(outcomes)
        self.odds.record(selection_key(context.failure), successes, len(outcomes) - successes)
        if self.settings.escalation:
            again = self.escalation.after_group(context.failure, outcomes)
            if again is not None:
                self.pool.add(again)
                self._counts["escalated"] += 1

    def end_update(self) -> None:
        """Called once an update: older evidence counts less."""
        self.odds.decay()

    def metrics(self) -> dict[str, float]:
        """What happened since the last call: counts, plus the pool's size and its counters so far."""
        counts = {f"fission/{name}": float(count) for name, count in sorted(self._counts.items())}
        self._counts.clear()
        for group, counted in self._counters().items():
            told = counted - self._reported.get(group, Counter())
            self._reported[group] = Counter(counted)
            counts |= {f"fission/{group}/{name}": float(count) for name, count in sorted(told.items())}
        return counts | {
            "fission/pool_size": float(len(self.pool)),
            "fission/pool_mean_age": self.pool.mean_age(),
            "fission/pool_duplicates": float(self.pool.duplicates),
            "fission/pool_expired": float(self.pool.expired),
            "fission/pool_evicted": float(self.pool.evicted),
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on; picklable."""
        return {
            "pool": self.pool.entries(),
            "pool_counters": (self.pool.duplicates, self.pool.evicted, self.pool.expired),
            "odds": dict(self.odds.evidence),
            "start_levels": dict(self.escalation.start_levels),
            "counts": dict(self._counts),
            "chain": self.chain.state_dict(),
            "reported": {group: dict(counted) for group, counted in self._reported.items()},
            "static": (self.static, self._static_served),
            "shuffled": self._shuffler.before,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues where `state_dict` was taken."""
        self.pool.restore(state["pool"])
        self.pool.duplicates, self.pool.evicted, self.pool.expired = state["pool_counters"]
        self.odds.evidence = dict(state["odds"])
        self.escalation.start_levels = dict(state["start_levels"])
        self._counts = Counter(state["counts"])
        self.chain.load_state_dict(state["chain"])
        self._reported = {group: Counter(counted) for group, counted in state["reported"].items()}
        self.static, self._static_served = state["static"]
        self._shuffler.before = state["shuffled"]

    def _counters(self) -> dict[str, Counter[str]]:
        """What the chain has counted so far, and those of its simulators that count by themselves."""
        counting = (each for each in self.chain.simulators if isinstance(each, Counting))
        return {"simulator": self.chain.counts, **{each.name: each.counts for each in counting}}

    def _accepts(self, failure: Failure) -> bool:
        return self.settings.unanswered_failures or answered_by_benchmark(failure.kind)

    def _first_level(self, failure: Failure) -> FeedbackLevel:
        return self.escalation.start_level(failure) if self.settings.escalation else self.settings.feedback_level

    def _choose(self, count: int) -> list[Failure]:
        if not self.settings.selection:
            return self.pool.candidates(count)
        candidates = self.pool.candidates(CANDIDATE_FACTOR * count)
        return select(candidates, count, self.odds, self.settings.recovery_generations)

    def _refill(self, step: int, wanted: int) -> None:
        """Adds static failures, as of now, until the pool can serve one batch."""
        assert self.static is not None
        for _ in range(min(wanted, len(self.static)) - len(self.pool)):
            failure = self.static[self._static_served % len(self.static)]
            self.pool.add(replace(failure, update=step, level=self._first_level(failure)))
            self._static_served += 1

    def _diagnose(self, failures: Sequence[Failure]) -> Sequence[Feedback]:
        kind = self.settings.recovery_context
        if kind in (RecoveryContext.ATTEMPT, RecoveryContext.PROMPT):
            return [NO_FEEDBACK] * len(failures)
        started = time.perf_counter()
        feedbacks = self.chain.diagnose(failures)
        self.simulator_seconds += time.perf_counter() - started
        return self._shuffler.shuffle(failures, feedbacks) if kind is RecoveryContext.SHUFFLED else feedbacks

    def _build(self, failures: Sequence[Failure]) -> list[CorrectiveContext]:
        feedbacks = self._diagnose(failures)
        contexts: list[CorrectiveContext] = []
        for failure, feedback in zip(failures, feedbacks, strict=True):
            context = build_context(
                failure, feedback, self._chat, self.settings.max_context_tokens, self.settings.recovery_context
            )
            if context is None:
                self._counts["too_long"] += 1
                continue
            self._counts["shortened"] += context.dropped_messages > 0
            self._counts[f"feedback/{feedback.source}"] += 1
            contexts.append(context)
        return contexts
