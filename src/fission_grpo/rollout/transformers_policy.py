# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch and transformers ship no complete types.
"""A policy on a transformers model, with a decoding loop of its own.

Equal prompts (siblings of a group) are prefilled once, finished rows leave the batch, and inside `reusing_prefixes` the
keys and values of a dialogue are kept from one assistant message to the next, so that an episode is read once. Rows that
memory does not suffice for are decoded again in halves.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from fission_grpo.chat.template import ChatFormat
from fission_grpo.errors import UserError
from fission_grpo.rollout.cache import Prefix, PrefixStore, is_buffered, load_prefixes, new_cache, take_prefix
from fission_grpo.rollout.loading import load_policy_model
from fission_grpo.rollout.memory_errors import give_memory_back, is_out_of_memory
from fission_grpo.rollout.policy import Sampling
from fission_grpo.rollout.sampler import sample_tokens
from fission_grpo.types import Completion, StopReason

_LOGGER = logging.getLogger(__name__)
_SHRINK_AT = 0.75
"""Finished rows leave the batch once no more than this share of it is active: each time costs a copy of the cache."""


@dataclass
class _Row:
    """One completion in the making. `index` is its place among the prompts of the call, `limit` its most tokens."""

    index: int
    prompt: tuple[int, ...]
    limit: int
    ids: list[int]
    logprobs: list[float]
    stop_reason: StopReason | None = None


@dataclass
class _Batch:
    """Rows decoded together: B rows, of which the cache holds C columns so far.

    `mask_BC` is 1 where a column holds a token of the row; `logits_BV` predict the next one.
    """

    rows: list[_Row]
    cache: DynamicCache
    mask_BC: Tensor
    logits_BV: Tensor


class TransformersPolicy:
    """`Policy` on a causal language model of transformers (PEFT-wrapped ones too).

    Every row draws from random numbers of its own, so a completion depends on the seed and on the place of its prompt in
    the call, not on `batch_size` or on what it shares a batch with. Log-probabilities are those of
    `log_softmax(logits / temperature)`, as TRL computes them (`sampler.sample_tokens`).

    Args:
        model: any model whose `forward` takes `past_key_values` and `logits_to_keep`.
        pad_id: token that fills up shorter rows; it is masked.
        end_ids: tokens that end a message; the sampled one is part of the completion.
        batch_size: rows decoded together at most.
        seed: of the generator that calls with `Sampling.seed=None` draw from.
        prefix_bytes: most memory that `reusing_prefixes` may hold.
        context_tokens: prompt and completion together hold no more; a completion that meets it ends with `LENGTH`.

    Attributes:
        batch_size: as given, or what it was halved to, for good, where memory did not suffice.
        halvings: how often that happened.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        pad_id: int,
        end_ids: Collection[int],
        batch_size: int = 64,
        seed: int = 0,
        prefix_bytes: int = 1 << 30,
        context_tokens: int | None = None,
    ) -> None:
        self.model = model
        self.pad_id = pad_id
        self.end_ids = frozenset(end_ids)
        self.batch_size = batch_size
        self.halvings = 0
        self.generator = torch.Generator().manual_seed(seed)
        self._prefix_bytes = prefix_bytes
        self._context_tokens = context_tokens
        self._stored: PrefixStore | None = None

    @contextmanager
    def reusing_prefixes(self) -> Generator[None]:
        """Keeps keys and values between the calls made inside. The model's weights must not change meanwhile."""
        self._stored = PrefixStore(self._prefix_bytes)
        try:
            yield
        finally:
            self._stored = None

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Completion]:
        """One completion a prompt, in order; equal prompts are siblings.

        Raises:
            UserError: there is not even memory for one row.
        """
        rows = [_Row(index, tuple(prompt), self._limit(prompt, sampling), [], []) for index, prompt in enumerate(prompts)]
        uniforms_NT = self._draw(len(rows), sampling)
        siblings: dict[tuple[int, ...], list[_Row]] = defaultdict(list)
        for row in rows:
            siblings[row.prompt].append(row)
        prefixes = {prompt: self._stored.find(prompt) if self._stored else None for prompt in siblings}
        store = PrefixStore(self._prefix_bytes) if self._stored else None
        was_training = self.model.training
        self.model.eval()
        try:
            waiting = self._ordered(siblings, prefixes)
            while waiting:
                together = waiting[: self.batch_size]
                if self._fits(together, prefixes, uniforms_NT, sampling, store):
                    waiting = waiting[len(together) :]
                else:
                    self._halve(together, sampling)
        finally:
            self.model.train(was_training)
        if store is not None:
            store.seal()
            self._stored = store
        return [Completion(tuple(row.ids), tuple(row.logprobs), row.stop_reason or StopReason.LENGTH) for row in rows]

    def _limit(self, prompt: Sequence[int], sampling: Sampling) -> int:
        if self._context_tokens is None:
            return sampling.max_new_tokens
        return max(1, min(sampling.max_new_tokens, self._context_tokens - len(prompt)))

    def _draw(self, rows: int, sampling: Sampling) -> Tensor:
        """Uniform numbers (N, T), drawn on the CPU so that every device sees the same."""
        if sampling.temperature == 0:
            return torch.zeros(rows, 1, dtype=torch.float64, device=self.model.device).expand(-1, sampling.max_new_tokens)
        generator = self.generator if sampling.seed is None else torch.Generator().manual_seed(sampling.seed)
        uniforms_NT = torch.rand(rows, sampling.max_new_tokens, generator=generator, dtype=torch.float64)
        return uniforms_NT.to(self.model.device)

    def _ordered(
        self, siblings: dict[tuple[int, ...], list[_Row]], prefixes: dict[tuple[int, ...], Prefix | None]
    ) -> list[_Row]:
        """Rows of like length, siblings side by side."""

        def cost(prompt: tuple[int, ...]) -> tuple[int, int]:
            prefix = prefixes[prompt]
            return len(prompt) - (len(prefix.ids) if prefix else 0), len(prompt)

        return [row for prompt in sorted(siblings, key=cost) for row in siblings[prompt]]

    def _fits(
        self,
        rows: list[_Row],
        prefixes: dict[tuple[int, ...], Prefix | None],
        uniforms_NT: Tensor,
        sampling: Sampling,
        store: PrefixStore | None,
    ) -> bool:
        """Decodes rows together; False where memory did not suffice, which leaves them as they were."""
        try:
            self._decode(self._prefill(rows, prefixes), uniforms_NT, sampling, store)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            for row in rows:
                row.ids, row.logprobs, row.stop_reason = [], [], None
            return False
        return True

    def _halve(self, rows: list[_Row], sampling: Sampling) -> None:
        """Has fewer rows decoded together from now on."""
        if len(rows) == 1:
            raise UserError(
                f"out of memory while a single row was decoded, a prompt of {len(rows[0].prompt)} tokens with up to "
                f"{sampling.max_new_tokens} new ones: lower max_context_tokens or max_new_tokens, or take a smaller model"
            )
        give_memory_back()
        self.batch_size = len(rows) // 2
        self.halvings += 1
        _LOGGER.warning("Out of memory with %d rows decoded together: %d from here on", len(rows), self.batch_size)

    def _prefill(self, rows: list[_Row], prefixes: dict[tuple[int, ...], Prefix | None]) -> _Batch:
        """Reads every different prompt once, then gives each sibling its copy."""
        prompts = list(dict.fromkeys(row.prompt for row in rows))
        known = [prefixes[prompt] for prompt in prompts]
        cache = new_cache(self.model.config)
        if is_buffered(cache):
            load_prefixes(cache, known)
        starts = [len(prefix.ids) if prefix else 0 for prefix in known]
        width, new = max(starts), max(len(prompt) - start for prompt, start in zip(prompts, starts, strict=True))
        ids_UT = torch.full((len(prompts), new), self.pad_id)
        mask_UC = torch.zeros(len(prompts), width + new, dtype=torch.long)
        for u, (prompt, start) in enumerate(zip(prompts, starts, strict=True)):
            ids_UT[u, new - (len(prompt) - start) :] = torch.tensor(prompt[start:])
            mask_UC[u, width - start : width] = 1
            mask_UC[u, width + new - (len(prompt) - start) :] = 1
        mask_UC = mask_UC.to(self.model.device)
        logits_UV = self._forward(ids_UT.to(self.model.device), mask_UC, cache)
        place = {prompt: u for u, prompt in enumerate(prompts)}
        batch = _Batch(rows, cache, mask_UC, logits_UV)
        return batch if len(prompts) == len(rows) else self._select(batch, rows, [place[row.prompt] for row in rows])

    def _decode(self, batch: _Batch, uniforms_NT: Tensor, sampling: Sampling, store: PrefixStore | None) -> None:
        """Samples until every row has ended."""
        for t in range(sampling.max_new_tokens):
            uniforms_B = uniforms_NT[[row.index for row in batch.rows], t]
            ids_B, logprobs_B = sample_tokens(batch.logits_BV, uniforms_B, sampling)
            for place, (token, logprob) in enumerate(zip(ids_B.tolist(), logprobs_B.tolist(), strict=True)):
                row = batch.rows[place]
                if row.stop_reason is not None:
                    continue
                row.ids.append(token)
                row.logprobs.append(logprob)
                if token in self.end_ids or t + 1 == row.limit:
                    row.stop_reason = StopReason.END if token in self.end_ids else StopReason.LENGTH
                    self._keep(batch, place, store)
            active = [place for place, row in enumerate(batch.rows) if row.stop_reason is None]
            if not active:
                return
            if len(active) <= _SHRINK_AT * len(batch.rows):
                ids_B = ids_B[active]
                batch = self._select(batch, [batch.rows[place] for place in active], active)
            batch.mask_BC = torch.nn.functional.pad(batch.mask_BC, (0, 1), value=1)
            batch.logits_BV = self._forward(ids_B[:, None], batch.mask_BC, batch.cache)

    def _forward(self, ids_BT: Tensor, mask_BC: Tensor, cache: DynamicCache) -> Tensor:
        """Next-token logits (B, V) after T more tokens, which are the last T columns of the mask."""
        positions_BT = (mask_BC.cumsum(dim=1) - 1).clamp_(min=0)[:, -ids_BT.shape[1] :]
        output = self.model(
            input_ids=ids_BT,
            attention_mask=mask_BC,
            position_ids=positions_BT,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1]

    def _select(self, batch: _Batch, rows: list[_Row], places: list[int]) -> _Batch:
        """The batch with the rows at `places` only, which may repeat."""
        index = torch.tensor(places, device=self.model.device)
        batch.cache.reorder_cache(cast(torch.LongTensor, index))
        return _Batch(rows, batch.cache, batch.mask_BC[index], batch.logits_BV[index])

    def _keep(self, batch: _Batch, place: int, store: PrefixStore | None) -> None:
        """Stores what the cache holds of a row that has just ended: everything but its last token."""
        if store is not None and is_buffered(batch.cache):
            row = batch.rows[place]
            columns_T = batch.mask_BC[place].nonzero()[:, 0]
            store.add(take_prefix(batch.cache, place, (*row.prompt, *row.ids[:-1]), columns_T))


def load_policy(name: str) -> tuple[TransformersPolicy, ChatFormat]:
    """A policy by its name or folder, on the CPU, and its chat format.

    Raises:
        UserError: see `load_policy_model`.
    """
    model, tokenizer = load_policy_model(name)
    chat = ChatFormat(tokenizer)
    pad_id = cast(int, tokenizer.pad_token_id)  # `load_policy_model` sees to it that there is one
    return TransformersPolicy(model, pad_id, chat.end_ids), chat
