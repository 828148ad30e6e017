"""Displaced prompts are queued, and two generated halves become one batch."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.training.batches import ExplorationQueue, merge_outputs, rows_with_advantage


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(1, 4))
def test_every_prompt_is_served_once_and_in_order(displaced: list[int], group: int):
    queue, fresh, served = ExplorationQueue(group), 0, list[int]()
    for groups in displaced:
        rows = [{"x": fresh + index // group} for index in range(4 * group)]
        fresh += 4
        exchanged = queue.exchange(rows, wanted=(4 - groups) * group)
        assert len(exchanged) == (4 - groups) * group
        served += [row["x"] for row in exchanged[::group]]
    served += [row["x"] for row in queue.waiting]
    assert served == list(range(fresh))


def test_siblings_do_not_share_one_dict():
    first, second = ExplorationQueue(2).exchange([{"x": 1}, {"x": 1}], wanted=2)
    first["verdict"] = True
    assert "verdict" not in second


def test_merge_repads_and_sums():
    left = {
        "prompt_ids": torch.tensor([[5, 6]]),
        "prompt_mask": torch.tensor([[1, 1]]),
        "completion_ids": torch.tensor([[7]]),
        "completion_mask": torch.tensor([[1]]),
        "advantages": torch.tensor([0.5]),
        "num_items_in_batch": torch.tensor(1),
    }
    right = {
        "prompt_ids": torch.tensor([[1, 2, 3]]),
        "prompt_mask": torch.tensor([[1, 1, 1]]),
        "completion_ids": torch.tensor([[8, 9]]),
        "completion_mask": torch.tensor([[1, 1]]),
        "advantages": torch.tensor([-0.5]),
        "num_items_in_batch": torch.tensor(2),
    }
    merged = merge_outputs([left, right], pad_token_id=0)
    assert merged["prompt_ids"].tolist() == [[0, 5, 6], [1, 2, 3]]
    assert merged["prompt_mask"].tolist() == [[0, 1, 1], [1, 1, 1]]
    assert merged["completion_ids"].tolist() == [[7, 0], [8, 9]]
    assert merged["completion_mask"].tolist() == [[1, 0], [1, 1]]
    assert merged["advantages"].tolist() == [0.5, -0.5]
    assert merged["num_items_in_batch"].item() == 3


def test_rows_without_advantage_fill_up_what_another_process_has_more():
    inputs = {"advantages": torch.tensor([0.0, 1.0, 0.0, 0.0, -1.0]), "row": torch.arange(5), "count": torch.tensor(9)}
    assert rows_with_advantage(inputs)["row"].tolist() == [1, 4]
    assert rows_with_advantage(inputs, at_least=3)["row"].tolist() == [0, 1, 4]
    assert rows_with_advantage(inputs, at_least=5) is inputs
    nothing = inputs | {"advantages": torch.zeros(5, 2)}
    assert rows_with_advantage(nothing)["row"].tolist() == [0]
