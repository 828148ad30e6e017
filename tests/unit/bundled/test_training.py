"""The optimizer agrees with torch's, batches waste little, and training lowers the loss."""

import random

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from fission_grpo.bundled.examples import Demonstration, Example, batches, encode
from fission_grpo.bundled.model import new_model
from fission_grpo.bundled.optimizer import Muon, orthogonalise, schedule
from fission_grpo.bundled.supervised import Training, train


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (12, 12)])
def test_muon_is_torchs_muon(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    start = torch.randn(shape)
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    optimizers = Muon([ours], lr=0.02), torch.optim.Muon([theirs], lr=0.02, weight_decay=0.01)
    for _ in range(4):
        gradient = torch.randn(shape)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    # torch's own computes the direction in bfloat16: three decimal digits of steps of 0.02.
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)
    assert (ours - start).abs().max() > 1e-2


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(16, 40)))
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_the_schedule_rises_stays_and_falls_to_zero() -> None:
    values = [schedule(step, 200) for step in range(201)]
    peak = values.index(1.0)
    assert values[:peak] == sorted(values[:peak])
    assert values[-1] == 0.0
    assert values[peak:] == sorted(values[peak:], reverse=True)


def test_batches_hold_every_example_once_with_little_padding() -> None:
    generator = random.Random(0)
    examples = [Example((index,) * generator.randint(5, 300), (1.0,)) for index in range(1, 200)]
    examples = [Example(example.ids, (1.0,) * len(example.ids)) for example in examples]
    made = list(batches(examples, 2048, 0, generator))
    rows = [tuple(row[row != 0].tolist()) for batch in made for row in batch.ids]
    assert sorted(rows) == sorted(example.ids for example in examples)
    assert all(batch.tokens <= 2048 for batch in made)
    assert sum(len(example.ids) for example in examples) / sum(batch.tokens for batch in made) > 0.85
    assert all((batch.weights[batch.ids == 0] == 0).all() for batch in made)


def test_training_lowers_the_loss_and_is_reproducible(
    tokenizer: PreTrainedTokenizerFast, shown: list[Demonstration]
) -> None:
    examples = [encode(demonstration, tokenizer) for demonstration in shown[:6]]

    def losses() -> list[float]:
        found: list[float] = []
        training = Training(updates=4, batch_tokens=512, copies=2)
        train(new_model(tokenizer, 0), tokenizer, examples, training, lambda _, loss, __: found.append(loss))
        return found

    first = losses()
    assert first[-1] < 0.95 * first[0]
    assert losses() == first
