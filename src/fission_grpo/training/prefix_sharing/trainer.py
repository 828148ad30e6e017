# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# TRL ships no complete types.
"""TRL's GRPOTrainer with an update that computes nothing twice and nothing in vain; its loss and its gradients are TRL's.

Private methods of TRL that are wrapped, held by contract tests: `_prepare_inputs` keeps rows of one group together,
`_compute_loss` leaves out rows that cannot matter, `_get_per_token_logps_and_entropies` scores rows packed.
"""

from typing import Any, cast

import torch
from torch import Tensor
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from fission_grpo.training.batches import regrouped, rows_with_advantage, with_advantage
from fission_grpo.training.prefix_sharing.model import PrefixSharing, Rows

WRAPPED = ("_prepare_inputs", "_compute_loss", "_get_per_token_logps_and_entropies")

_TOKEN_NORMALISED_LOSSES = frozenset({"dapo", "cispo"})
"""Losses that TRL divides by the tokens of the whole batch: a row of zero advantage adds nothing to them."""


class PrefixSharingGRPOTrainer(GRPOTrainer):
    """As `trl.GRPOTrainer`, faster. Logs `tokens/trained`, the tokens that an update computes."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._sharing = PrefixSharing(self.accelerator.unwrap_model, _ruled_out(cast(GRPOConfig, self.args)))
        self._scored: Tensor | None = None  # of the rows whose loss is being computed, the tokens that it needs

    @property
    def in_training(self) -> bool:
        """Whether TRL asks for a training batch; it uses the same methods in evaluation."""
        return bool(cast(Any, self.model).training)

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if not self.in_training or self._buffered_inputs is before:
            return inputs
        slices = regrouped(cast(list[dict[str, Any]], self._buffered_inputs))
        rows = [Rows.of_batch(self._rows_that_matter(each)) for each in slices]
        computed = sum(self._sharing.computed_tokens(cast(Any, self.model), each) for each in rows)
        everywhere = cast(Tensor, self.accelerator.gather(torch.tensor([computed], device=self.accelerator.device)))
        self._metrics["train"]["tokens/trained"].append(int(everywhere.sum()))
        self._buffered_inputs = slices
        return slices[self._step % len(slices)]

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        inputs = self._rows_that_matter(inputs) if self.in_training else inputs
        self._scored = Rows.of_batch(inputs).scored
        try:
            return super()._compute_loss(model, inputs)
        finally:
            self._scored = None

    def _rows_that_matter(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Leaves out rows of zero advantage where the loss cannot notice; its denominator stays that of the full batch."""
        exact = (
            self.loss_type in _TOKEN_NORMALISED_LOSSES
            and self.beta == 0.0
            and not self._entropy_bonus_enabled
            and not self.aux_loss_enabled
            and self.top_entropy_quantile == 1.0
        )
        return rows_with_advantage(inputs, self._most_rows(inputs)) if exact else inputs

    def _most_rows(self, inputs: dict[str, Any]) -> int:
        """Rows with an advantage on the process that has most: TRL gathers metrics by row, in equal numbers, and a backward
        pass must happen everywhere."""
        count = with_advantage(inputs).sum().reshape(1)
        return max(1, int(cast(Tensor, self.accelerator.gather(count)).max()))

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **images: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        if not compute_aux_loss and all(value is None for value in images.values()):
            scored = attention_mask[:, -logits_to_keep:] if self._scored is None else self._scored
            with self.accelerator.autocast():
                scores = self._sharing.score(model, Rows(input_ids, attention_mask, scored), batch_size)
            if scores is not None:
                log_probs, entropies = scores
                return log_probs, entropies if compute_entropy else None, None
        return super()._get_per_token_logps_and_entropies(
            model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, compute_aux_loss, **images
        )


def _ruled_out(args: GRPOConfig) -> str | None:
    """Settings under which no model's rows are packed."""
    if args.use_transformers_continuous_batching:
        return "use_transformers_continuous_batching knows only transformers' own attention functions"
    if args.torch_compile:
        return "torch_compile would compile anew for every packed batch"
    return None
