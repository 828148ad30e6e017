"""Multiply-adds of an update: linear layers, attention and the LM head, padded and shared.

A causal row of L tokens needs L(L+1)/2 query-key pairs, each twice the width of all heads (scores and values). A backward
pass counts as two forward passes. Padded rows are counted as if a kernel skipped what is masked, which is kind to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fission_grpo.training.memory import ModelSize
from fission_grpo.training.prefix_sharing.tree import PrefixTree

OPERATIONS_OF_A_MULTIPLY_ADD = 2
PASSES = 3
"""Forward, and backward by inputs and by weights."""


@dataclass(frozen=True)
class Work:
    """What a forward pass goes through.

    Attributes:
        tokens: positions in the layers.
        pairs: of a query and a key that it sees.
        scored: positions in the LM head.
    """

    tokens: int
    pairs: int
    scored: int

    def __add__(self, other: "Work") -> "Work":
        return Work(self.tokens + other.tokens, self.pairs + other.pairs, self.scored + other.scored)

    def operations(self, model: ModelSize) -> float:
        """Floating-point operations, forward and backward."""
        projections = model.hidden * (2 * model.query + 2 * model.key_value)
        layer = self.tokens * (projections + 3 * model.hidden * model.intermediate) + self.pairs * 2 * model.query
        multiply_adds = model.layers * layer + self.scored * model.hidden * model.vocabulary
        return OPERATIONS_OF_A_MULTIPLY_ADD * PASSES * multiply_adds


def padded(rows: int, length: int, scored: int) -> Work:
    """Rows of `length` positions, `scored` of each in the head."""
    return Work(rows * length, rows * length * (length + 1) // 2, rows * scored)


def shared(trees: Sequence[PrefixTree], scored: int) -> Work:
    """Packed rows; a token sees what is before it in its row."""
    return Work(sum(tree.size for tree in trees), sum(int((tree.positions + 1).sum()) for tree in trees), scored)
