"""The corrective pool against a plain model of what it promises."""

import time

import pytest
from failing import failure
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.fission import CorrectivePool, PoolOrder
from fission_grpo.types import FeedbackLevel


def test_newest_leaves_first():
    pool = CorrectivePool(capacity=8, max_age=8)
    for name in "abc":
        pool.add(failure(name))
    assert [each.task_id for each in pool.candidates(2)] == ["task-c", "task-b"]


def test_fifo_is_the_other_way_round():
    pool = CorrectivePool(capacity=8, max_age=8, order=PoolOrder.FIFO)
    for name in "abc":
        pool.add(failure(name))
    assert [each.task_id for each in pool.candidates(2)] == ["task-a", "task-b"]


def test_duplicates_are_judged_against_live_entries_only():
    pool = CorrectivePool(capacity=8, max_age=8)
    pool.add(failure("a"))
    pool.add(failure("a"))
    assert (len(pool), pool.duplicates) == (1, 1)
    pool.remove(pool.candidates(1))
    pool.add(failure("a"))
    assert (len(pool), pool.duplicates) == (1, 1)


def test_a_repeated_mistake_keeps_the_attempts_already_spent_on_it():
    pool = CorrectivePool(capacity=8, max_age=8)
    pool.add(failure("a", attempt=2, level=FeedbackLevel.PARAMETER))
    pool.add(failure("a", update=5, level=FeedbackLevel.KIND))
    (kept,) = pool.entries()
    assert (kept.attempt, kept.level, kept.update) == (2, FeedbackLevel.PARAMETER, 5)


def test_stale_contexts_expire():
    pool = CorrectivePool(capacity=8, max_age=2)
    pool.add(failure("old", update=0))
    pool.add(failure("new", update=3))
    pool.expire(update=3)
    assert [each.task_id for each in pool.entries()] == ["task-new"]
    assert pool.expired == 1


@given(st.lists(st.sampled_from("abcdefgh")), st.integers(1, 5))
def test_holds_the_newest_distinct_failures(names: list[str], capacity: int):
    pool = CorrectivePool(capacity=capacity, max_age=8)
    for name in names:
        pool.add(failure(name))
    newest_first = list(dict.fromkeys(reversed(names)))[:capacity]
    assert [each.task_id for each in pool.candidates(99)] == [f"task-{name}" for name in newest_first]


@given(st.lists(st.sampled_from("abcdefgh")))
def test_restore_continues_where_entries_were_taken(names: list[str]):
    pool = CorrectivePool(capacity=4, max_age=8)
    for name in names:
        pool.add(failure(name))
    other = CorrectivePool(capacity=4, max_age=8)
    other.restore(pool.entries())
    assert other.candidates(9) == pool.candidates(9)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 6))), st.integers(1, 5), st.integers(0, 3))
def test_ages_are_those_of_the_entries(added: list[tuple[str, int]], capacity: int, max_age: int):
    pool = CorrectivePool(capacity=capacity, max_age=max_age)
    for name, update in added:
        pool.add(failure(name, update=update))
        updates = [each.update for each in pool.entries()]
        assert pool.mean_age() == pytest.approx(max(updates) - sum(updates) / len(updates))
    fresh = [each for each in pool.entries() if 6 - each.update <= max_age]
    before = len(pool)
    pool.expire(update=6)
    assert pool.entries() == fresh
    assert pool.expired == before - len(fresh)


def test_a_large_pool_is_as_fast_as_a_small_one():
    """Evicting, popping and dropping repeated mistakes: what is counted is time, so the bound is wide."""

    def seconds(size: int) -> float:
        pool = CorrectivePool(capacity=size, max_age=8)
        pool.restore([failure(str(index)) for index in range(size)])
        more = [failure(f"new {index}") for index in range(500)]
        started = time.process_time()
        for each in more:
            pool.add(each)
            pool.add(each)
            pool.remove(pool.candidates(1))
            pool.expire(update=1)
            pool.mean_age()
            pool.add(each)
        return time.process_time() - started

    assert seconds(20_000) < 5 * seconds(200)
