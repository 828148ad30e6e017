from random import Random
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.tasks.names import Names, split_of
from fission_grpo.tasks.task import Split

SPLITS: st.SearchStrategy[Split] = st.sampled_from(get_args(Split))


@given(st.integers(), SPLITS)
def test_names_are_unique_and_belong_to_their_split_only(seed: int, split: Split):
    names = Names(Random(seed), split)
    drawn = [names.name() for _ in range(20)]
    assert len(set(drawn)) == 20
    assert {split_of(name) for name in drawn} == {split}


@given(st.integers())
def test_numbers_are_unique_and_in_range(seed: int):
    names = Names(Random(seed), "train")
    numbers = [names.number(10, 29) for _ in range(20)]
    assert sorted(numbers) == list(range(10, 30))
