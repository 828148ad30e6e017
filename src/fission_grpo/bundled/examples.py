"""From demonstrations to weighted token sequences, and from those to batches of about equal length."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

from fission_grpo.bundled.tokenizer import chat_template
from fission_grpo.types import Message, Tool

CONTEXT_WEIGHT = 0.1
"""Loss weight of tokens that the policy only reads: a little of it teaches it how the world answers."""

COPY_LENGTH = 16
"""Tokens of a pure-copy sequence, before and again after the role marker."""


@dataclass(frozen=True)
class Demonstration:
    """One dialogue to imitate.

    Attributes:
        messages: the dialogue as chat messages, ending with an assistant message.
        tools: the tools it offers.
        unlearned: indices of assistant messages that are context only: mistakes not to be imitated.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    unlearned: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Example:
    """A token sequence and, for every token, the weight of the loss of predicting it. Both (T,)."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]


def render(messages: Sequence[Message], tools: Sequence[Tool]) -> str:
    """A dialogue as the bundled chat template writes it."""
    rendered, _ = render_jinja_template([list(messages)], tools=list(tools), chat_template=chat_template())
    return rendered[0]


def encode(demonstration: Demonstration, tokenizer: PreTrainedTokenizerFast) -> Example:
    """Tokens and weights: 1 for what the assistant writes, its end token included, `CONTEXT_WEIGHT` for the rest.

    The template renders messages independently of each other and each begins with a control token, so tokens can be made
    message by message and are those of the whole.
    """
    ids: list[int] = []
    weights: list[float] = []
    for index, message in enumerate(demonstration.messages):
        text = render([message], demonstration.tools if index == 0 else ())
        tokens = tokenizer.backend_tokenizer.encode(text).ids
        learned = message["role"] == "assistant" and index not in demonstration.unlearned
        ids += tokens
        weights += [CONTEXT_WEIGHT] + [1.0 if learned else CONTEXT_WEIGHT] * (len(tokens) - 1)
    return Example(tuple(ids), tuple(weights))


def copy_example(tokenizer: PreTrainedTokenizerFast, generator: random.Random) -> Example:
    """Random tokens that the assistant repeats: the shortest way to learn copying, which every call needs."""
    special = set(tokenizer.all_special_ids)
    word = [token for token in generator.sample(range(len(tokenizer)), COPY_LENGTH) if token not in special]
    user, assistant, end = tokenizer.backend_tokenizer.encode("<|user|><|assistant|><|end|>").ids
    ids = [user, *word, end, assistant, *word, end]
    context = len(word) + 3
    return Example(tuple(ids), (0.0,) * context + (1.0,) * (len(ids) - context))


@dataclass(frozen=True)
class Batch:
    """Right-padded `ids` and `weights`, both (B, T). Causal attention never looks at padding on the right."""

    ids: Tensor
    weights: Tensor

    @property
    def tokens(self) -> int:
        return self.ids.numel()


def batches(examples: Sequence[Example], tokens: int, pad: int, generator: random.Random) -> Iterator[Batch]:
    """One pass over `examples` in batches of at most `tokens` tokens, similar lengths together, in random order."""
    # A little noise on the length mixes neighbours anew in every pass and costs almost no padding.
    order = sorted(examples, key=lambda example: len(example.ids) * generator.uniform(0.95, 1.05))
    groups: list[list[Example]] = [[]]
    for example in order:
        width = max(len(example.ids), *(len(other.ids) for other in groups[-1])) if groups[-1] else len(example.ids)
        if groups[-1] and width * (len(groups[-1]) + 1) > tokens:
            groups.append([])
        groups[-1].append(example)
    generator.shuffle(groups)
    for group in groups:
        yield collate(group, pad)


def collate(examples: Sequence[Example], pad: int) -> Batch:
    """Pads on the right; padding has weight 0."""
    width = max(len(example.ids) for example in examples)
    ids = torch.full((len(examples), width), pad)
    weights = torch.zeros(len(examples), width)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        weights[row, : len(example.ids)] = torch.tensor(example.weights)
    return Batch(ids, weights)
