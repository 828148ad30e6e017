"""Shuffled feedback: never the failure's own where there is another, and the same after a resume."""

import pickle
from collections.abc import Sequence
from dataclasses import replace

from failing import Letters, failure
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.fission import FissionEngine, FissionSettings, RecoveryContext
from fission_grpo.fission.context import build_context
from fission_grpo.fission.shuffle import FeedbackShuffler
from fission_grpo.simulators import FallbackChain
from fission_grpo.types import Failure, Feedback, FeedbackLevel


class Telling:
    """Says of every failure its own task."""

    name = "telling"

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        return [feedback_on(each) for each in failures]


def feedback_on(failed: Failure) -> Feedback:
    return Feedback(f"about {failed.text}", "telling", FeedbackLevel.FULL)


def batch_of(names: str) -> list[Failure]:
    return [failure(name) for name in names]


NAMES = st.text("abcde", min_size=1, max_size=6)


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_nobody_gets_the_feedback_on_a_failure_of_its_own_task(batches: list[str]) -> None:
    shuffler = FeedbackShuffler()
    before = ""
    for names in batches:
        failures = batch_of(names)
        given_out = shuffler.shuffle(failures, [feedback_on(each) for each in failures])
        offered = set(before + names)
        for each, feedback in zip(failures, given_out, strict=True):
            others = {f"about {failure(name).text}" for name in offered} - {f"about {each.text}"}
            assert feedback.text in (others or {f"about {each.text}"})
        before = names


def test_siblings_of_one_task_still_get_other_words() -> None:
    one, other = failure("a"), replace(failure("b"), task_id="task-a")
    first, second = FeedbackShuffler().shuffle([one, other], [feedback_on(one), feedback_on(other)])
    assert (first.text, second.text) == ("about cat b", "about cat a")


def test_a_resumed_engine_shuffles_alike() -> None:
    settings = FissionSettings(recovery_generations=4, recovery_context=RecoveryContext.SHUFFLED)
    engine, resumed = (FissionEngine(settings, FallbackChain([Telling()]), Letters()) for _ in range(2))
    engine.intercept(batch_of("abcdef"))
    engine.pop(1, 16)
    resumed.load_state_dict(pickle.loads(pickle.dumps(engine.state_dict())))
    later = [each.pop(2, 16) for each in (engine, resumed)]
    assert later[0] == later[1] != []
    assert all(context.feedback != feedback_on(context.failure) for context in later[0])


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20))
def test_what_the_other_contexts_hold(sampled: list[int]) -> None:
    """`attempt`: x and the failed message, nothing else. `prompt`: x alone, however short the bound."""
    failed = replace(failure(), completion_ids=tuple(sampled))
    attempt = build_context(failed, feedback_on(failed), Letters(), 10_000, RecoveryContext.ATTEMPT)
    prompt = build_context(failed, feedback_on(failed), Letters(), 0, RecoveryContext.PROMPT)
    assert attempt is not None and prompt is not None
    assert attempt.prompt_ids == (*failed.prompt_ids, *sampled)
    assert attempt.messages[-1]["role"] == "assistant"
    assert (prompt.prompt_ids, prompt.messages) == (failed.prompt_ids, failed.messages)


def test_no_simulator_is_asked_where_nobody_reads_it() -> None:
    for kind in (RecoveryContext.ATTEMPT, RecoveryContext.PROMPT):
        chain = FallbackChain([Telling()])
        engine = FissionEngine(FissionSettings(recovery_generations=4, recovery_context=kind), chain, Letters())
        engine.intercept(batch_of("ab"))
        assert [context.feedback.source for context in engine.pop(1, 16)] == ["none", "none"]
        assert not chain.counts
