"""Rows packed as a tree: nothing is lost, nothing is held twice that is worth sharing, and each token sees its own row."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.training.prefix_sharing.tree import PrefixTree, build_tree

TOKENS = st.lists(st.integers(0, 3), max_size=6)


@st.composite
def forked_rows(draw: st.DrawFn) -> list[list[int]]:
    """Rows that continue one another at random places: groups, forks, repeated rows, rows that end where others go on."""
    rows = [draw(st.lists(st.integers(0, 3), min_size=1, max_size=12))]
    for _ in range(draw(st.integers(0, 8))):
        stem = draw(st.sampled_from(rows))
        kept = draw(st.integers(1, len(stem)))
        rows.append([*stem[:kept], *draw(TOKENS)])
    return rows


def seen_by(tree: PrefixTree, place: int) -> list[int]:
    until = tree.visible_until()
    return [other for other in range(place + 1) if place < until[other]]


@given(forked_rows(), st.integers(1, 12))
def test_every_row_can_be_read_back(rows: list[list[int]], min_saved: int):
    tree = build_tree(rows, min_saved)
    for row, path in zip(rows, tree.paths, strict=True):
        assert tree.tokens[path].tolist() == row
        assert tree.positions[path].tolist() == list(range(len(row)))


@given(forked_rows(), st.integers(1, 12))
def test_a_token_sees_what_lies_before_it_in_its_row_and_nothing_else(rows: list[list[int]], min_saved: int):
    tree = build_tree(rows, min_saved)
    for path in tree.paths:
        for index, place in enumerate(path):
            assert seen_by(tree, int(place)) == path[: index + 1].tolist()


@given(forked_rows())
def test_at_the_lowest_threshold_no_token_of_a_common_prefix_is_held_twice(rows: list[list[int]]):
    tree = build_tree(rows, min_saved=1)
    prefixes = {tuple(row[: end + 1]) for row in rows for end in range(len(row))}
    assert tree.size == len(prefixes)


@given(forked_rows(), st.integers(1, 12))
def test_nodes_cover_the_packed_sequence_in_order(rows: list[list[int]], min_saved: int):
    nodes = build_tree(rows, min_saved).nodes
    edges = [0, *[node.stop for node in nodes]]
    assert [node.start for node in nodes] == edges[:-1]
    assert all(node.stop <= node.subtree_stop <= edges[-1] for node in nodes)


def test_short_common_beginnings_are_repeated_and_equal_rows_are_not():
    rows = [[1, 2, 3], [1, 2, 4], [1, 2, 3]]
    assert build_tree(rows, min_saved=3).size == 6
    assert build_tree(rows, min_saved=2).size == 4


def test_a_deep_staircase_of_rows_is_no_problem():
    rows = [[7] * length for length in range(1, 3000, 2)]
    tree = build_tree(rows, min_saved=1)
    assert tree.size == len(rows[-1])
    assert np.array_equal(tree.paths[-1], np.arange(tree.size))
