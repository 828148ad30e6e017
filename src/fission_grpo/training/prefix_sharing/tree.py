"""Rows of tokens as a tree: what several rows begin with is held once.

The rows of a group share their prompt, recoveries also the failed attempt and its feedback, episodes that fork share all
before the fork. Nobody has to say so: rows are compared token by token, so whatever a batch holds is shared at its true
depth. The nodes of the tree lie one after the other in depth-first order ("packed"), therefore

    token k is seen by token q   exactly when   k <= q < end of the subtree that k's node heads

which is all that attention needs to know (Tree Training, arXiv 2511.00413; the two-level case is Prefix Grouper, arXiv
2506.05433).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

MIN_SAVED = 16
"""A node is worth its own attention calls where it saves at least so many tokens; below, its rows repeat them
(`benchmarks/results/speed_bundled.md`, `short`)."""


@dataclass(frozen=True)
class Node:
    """Tokens [start, stop) of the packed sequence; all that continue it lie in [stop, subtree_stop)."""

    start: int
    stop: int
    subtree_stop: int

    @property
    def is_leaf(self) -> bool:
        return self.stop == self.subtree_stop


@dataclass(frozen=True)
class PrefixTree:
    """Packed rows.

    Attributes:
        tokens: the packed sequence (T,).
        positions: of every packed token in its row (T,).
        nodes: in packed order.
        paths: of every row (B), where its tokens lie in the packed sequence, in order.
    """

    tokens: Indices
    positions: Indices
    nodes: tuple[Node, ...]
    paths: tuple[Indices, ...]

    @property
    def size(self) -> int:
        """Tokens that are computed."""
        return len(self.tokens)

    def visible_until(self) -> Indices:
        """Of every packed token, up to where tokens see it (T,)."""
        until = np.empty(self.size, dtype=np.int64)
        for node in self.nodes:
            until[node.start : node.stop] = node.subtree_stop
        return until


def build_tree(rows: Sequence[Sequence[int]], min_saved: int = MIN_SAVED) -> PrefixTree:
    """The tree of some rows, none of them empty.

    >>> tree = build_tree([[1, 2, 3], [1, 2, 4], [1, 2, 3]], min_saved=1)
    >>> tree.tokens.tolist(), tree.positions.tolist(), [path.tolist() for path in tree.paths]
    ([1, 2, 3, 4], [0, 1, 2, 2], [[0, 1, 2], [0, 1, 3], [0, 1, 2]])
    """
    distinct = sorted({tuple(row) for row in rows})
    packing = _Packing()
    paths = _place([np.array(row, dtype=np.int64) for row in distinct], min_saved, packing)
    of_row = dict(zip(distinct, paths, strict=True))
    return PrefixTree(
        tokens=np.concatenate(packing.tokens),
        positions=np.concatenate(packing.positions),
        nodes=_nodes(packing.starts, packing.depths, packing.size),
        paths=tuple(of_row[tuple(row)] for row in rows),
    )


@dataclass
class _Packing:
    """The packed sequence while it grows, node by node; a node's depth is the position of its first token."""

    size: int = 0
    tokens: list[Indices] = field(default_factory=list[Indices])
    positions: list[Indices] = field(default_factory=list[Indices])
    starts: list[int] = field(default_factory=list[int])
    depths: list[int] = field(default_factory=list[int])

    def add(self, tokens: Indices, path: Indices) -> Indices:
        """Puts `tokens` behind `path`; a row that ends where its parent does has none of its own."""
        if not len(tokens):
            return path
        start, self.size = self.size, self.size + len(tokens)
        self.starts.append(start)
        self.depths.append(len(path))
        self.tokens.append(tokens)
        self.positions.append(np.arange(len(path), len(path) + len(tokens)))
        return np.concatenate([path, np.arange(start, self.size)])


def _place(rows: Sequence[Indices], min_saved: int, packing: _Packing) -> list[Indices]:
    """Packs rows that are sorted and differ, so that those which share most stand side by side; returns their paths."""
    shared = np.array([0, *map(_common, rows[:-1], rows[1:])], dtype=np.int64)  # by each row and the one before it
    paths: list[Indices] = []
    waiting = [(0, len(rows), np.empty(0, dtype=np.int64))]  # [first, last) of rows, and the path that is placed
    while waiting:
        first, last, path = waiting.pop()
        if last - first == 1:
            paths.append(packing.add(rows[first][len(path) :], path))
            continue
        inner = shared[first + 1 : last]
        common = int(inner.min())
        if (common - len(path)) * (last - first - 1) >= min_saved:
            path = packing.add(rows[first][len(path) : common], path)
        edges = [first, *(first + 1 + np.flatnonzero(inner == common)).tolist(), last]
        waiting += [(start, stop, path) for start, stop in reversed(list(pairwise(edges)))]
    return paths


def _nodes(starts: Sequence[int], depths: Sequence[int], size: int) -> tuple[Node, ...]:
    """A subtree ends where the next node begins that is not deeper than its head."""
    nodes: list[Node] = []
    ends = [*starts[1:], size]
    for index, (start, stop, depth) in enumerate(zip(starts, ends, depths, strict=True)):
        later = range(index + 1, len(starts))
        subtree_stop = next((starts[other] for other in later if depths[other] <= depth), size)
        nodes.append(Node(start, stop, subtree_stop))
    return tuple(nodes)


def _common(left: Indices, right: Indices) -> int:
    """How many tokens two rows begin with in common."""
    length = min(len(left), len(right))
    differs = left[:length] != right[:length]
    return int(differs.argmax()) if differs.any() else length
