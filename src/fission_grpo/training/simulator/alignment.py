"""The alignment monitor: does the preferred simulator still fit the policy's newest failures? (docs/method.md, section 8.1)

At checkpoints it diagnoses the newest failures, whether they were fissioned or not, and judges the simulator's own words
before the guard. Beside that stands what the recovery groups since the last measurement said: where their feedback came
from, and how often the policy recovered, by kind of error.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.recipe import AlignmentSection
from fission_grpo.simulators.base import Metered, Simulator, counted
from fission_grpo.simulators.chain import FallbackChain
from fission_grpo.simulators.environment import EnvironmentSimulator
from fission_grpo.simulators.fixed import FixedSimulator
from fission_grpo.training.simulator.measures import diagnoses, judge, measure
from fission_grpo.training.simulator.refresh import Refresher
from fission_grpo.types import CorrectiveContext, Failure

_LOGGER = logging.getLogger(__name__)
WITHOUT_KIND = frozenset({EnvironmentSimulator.name, FixedSimulator.name})
"""Simulators that claim no kind: none of their diagnoses is sound, which is nothing to warn of."""
SHOWN = ("usable", "leak", "agreement", "agreement_all", "sound")


class AlignmentMonitor:
    """Watches one run's simulators; on the main process only.

    Args:
        chain: the run's simulators; the first is the one that is watched.
        append: takes a record for `alignment.jsonl`.
        refresher: fine-tunes the first simulator further when that is due, None where it stays frozen.
    """

    def __init__(
        self,
        settings: AlignmentSection,
        chain: FallbackChain,
        append: Callable[[Mapping[str, Any]], None],
        refresher: Refresher | None = None,
    ) -> None:
        self._settings = settings
        self._chain = chain
        self._append = append
        self._refresher = refresher
        self._kept = max(settings.failures, refresher.settings.failures if refresher else 0)
        self._newest: dict[str, Failure] = {}  # different ones: the siblings of a group often fail alike
        self._sources: Counter[str] = Counter()
        self._asked = self._replaced = 0
        self._recovered: dict[str, list[int]] = {}
        self._measured_at = 0

    @property
    def simulator(self) -> Simulator:
        """The one that is watched."""
        return self._chain.simulators[0]

    def note_failures(self, failures: Sequence[Failure]) -> None:
        """Takes in the failures of an update, but for those whose feedback is deterministic."""
        for failure in failures:
            if failure.format_error is None:
                self._newest.pop(failure.key, None)
                self._newest[failure.key] = failure
        for key in list(self._newest)[: -self._kept]:
            del self._newest[key]

    def note_group(self, context: CorrectiveContext, outcomes: Sequence[bool]) -> None:
        """Takes in the outcomes of a recovery group."""
        self._sources[context.feedback.source] += 1
        self._asked += context.failure.format_error is None
        self._replaced += context.feedback.replaced is not None
        counts = self._recovered.setdefault((context.failure.error_kind or context.failure.kind).value, [0, 0])
        counts[0] += sum(outcomes)
        counts[1] += len(outcomes)

    def at_checkpoint(self, step: int, *, last: bool = False) -> None:
        """Measures, warns and refreshes, where that is due; after the last update nothing would use a new version."""
        if step - self._measured_at < self._settings.every or not self._newest:
            return
        self._measured_at = step
        started = time.perf_counter()
        failures = list(self._newest.values())[-self._settings.failures :]
        before = counted(self.simulator)
        found = measure(judge(failures, diagnoses(self.simulator, failures)))
        record = {
            "event": "measurement",
            "step": step,
            "simulator": self.simulator.name,
            "version": self._refresher.version if self._refresher else 1,
            "failures": len(failures),
            **{name: _pair(found[name]) for name in SHOWN},
            "sources": dict(self._sources),
            "fallback": [self._replaced, self._asked],
            "recovery": {kind: list(counts) for kind, counts in sorted(self._recovered.items())},
            "warn_below": self._settings.warn_below,
            "questions": dict(counted(self.simulator) - before),
            "tokens": dict(self.simulator.tokens) if isinstance(self.simulator, Metered) else {},
            "seconds": round(time.perf_counter() - started, 3),
        }
        self._append(record)
        self._sources.clear()
        self._asked = self._replaced = 0
        self._recovered.clear()
        low = self.simulator.name not in WITHOUT_KIND and (found["sound"].value or 0.0) < self._settings.warn_below
        if low:
            _LOGGER.warning(
                "update %d: the simulator %r diagnoses %s of the newest failures soundly, less than %g "
                "(simulator.alignment.warn_below)",
                *(step, self.simulator.name, found["sound"], self._settings.warn_below),
            )
        if self._refresher is not None and not last and self._refresher.due(step, low):
            self._append(self._refresher.refresh(step, list(self._newest.values()), self._chain))

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next measurement depends on; picklable."""
        return {
            "newest": list(self._newest.values()),
            "sources": dict(self._sources),
            "asked": self._asked,
            "replaced": self._replaced,
            "recovered": {kind: list(counts) for kind, counts in self._recovered.items()},
            "measured_at": self._measured_at,
            "refresher": self._refresher.state_dict() if self._refresher else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues where `state_dict` was taken."""
        self._newest = {failure.key: failure for failure in state["newest"]}
        self._sources = Counter(state["sources"])
        self._asked, self._replaced = state["asked"], state["replaced"]
        self._recovered = {kind: list(counts) for kind, counts in state["recovered"].items()}
        self._measured_at = state["measured_at"]
        if self._refresher is not None and state["refresher"] is not None:
            self._refresher.load_state_dict(state["refresher"], self._chain)


def _pair(ratio: Ratio) -> list[int]:
    return [ratio.numerator, ratio.denominator]
