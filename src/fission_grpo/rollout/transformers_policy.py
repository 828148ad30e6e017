# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch and transformers ship no complete types.
"""A policy on a transformers model, with a decoding loop of its own.

Equal prompts (siblings of a group) are prefilled once, waiting rows take the places of finished ones (continuous batching),
and inside `reusing_prefixes` the keys and values of a dialogue are kept from one assistant message to the next, so that an
episode is read once. Rows that memory does not suffice for are decoded again in halves.
"""

import logging
from collections import defaultdict, deque
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from fission_grpo.chat.template import ChatFormat
from fission_grpo.errors import UserError
from fission_grpo.rollout.cache import (
    Prefix,
    PrefixStore,
    is_buffered,
    load_prefixes,
    new_cache,
    replace_rows,
    take_prefix,
)
from fission_grpo.rollout.devices import usable_device
from fission_grpo.rollout.loading import load_policy_model
from fission_grpo.rollout.memory_errors import give_memory_back, is_out_of_memory
from fission_grpo.rollout.policy import Sampling
from fission_grpo.rollout.sampler import sample_tokens
from fission_grpo.types import Completion, StopReason

_LOGGER = logging.getLogger(__name__)
_SHRINK_AT = 0.75
"""Waiting rows take the places of finished ones once no more than this share of the batch is active; where none wait, the
finished ones leave it, which costs a copy of the cache."""


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


@dataclass(frozen=True)
class _Call:
    """What holds for all rows of a `generate` call.

    Row n draws its token t with `uniforms_NT[n, t]`. `prefixes` are what was kept of the calls before; `store` takes what is
    kept for the next, unless that is not asked for.
    """

    sampling: Sampling
    uniforms_NT: Tensor
    prefixes: dict[tuple[int, ...], Prefix | None]
    store: PrefixStore | None


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
        siblings: dict[tuple[int, ...], list[_Row]] = defaultdict(list)
        for row in rows:
            siblings[row.prompt].append(row)
        prefixes = {prompt: self._stored.find(prompt) if self._stored else None for prompt in siblings}
        store = PrefixStore(self._prefix_bytes) if self._stored else None
        call = _Call(sampling, self._draw(len(rows), sampling), prefixes, store)
        was_training = self.model.training
        self.model.eval()
        try:
            self._finish(self._ordered(siblings, prefixes), call)
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

    def _finish(self, rows: list[_Row], call: _Call) -> None:
        """Decodes all rows, fewer of them together as often as memory does not suffice."""
        waiting, at_once = deque(rows), self.batch_size
        while not self._fits(waiting, at_once, call):
            rows = [row for row in rows if row.stop_reason is None]
            under_way = rows[: len(rows) - len(waiting)]
            at_once = self._halve(under_way, at_once, call.sampling, full=bool(waiting) or len(under_way) == at_once)
            for row in under_way:
                row.ids, row.logprobs = [], []
            waiting = deque(rows)

    def _fits(self, waiting: deque[_Row], at_once: int, call: _Call) -> bool:
        """Decodes all that waits; False where memory did not suffice, which leaves rows under way without an end."""
        try:
            while waiting:
                self._decode(waiting, at_once, call)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return False
        return True

    def _halve(self, under_way: Sequence[_Row], at_once: int, sampling: Sampling, *, full: bool) -> int:
        """How many rows to decode together instead: from now on, unless these were a last few, which are the longest."""
        if at_once == 1:
            raise UserError(
                f"out of memory while a single row was decoded, a prompt of {len(under_way[0].prompt)} tokens with up to "
                f"{sampling.max_new_tokens} new ones: lower max_context_tokens or max_new_tokens, or take a smaller model"
            )
        give_memory_back()
        together = at_once if full else len(under_way)
        fewer = max(1, together // 2)
        if together == self.batch_size:
            self.batch_size = fewer
        self.halvings += 1
        _LOGGER.warning("Out of memory with %d rows decoded together: now %d", together, fewer)
        return fewer

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

    def _decode(self, waiting: deque[_Row], at_once: int, call: _Call) -> None:
        """Samples until every row of a batch has ended, which waiting rows join as long as its cache can take them."""
        batch = self._prefill(_taken(waiting, at_once), call.prefixes)
        while True:
            ids_B = self._sample(batch, call)
            active = [place for place, row in enumerate(batch.rows) if row.stop_reason is None]
            if not active:
                return
            few = len(active) <= _SHRINK_AT * len(batch.rows)
            joining = few and bool(waiting) and is_buffered(batch.cache)
            if few and not joining:
                ids_B = ids_B[active]
                batch = self._select(batch, [batch.rows[place] for place in active], active)
            batch.mask_BC = torch.nn.functional.pad(batch.mask_BC, (0, 1), value=1)
            batch.logits_BV = self._forward(ids_B[:, None], batch.mask_BC, batch.cache)
            if joining:
                newcomers = self._prefill(_taken(waiting, len(batch.rows) - len(active)), call.prefixes)
                self._join(batch, newcomers)

    def _sample(self, batch: _Batch, call: _Call) -> Tensor:
        """The next token of every row (B,); those of rows that have ended mean nothing."""
        drawn = [min(len(row.ids), call.sampling.max_new_tokens - 1) for row in batch.rows]
        uniforms_B = call.uniforms_NT[[row.index for row in batch.rows], drawn]
        ids_B, logprobs_B = sample_tokens(batch.logits_BV, uniforms_B, call.sampling)
        for place, (token, logprob) in enumerate(zip(ids_B.tolist(), logprobs_B.tolist(), strict=True)):
            row = batch.rows[place]
            if row.stop_reason is not None:
                continue
            row.ids.append(token)
            row.logprobs.append(logprob)
            if token in self.end_ids or len(row.ids) == row.limit:
                row.stop_reason = StopReason.END if token in self.end_ids else StopReason.LENGTH
                self._keep(batch, place, call.store)
        return ids_B

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

    def _join(self, batch: _Batch, newcomers: _Batch) -> None:
        """Puts newcomers into places of rows that have ended; all rows end in the last column."""
        ended = [place for place, row in enumerate(batch.rows) if row.stop_reason is not None]
        places = ended[: len(newcomers.rows)]
        for place, row in zip(places, newcomers.rows, strict=True):
            batch.rows[place] = row
        index = torch.tensor(places, device=self.model.device)
        batch.logits_BV[index] = newcomers.logits_BV
        batch.mask_BC[index] = 0
        start = int(batch.mask_BC.any(dim=0).int().argmax())  # the columns before it belonged to rows that have left
        replace_rows(batch.cache, index, newcomers.cache, start)
        mask_BC, width = batch.mask_BC[:, start:], newcomers.mask_BC.shape[1]
        batch.mask_BC = torch.nn.functional.pad(mask_BC, (max(0, width - mask_BC.shape[1]), 0))
        batch.mask_BC[index, -width:] = newcomers.mask_BC

    def _keep(self, batch: _Batch, place: int, store: PrefixStore | None) -> None:
        """Stores what the cache holds of a row that has just ended: everything but its last token."""
        if store is not None and is_buffered(batch.cache):
            row = batch.rows[place]
            columns_T = batch.mask_BC[place].nonzero()[:, 0]
            store.add(take_prefix(batch.cache, place, (*row.prompt, *row.ids[:-1]), columns_T))


def _taken(waiting: deque[_Row], count: int) -> list[_Row]:
    return [waiting.popleft() for _ in range(min(count, len(waiting)))]


def load_policy(name: str, device: str | None = None) -> tuple[TransformersPolicy, ChatFormat]:
    """A policy by its name or folder, and its chat format.

    Args:
        device: by default a GPU where there is one with room for it, else the CPU.

    Raises:
        UserError: see `load_policy_model`.
    """
    disable_progress_bar()  # the terminal is our own display's
    model, tokenizer = load_policy_model(name)
    _move(model, usable_device(device, "device"))
    chat = ChatFormat(tokenizer)
    pad_id = cast(int, tokenizer.pad_token_id)  # `load_policy_model` sees to it that there is one
    return TransformersPolicy(model, pad_id, chat.end_ids), chat


def _move(model: PreTrainedModel, device: str) -> None:
    """Moves a model to its device, and back where that has no room: what was trained there may still fill it."""
    try:
        model.to(device)  # pyright: ignore[reportArgumentType]
        return
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    model.to("cpu")  # pyright: ignore[reportArgumentType]
    give_memory_back()
    _LOGGER.warning("%s has no room for the model: it plays on the CPU", device)
