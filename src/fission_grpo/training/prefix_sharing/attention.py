# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch ships no complete types.
"""Attention over packed rows: every token attends to its own row alone, and nothing else is computed.

- CPU: torch's flash kernel, called for every node on itself (causal) and once for all that continues a node on that node
  (no mask). The parts are merged by their log-sum-exp; each part's backward is the kernel's own, given the merged output,
  as in Ring Attention (arXiv 2310.01889). A dense mask would skip no work.
- CUDA: FlexAttention, whose block mask skips what no row sees.
- elsewhere: a dense mask.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention

from fission_grpo.training.prefix_sharing.tree import Node, PrefixTree

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward

_BUCKET_GROWTH = 1.25
"""Nodes whose lengths differ by no more than this factor attend to themselves in one padded call."""


class TreeAttention:
    """What one packed sequence needs at every layer, made once.

    Attributes:
        layers: queries and keys of every layer that has attended through it, as meta tensors; all layers of a model must.
    """

    def __init__(self, tree: PrefixTree, device: torch.device) -> None:
        self.layers: list[tuple[Tensor, Tensor]] = []
        self.device = device
        self._nodes = tree.nodes
        self._until_T = torch.from_numpy(tree.visible_until()).to(device)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """Attention of (1, Hq, T, D) queries to (1, Hkv, T, D) keys and values; (1, Hq, T, D)."""
        # Detached: the graph holds this object for its backward pass, so one that held the graph would never be freed.
        self.layers.append((query.detach().to("meta"), key.detach().to("meta")))
        scale = scale if scale is not None else 1 / math.sqrt(query.shape[-1])
        if self.device.type == "cpu":
            return _FlashByNode.apply(query, key, value, self, scale)
        if self.device.type == "cuda":
            options: dict[str, Any] = {"block_mask": self.block_mask, "scale": scale, "enable_gqa": True}
            return _compiled_flex_attention()(query, key, value, **options)
        return scaled_dot_product_attention(query, key, value, attn_mask=self.dense_mask, scale=scale, enable_gqa=True)

    def try_backward(self) -> None:
        """Computes the gradients of a layer like the last one: a kernel may compile forwards, and fail backwards."""
        query, key = (torch.zeros_like(tensor, device=self.device, requires_grad=True) for tensor in self.layers[-1])
        self(query, key, key, None).sum().backward()

    @cached_property
    def dense_mask(self) -> Tensor:
        """(T, T), true where a query (row) sees a key (column)."""
        index_T = torch.arange(len(self._until_T), device=self.device)
        return (index_T[None, :] <= index_T[:, None]) & (index_T[:, None] < self._until_T[None, :])

    @cached_property
    def block_mask(self) -> BlockMask:
        """The same in blocks, for FlexAttention."""
        until_T, size = self._until_T, len(self._until_T)

        def visible(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return (key <= query) & (query < until_T[key])

        return create_block_mask(visible, None, None, size, size, device=self.device)

    @property
    def parents(self) -> list[Node]:
        """Nodes that others continue."""
        return [node for node in self._nodes if not node.is_leaf]

    @cached_property
    def buckets(self) -> list["Bucket"]:
        """All nodes, those of like length together."""
        nodes: defaultdict[int, list[Node]] = defaultdict(list)
        for node in self._nodes:
            nodes[math.ceil(math.log(node.stop - node.start, _BUCKET_GROWTH))].append(node)
        return [Bucket(like) for like in nodes.values()]


class Bucket:
    """Nodes that attend to themselves in one call, padded to the longest.

    A node is padded with copies of its last token: causal attention hides them from the others, and unlike some arbitrary
    token they have a log-sum-exp that fits, so that their backward stays finite.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        longest = max(node.stop - node.start for node in nodes)
        starts_N1 = torch.tensor([node.start for node in nodes]).unsqueeze(1)
        lasts_N1 = torch.tensor([node.stop - 1 for node in nodes]).unsqueeze(1)
        unbounded_NC = starts_N1 + torch.arange(longest)
        self.real_NC = unbounded_NC <= lasts_N1
        self.indices_NC = unbounded_NC.minimum(lasts_N1)
        self._whole = slice(nodes[0].start, nodes[0].stop) if len(nodes) == 1 else None

    def take(self, tensor: Tensor) -> Tensor:
        """(1, H, T, D) -> (N, H, C, D)."""
        if self._whole is not None:
            return tensor[:, :, self._whole]
        taken = tensor[0].transpose(0, 1).index_select(0, self.indices_NC.flatten())
        return taken.unflatten(0, self.indices_NC.shape).transpose(1, 2)

    def put(self, tensor: Tensor, parts: Tensor) -> None:
        """The way back: writes (N, H, C, D) to its places in (1, H, T, D), padding left out."""
        if self._whole is not None:
            tensor[:, :, self._whole] = parts
            return
        indices = self.indices_NC[self.real_NC]
        tensor[0].transpose(0, 1).index_copy_(0, indices, parts.transpose(1, 2)[self.real_NC].to(tensor.dtype))


@cache
def _compiled_flex_attention() -> Any:
    return torch.compile(flex_attention)


class _FlashByNode(torch.autograd.Function):
    """Self-attention of every node, then attention of all that continues a node to that node, merged as they come."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, tree: TreeAttention, scale: float) -> Tensor:
        output = torch.empty(query.shape, dtype=torch.float32)
        logsumexp = torch.empty(query.shape[:-1], dtype=torch.float32)
        for bucket in tree.buckets:
            part, part_logsumexp = _flash(bucket.take(query), bucket.take(key), bucket.take(value), 0.0, True, scale=scale)
            bucket.put(output, part)
            bucket.put(logsumexp.unsqueeze(-1), part_logsumexp.unsqueeze(-1))
        for node in tree.parents:
            of_node, after = slice(node.start, node.stop), slice(node.stop, node.subtree_stop)
            part, part_logsumexp = _flash(
                query[:, :, after], key[:, :, of_node], value[:, :, of_node], 0.0, False, scale=scale
            )
            merged = torch.logaddexp(logsumexp[:, :, after], part_logsumexp)
            output[:, :, after] *= (logsumexp[:, :, after] - merged).exp().unsqueeze(-1)
            output[:, :, after] += part * (part_logsumexp - merged).exp().unsqueeze(-1)
            logsumexp[:, :, after] = merged
        result = output.to(query.dtype)
        ctx.save_for_backward(query, key, value, result, logsumexp)
        ctx.tree, ctx.scale = tree, scale
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        query, key, value, output, logsumexp = ctx.saved_tensors
        gradient = gradients[0]
        d_query, d_key, d_value = (torch.zeros(tensor.shape, dtype=torch.float32) for tensor in (query, key, value))
        for bucket in ctx.tree.buckets:
            grown = _flash_backward(
                bucket.take(gradient) * bucket.real_NC[:, None, :, None],
                bucket.take(query),
                bucket.take(key),
                bucket.take(value),
                bucket.take(output),
                bucket.take(logsumexp.unsqueeze(-1)).squeeze(-1),
                0.0,
                True,
                scale=ctx.scale,
            )
            for total, part in zip((d_query, d_key, d_value), grown, strict=True):
                bucket.put(total, part)
        for node in ctx.tree.parents:
            of_node, after = slice(node.start, node.stop), slice(node.stop, node.subtree_stop)
            grown = _flash_backward(
                gradient[:, :, after],
                query[:, :, after],
                key[:, :, of_node],
                value[:, :, of_node],
                output[:, :, after],
                logsumexp[:, :, after],
                0.0,
                False,
                scale=ctx.scale,
            )
            d_query[:, :, after] += grown[0]
            d_key[:, :, of_node] += grown[1]
            d_value[:, :, of_node] += grown[2]
        return d_query.to(query.dtype), d_key.to(key.dtype), d_value.to(value.dtype), None, None
