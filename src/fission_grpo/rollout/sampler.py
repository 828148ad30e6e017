"""One token for every row from its logits, in a way that does not depend on which rows share a batch."""

import torch
from torch import Tensor

from fission_grpo.rollout.policy import Sampling


def sample_tokens(logits_BV: Tensor, uniforms_B: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Samples by inverting the cumulative distribution at `uniforms_B`; temperature 0 takes the likeliest token.

    The log-probabilities are those of `log_softmax(logits / temperature)` over the *whole* vocabulary, as TRL computes
    them for its loss: top-k and top-p cut what is sampled, not what is reported. At temperature 0 they are those of
    temperature 1.

    Args:
        logits_BV: (B, V), any floating type.
        uniforms_B: (B,) float64 in [0, 1).

    Returns:
        token ids (B,) int64 and their log-probabilities (B,) float32.
    """
    logprobs_BV = torch.log_softmax(logits_BV.float() / (sampling.temperature or 1.0), dim=-1)
    if sampling.temperature == 0:
        ids_B = logprobs_BV.argmax(dim=-1)
    else:
        # In float64, so that the sum over a large vocabulary does not swallow its rare tokens.
        cdf_BV = _truncated(logprobs_BV.exp(), sampling).cumsum(dim=-1, dtype=torch.float64)
        points_B1 = uniforms_B[:, None] * cdf_BV[:, -1:]
        ids_B = torch.searchsorted(cdf_BV, points_B1, right=True)[:, 0].clamp_(max=logits_BV.shape[1] - 1)
    return ids_B, logprobs_BV.gather(1, ids_B[:, None])[:, 0]


def _truncated(probs_BV: Tensor, sampling: Sampling) -> Tensor:
    """Probabilities with those outside the k likeliest tokens and outside the nucleus of mass `top_p` set to 0."""
    if 0 < sampling.top_k < probs_BV.shape[1]:
        kth_B1 = probs_BV.topk(sampling.top_k, dim=-1).values[:, -1:]
        probs_BV = probs_BV.masked_fill(probs_BV < kth_B1, 0.0)
    if sampling.top_p < 1.0:
        sorted_BV, order_BV = probs_BV.sort(dim=-1, descending=True)
        mass_before_BV = sorted_BV.cumsum(dim=-1) - sorted_BV
        outside_BV = mass_before_BV >= sampling.top_p * sorted_BV.sum(dim=-1, keepdim=True)
        outside_BV[:, 0] = False
        probs_BV = probs_BV.masked_fill(outside_BV.scatter(1, order_BV, outside_BV), 0.0)
    return probs_BV
