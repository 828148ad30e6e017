"""Attention over packed rows against torch's own with a dense mask, forward and backward."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_prefix_tree import forked_rows
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention
from torch.nn.functional import scaled_dot_product_attention

from fission_grpo.training.prefix_sharing.attention import TreeAttention
from fission_grpo.training.prefix_sharing.tree import PrefixTree, build_tree

CPU = torch.device("cpu")


def states(tree: PrefixTree, heads: tuple[int, int], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Random queries, keys, values of (1, H, T, D), and the gradient of the output."""
    generator = torch.Generator().manual_seed(tree.size)
    shapes = [(1, count, tree.size, 16) for count in (heads[0], heads[1], heads[1], heads[0])]
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def by_nodes(attention: TreeAttention) -> Attend:
    return lambda query, key, value: attention(query, key, value, None)


def by_dense_mask(attention: TreeAttention) -> Attend:
    mask = attention.dense_mask
    return lambda query, key, value: scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)


def output_and_gradients(attend: Attend, given_states: list[Tensor]) -> list[Tensor]:
    query, key, value = (tensor.clone().requires_grad_() for tensor in given_states[:3])
    output = attend(query, key, value)
    output.backward(given_states[3])
    return [output.detach(), *[tensor.grad for tensor in (query, key, value) if tensor.grad is not None]]


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found.float() - wanted.float()).norm() / (wanted.float().norm() + 1e-6))


@settings(deadline=None)
@given(forked_rows(), st.integers(1, 12), st.sampled_from([(2, 2), (4, 2), (3, 1)]))
def test_the_cpu_kernel_by_nodes_equals_a_dense_mask(rows: list[list[int]], min_saved: int, heads: tuple[int, int]):
    tree = build_tree(rows, min_saved)
    attention = TreeAttention(tree, CPU)
    given_states = states(tree, heads)
    ours = output_and_gradients(by_nodes(attention), given_states)
    dense = output_and_gradients(
        by_dense_mask(attention),
        given_states,
    )
    assert max(map(relative, ours, dense)) < 1e-5


@settings(deadline=None, max_examples=10)
@given(forked_rows(), st.integers(1, 12))
def test_the_block_mask_of_flex_attention_is_the_same_mask(rows: list[list[int]], min_saved: int):
    tree = build_tree(rows, min_saved)
    attention = TreeAttention(tree, CPU)
    query, key, value, _ = states(tree, (4, 2))
    with torch.no_grad():
        flex = flex_attention(query, key, value, block_mask=attention.block_mask, enable_gqa=True)
        dense = scaled_dot_product_attention(query, key, value, attn_mask=attention.dense_mask, enable_gqa=True)
    torch.testing.assert_close(flex, dense, rtol=1e-4, atol=1e-5)


def test_half_precision_stays_close():
    stem = list(range(40))
    tree = build_tree([[*stem, *range(100 * row, 100 * row + 20)] for row in range(8)])
    attention = TreeAttention(tree, CPU)
    given_states = states(tree, (4, 2), torch.bfloat16)
    ours = output_and_gradients(by_nodes(attention), given_states)
    exact = output_and_gradients(
        by_dense_mask(attention),
        [tensor.float() for tensor in given_states],
    )
    assert max(map(relative, ours, exact)) < 2e-2


@pytest.mark.parametrize("size", [30.0, 1000.0])
def test_large_scores_of_uneven_nodes_give_finite_gradients(size: float):
    """Nodes of one call are padded; what pads them must not overflow."""
    stem = list(range(40))
    tree = build_tree([[*stem, *range(100 * row, 100 * row + 10 + row)] for row in range(8)])
    attention = TreeAttention(tree, CPU)
    query, key, value, gradient = states(tree, (2, 2))
    found = output_and_gradients(by_nodes(attention), [query * size, key, value, gradient])
    assert all(bool(tensor.isfinite().all()) for tensor in found)
