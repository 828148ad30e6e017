"""The whole road: intercept, trigger, pop with fresh feedback, record."""

import pickle
from collections.abc import Sequence

import pytest
from failing import Letters, failure

from fission_grpo.fission import FissionEngine, FissionSettings
from fission_grpo.simulators import FallbackChain
from fission_grpo.types import Failure, FailureKind, Feedback, FeedbackLevel


class Counting:
    """A simulator that says when it was asked, and about what level."""

    name = "counting"

    def __init__(self) -> None:
        self.asked: list[Failure] = []

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        self.asked += failures
        return [Feedback(f"level {int(each.level)}", self.name, each.level) for each in failures]


def engine_of(**settings: object) -> tuple[FissionEngine, Counting]:
    simulator = Counting()
    chosen = FissionSettings(**{"recovery_generations": 4, "recovery_fraction": 0.5, **settings})  # pyright: ignore
    return FissionEngine(chosen, FallbackChain([simulator]), Letters()), simulator


def test_no_feedback_is_made_before_a_context_is_popped():
    engine, simulator = engine_of()
    engine.intercept([failure("a"), failure("b")])
    assert simulator.asked == []
    contexts = engine.pop(step=1, batch_rows=16)
    assert [context.failure.task_id for context in contexts] == ["task-b", "task-a"]
    assert len(simulator.asked) == 2


def test_pops_exactly_what_the_batch_needs_or_nothing():
    engine, _ = engine_of()
    engine.intercept([failure("a")])
    assert engine.pop(step=1, batch_rows=16) == []
    assert len(engine.pool) == 1
    engine.intercept([failure("b"), failure("c")])
    assert len(engine.pop(step=1, batch_rows=16)) == 2
    assert len(engine.pool) == 1


def test_trigger_interval_and_size():
    engine, _ = engine_of(trigger_interval=3, trigger_size=5)
    engine.intercept([failure(name) for name in "abcd"])
    assert engine.pop(step=3, batch_rows=16) == []
    engine.intercept([failure("e")])
    assert engine.pop(step=4, batch_rows=16) == []
    assert len(engine.pop(step=6, batch_rows=16)) == 2


def test_plain_grpo_never_recovers():
    engine, _ = engine_of(recovery_fraction=0.0)
    engine.intercept([failure(name) for name in "abcdef"])
    assert engine.pop(step=0, batch_rows=16) == []
    assert engine.metrics()["fission/failures"] == 6
    assert len(engine.pool) == 0


def test_without_options_it_is_the_papers_pool():
    """Newest first, fixed level, each context once: selection and escalation leave no trace when off."""
    engine, simulator = engine_of()
    engine.intercept([failure(name) for name in "abcdefgh"])
    contexts = engine.pop(step=1, batch_rows=16)
    assert [context.failure.task_id for context in contexts] == ["task-h", "task-g"]
    assert {each.level for each in simulator.asked} == {FeedbackLevel.FULL}
    engine.record(contexts[0], [False] * 4)
    assert "task-h" not in {each.task_id for each in engine.pool.entries()}


def test_unanswered_failures_can_be_switched_off():
    engine, _ = engine_of(unanswered_failures=False)
    engine.intercept([failure("a", kind=FailureKind.MISSING_CALL, error_kind=None), failure("b")])
    assert [each.task_id for each in engine.pool.entries()] == ["task-b"]
    assert engine.metrics()["fission/unanswered"] == 1


def test_static_failures_are_told_as_much_as_others() -> None:
    """Level and `unanswered_failures` hold for them too; what is intercepted later never enters the pool."""
    engine, _ = engine_of(feedback_level=FeedbackLevel.KIND, unanswered_failures=False)
    engine.use_static([failure("a"), failure("b", kind=FailureKind.MALFORMED_CALL), failure("c")])
    engine.intercept([failure("d")])
    contexts = [context for step in range(3) for context in engine.pop(step, 8)]
    assert {context.failure.text for context in contexts} == {"cat a", "cat c"}
    assert {context.failure.level for context in contexts} == {FeedbackLevel.KIND}


def test_escalation_asks_again_with_more_and_trains_each_attempt_once():
    engine, _ = engine_of(escalation=True, recovery_fraction=0.25)
    engine.intercept([failure("a")])
    trained: list[tuple[str, int]] = []
    for step in range(1, 8):
        for context in engine.pop(step, batch_rows=16):
            trained.append((context.failure.key, context.failure.attempt))
            engine.record(context, [False] * 4)
    assert [attempt for _, attempt in trained] == [0, 1, 2]
    assert len(set(trained)) == 3


def test_too_long_contexts_leave_the_pool_and_are_counted():
    engine, _ = engine_of(recovery_fraction=0.25, max_context_tokens=3)
    engine.intercept([failure("a"), failure("b")])
    assert engine.pop(step=1, batch_rows=16) == []
    assert engine.metrics()["fission/too_long"] == 2
    assert len(engine.pool) == 0


@pytest.mark.parametrize("options", [{}, {"selection": True, "escalation": True}])
def test_a_pickled_state_continues_alike(options: dict[str, bool]):
    engine, _ = engine_of(**options)
    other, _ = engine_of(**options)
    engine.intercept([failure(name) for name in "abcdef"])
    for context in engine.pop(step=1, batch_rows=16):
        engine.record(context, [False] * 4)
    other.load_state_dict(pickle.loads(pickle.dumps(engine.state_dict())))
    assert other.pop(step=2, batch_rows=16) == engine.pop(step=2, batch_rows=16)
    assert other.metrics() == engine.metrics()
    assert other.state_dict() == engine.state_dict()
