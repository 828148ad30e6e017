"""What the engine reports of its simulators: each count once, over checkpoints too, and their time."""

import json
import pickle
import time
from collections.abc import Sequence

from failing import Letters, failure

from fission_grpo.fission import FissionEngine, FissionSettings
from fission_grpo.simulators import FallbackChain, RulesSimulator
from fission_grpo.training.metrics import step_metrics
from fission_grpo.types import Failure, Feedback, FeedbackLevel


class Slow:
    """Leaks about every failure whose name has an `x`."""

    name = "local"

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        time.sleep(0.02)
        return [
            Feedback("call ls instead." if "x" in each.text else "look again.", self.name, FeedbackLevel.FULL)
            for each in failures
        ]


def engine() -> FissionEngine:
    settings = FissionSettings(recovery_generations=4, recovery_fraction=0.5)
    return FissionEngine(settings, FallbackChain([Slow(), RulesSimulator()]), Letters())


def told(engine: FissionEngine, *names: str, step: int = 1) -> dict[str, float]:
    engine.intercept([failure(name) for name in names])
    assert len(engine.pop(step=step, batch_rows=8 * len(names))) == len(names)
    prefix = "fission/simulator/"
    return {name.removeprefix(prefix): value for name, value in engine.metrics().items() if name.startswith(prefix)}


def test_counts_are_those_since_the_last_report() -> None:
    made = engine()
    assert told(made, "a", "x") == {"answered/local": 1.0, "answered/rules": 1.0, "leaked/local": 1.0}
    assert told(made, "b", step=2) == {"answered/local": 1.0}
    assert not [name for name in made.metrics() if name.startswith("fission/simulator/")]


def test_counts_are_reported_once_over_a_checkpoint() -> None:
    made = engine()
    told(made, "a", "x")
    state = pickle.dumps(made.state_dict())
    resumed = engine()
    resumed.load_state_dict(pickle.loads(state))
    assert told(resumed, "y", step=2) == {"answered/local": 1.0}
    assert resumed.chain.counts["answered/local"] == 2


def test_the_time_of_the_simulators_is_known() -> None:
    made = engine()
    assert made.simulator_seconds == 0.0
    told(made, "a")
    first = made.simulator_seconds
    assert first >= 0.02
    told(made, "b", step=2)
    assert made.simulator_seconds >= first + 0.02


def test_the_log_of_updates_has_counts_tokens_and_seconds() -> None:
    logs = {"fission/simulator/answered/local": 3.0, "tokens/simulator": 12.5, "time/simulator_seconds": 0.5}
    record = step_metrics({**logs, "time/pop_seconds": 0.25}, 7, 2.0)
    assert record["simulator"] == {"answered/local": 3.0}
    assert record["tokens"]["simulator"] == 12.5
    assert (record["simulator_seconds"], record["overhead_seconds"]) == (0.5, 0.75)
    assert step_metrics({}, 7, 2.0)["simulator_seconds"] == 0.0
    assert json.dumps(record)


def test_what_is_told_elsewhere_is_left_out() -> None:
    """What a measurement at a checkpoint asked stands in its own record."""
    made = engine()
    told(made, "a")
    made.chain.counts["answered/local"] += 5
    made.leave_out_counts()
    assert told(made, "b", step=2) == {"answered/local": 1.0}
