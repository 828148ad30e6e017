# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch and transformers ship no complete types.
"""Log-probabilities of rows in one packed forward pass, for every transformers model that attends to everything.

The model's own code runs on the packed sequence as it is: linear layers, norms and rotary positions work token by token.
Only attention knows of rows, so an attention function is registered with transformers that is `sdpa` but for packed rows.
Of the last hidden states only those that predict a scored token reach TRL's LM head.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from fission_grpo.training.prefix_sharing.attention import TreeAttention
from fission_grpo.training.prefix_sharing.tree import PrefixTree, build_tree

_LOGGER = logging.getLogger(__name__)

IMPLEMENTATION = "prefix_shared"
"""Name of the attention function."""
_BEYOND = ("sliding_window", "softcap", "s_aux", "position_bias")
"""What a model may ask of attention that packed rows are not given."""
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_TOLERANCE_OF_HALF = 0.1
"""Mean difference of log-probabilities between the packed and the padded pass that the trial allows for rounding."""


class _CannotShareError(Exception):
    """A layer asks for attention that packed rows are not given."""


@dataclass(frozen=True)
class Rows:
    """Padded rows as TRL hands them over.

    Attributes:
        input_ids, attention_mask: prompts, padded on the left, and completions, padded on the right (B, L).
        scored: completion tokens whose log-probability is wanted (B, K).
    """

    input_ids: Tensor
    attention_mask: Tensor
    scored: Tensor

    @classmethod
    def of_batch(cls, inputs: dict[str, Any]) -> "Rows":
        """The rows of a batch for TRL's loss, which needs the policy's own tokens."""
        mask = inputs["completion_mask"]
        return cls(
            input_ids=torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1),
            attention_mask=torch.cat([inputs["prompt_mask"], mask], dim=1),
            scored=mask * inputs["tool_mask"] if "tool_mask" in inputs else mask,
        )

    def chunks(self, size: int) -> list["Rows"]:
        """At most `size` rows each."""
        parts = zip(*(tensor.split(size) for tensor in (self.input_ids, self.attention_mask, self.scored)), strict=True)
        return [Rows(*part) for part in parts]

    @cached_property
    def tree(self) -> PrefixTree:
        ids, real = self.input_ids.cpu(), self.attention_mask.cpu().bool()
        return build_tree([row[mask].tolist() for row, mask in zip(ids, real, strict=True)])


class PackedRows:
    """A packed sequence on its way through the model.

    Attributes:
        attention: what takes the place of attention.
        predictors: packed places whose hidden state is scored (U,); one that several tokens follow stands there for each.
        targets: the token that each of them predicts (U,).
        rows, columns, sources: for every scored token, where it lies in the (B, K) result and among the (U,) values.
    """

    def __init__(self, rows: Rows) -> None:
        device, tree = rows.input_ids.device, rows.tree
        scored = rows.scored.cpu().numpy().astype(bool)
        if not scored.any():  # a part of a batch: every process has to compute something
            scored[0, 0] = True
        self.shape = scored.shape
        prompts = rows.attention_mask[:, : -scored.shape[1]].sum(1).tolist()
        at_row, at_column = scored.nonzero()
        before = [tree.paths[row][prompts[row] + column - 1] for row, column in zip(at_row, at_column, strict=True)]
        after = rows.input_ids[:, -scored.shape[1] :].cpu().numpy()[at_row, at_column]
        pairs, sources = np.unique(np.stack([np.array(before), after]), axis=1, return_inverse=True)
        self.attention = TreeAttention(tree, device)
        self.tokens, self.positions, self.predictors, self.targets, self.rows, self.columns, self.sources = (
            torch.from_numpy(array).to(device)
            for array in (tree.tokens, tree.positions, *pairs, at_row, at_column, sources.reshape(-1))
        )

    def spread(self, values_U: Tensor) -> Tensor:
        """(U,) -> (B, K), zero where nothing is scored."""
        result = torch.zeros(self.shape, dtype=values_U.dtype, device=values_U.device)
        return result.index_put((self.rows, self.columns), values_U[self.sources])


class PrefixSharing:
    """Scores rows packed where the model can, and says once why where it cannot.

    Args:
        unwrap: of a model as it is trained (wrapped for several processes or not), the model inside.
        ruled_out: why no model of this run can, if so.
    """

    def __init__(self, unwrap: Callable[[nn.Module], nn.Module], ruled_out: str | None = None) -> None:
        self._unwrap = unwrap
        self._ruled_out = ruled_out
        self._able: dict[int, bool] = {}

    def able(self, model: nn.Module) -> bool:
        """Whether the model can; found out by trying, once."""
        inner = _transformers_model(self._unwrap(model))
        if id(inner) not in self._able:
            obstacle = self._ruled_out or _obstacle(model, inner)
            self._able[id(inner)] = obstacle is None
            if obstacle is not None:
                _LOGGER.warning("The update computes shared prefixes for every row: %s", obstacle)
        return self._able[id(inner)]

    def computed_tokens(self, model: nn.Module, rows: Rows) -> int:
        """Tokens that scoring some rows computes; padding is none."""
        return rows.tree.size if self.able(model) else int(rows.attention_mask.sum())

    def score(self, model: nn.Module, rows: Rows, batch_size: int | None = None) -> tuple[Tensor, Tensor | None] | None:
        """Log-probabilities and, where the model's head gives them, entropies of the scored tokens, (B, K) each.

        Args:
            batch_size: rows packed together; all by default.

        Returns:
            None where the model's rows must be scored padded.
        """
        if not self.able(model):
            return None
        scores = [_score(model, PackedRows(chunk)) for chunk in rows.chunks(batch_size or len(rows.input_ids))]
        log_probs, entropies = zip(*scores, strict=True)
        return torch.cat(log_probs), None if entropies[0] is None else torch.cat(entropies)


def _transformers_model(model: nn.Module) -> PreTrainedModel:
    """The model inside its low-rank adapters, if it has any."""
    return cast(PreTrainedModel, model.get_base_model() if isinstance(model, PeftModel) else model)


def _score(model: nn.Module, packed: PackedRows) -> tuple[Tensor, Tensor | None]:
    outputs = _forward(model, packed)
    return packed.spread(outputs.log_probs[0]), None if outputs.entropy is None else packed.spread(outputs.entropy[0])


def _forward(model: nn.Module, packed: PackedRows) -> Any:
    """TRL's fused head, given the backbone's packed states."""
    return model(
        input_ids=packed.tokens.unsqueeze(0),
        # A mask of four dimensions is taken as it is: transformers makes none, and the attention function needs none.
        attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=packed.tokens.device),
        position_ids=packed.positions.unsqueeze(0),
        shift_labels=packed.targets.unsqueeze(0),
        fused_lm_head=True,
        packed_rows=packed,
    )


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    packed_rows: PackedRows | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """`sdpa` as transformers calls it, (1, T, H, D) of packed rows."""
    if packed_rows is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options)
    beyond = [name for name in _BEYOND if options.get(name) is not None] + ["dropout"] * (dropout > 0)
    if beyond:
        raise _CannotShareError(f"attention with {' and '.join(beyond)} is computed by rows")
    if torch.is_autocast_enabled(query.device.type):  # casts the inputs of `sdpa`, which may differ (norms give float32)
        dtype = torch.get_autocast_dtype(query.device.type)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    return packed_rows.attention(query, key, value, scaling).transpose(1, 2).contiguous(), None


def _keep_predictors(_module: nn.Module, _arguments: Any, options: dict[str, Any], output: Any) -> Any:
    """Hook of the backbone: only states that predict a scored token go on to the head, which is all the vocabulary wide."""
    packed = options.get("packed_rows")
    if packed is not None:
        output.last_hidden_state = output.last_hidden_state[:, packed.predictors]
    return output


def _obstacle(model: nn.Module, inner: PreTrainedModel) -> str | None:
    """Why a model's rows cannot be packed, found by packing some; the model is prepared for it where they can."""
    found = str(inner.config._attn_implementation)  # pyright: ignore[reportPrivateUsage]  # it has no public name
    if found not in ("sdpa", IMPLEMENTATION):
        return f"its attention is {found!r}, and 'sdpa' can share (attn_implementation=\"sdpa\")"
    if any(isinstance(module, nn.Dropout) and module.p > 0 for module in inner.modules()):
        return "dropout draws anew for every row (set lora_dropout and the like to 0)"
    AttentionInterface.register(IMPLEMENTATION, _attention)
    AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
    inner.set_attn_implementation(IMPLEMENTATION)
    was_training = model.training
    hook = inner.base_model.register_forward_hook(_keep_predictors, with_kwargs=True)
    try:
        # In training: dropout of attention shows only there.
        obstacle = _trial(model.train(), inner)
    except Exception as error:  # whatever a model's code makes of packed rows: padded rows are what it was written for
        obstacle = str(error)
    finally:
        model.train(was_training)
    if obstacle is not None:
        inner.set_attn_implementation(found)
        hook.remove()
    return obstacle


def _trial(model: nn.Module, inner: PreTrainedModel) -> str | None:
    """Compares the packed pass with the padded one on three short rows that fork twice."""
    config = inner.config.get_text_config()
    stem = [(7 * index + 3) % config.vocab_size for index in range(96)]
    rows = [stem, [*stem[:80], *reversed(stem[80:])], [*stem[:40], *reversed(stem[40:])]]
    ids = torch.tensor(rows, device=inner.device)
    scored = torch.ones(len(rows), 60, dtype=torch.bool)
    packed = PackedRows(Rows(ids, torch.ones_like(ids), scored))
    with torch.no_grad():
        log_probs, _ = _score(model, packed)
        padded = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids, fused_lm_head=True).log_probs
    layers = packed.attention.layers
    if len(layers) != config.num_hidden_layers:
        return f"{len(layers)} of its {config.num_hidden_layers} layers attend to all tokens before"
    difference = float((log_probs - padded[:, -scored.shape[1] :]).abs().mean())
    if not difference <= _TOLERANCE.get(layers[-1][0].dtype, _TOLERANCE_OF_HALF):
        return f"packed rows change log-probabilities by {difference:.3g}"
    with torch.enable_grad():  # the first to ask may score without gradients, as old log-probabilities are
        packed.attention.try_backward()
    return None
