"""MatchTIR by hand: similarity, optimal matching, rewards of messages, dual advantages and where they arrive."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.training.advantages import as_tensor, of_rollouts, zeroed
from fission_grpo.training.methods.base import Scores
from fission_grpo.training.methods.matchtir import dual_advantages, message_rewards, similarity
from fission_grpo.training.rollouts import Rollout, Trace
from fission_grpo.types import Tool, ToolCall

COUNT: Tool = {
    "type": "function",
    "function": {
        "name": "tail",
        "parameters": {"type": "object", "properties": {"lines": {"type": "integer", "default": 10}}},
    },
}


def call(name: str, **arguments: object) -> ToolCall:
    return ToolCall(name, dict(arguments))


def test_similarity() -> None:
    reference = call("mv", source="a", to="b")
    assert similarity(call("cp", source="a", to="b"), reference) == 0.0
    # (1 + |{source} n {source, to}| / |{source, to}| + 1 equal value) / (2 + 2) = (1 + 1/2 + 1) / 4
    assert similarity(call("mv", source="a"), reference) == 2.5 / 4
    # (1 + 2/3 + 2) / 4: one parameter that the reference does not have
    assert similarity(call("mv", source="a", to="b", force=True), reference) == pytest.approx((1 + 2 / 3 + 2) / 4)
    assert similarity(call("ls"), call("ls")) == 1.0


def test_defaults_of_the_schema_count_as_given() -> None:
    assert similarity(call("tail"), call("tail", lines=10), [COUNT]) == 1.0
    assert similarity(call("tail"), call("tail", lines=10)) < 1.0


def test_the_assignment_is_the_best_where_the_greedy_one_is_not() -> None:
    # Similarities of f(x=1, y=1, z=1), called first: (1 + 2/3 + 2) / 4 = 0.9167 and (1 + 1 + 2) / 5 = 0.8.
    # Of f(x=1, y=1), called second: 1 and (1 + 2/3 + 1) / 5 = 0.5333.
    # A greedy walk through the calls gives the first its best, 0.9167 + 0.5333 = 1.45; the best sum is 0.8 + 1 = 1.8.
    reference = [call("f", x=1, y=1), call("f", x=1, y=2, z=1)]
    trace = Trace([[call("f", x=1, y=1, z=1)], [call("f", x=1, y=1)]], [0, 0], {0: reference}, ())
    assert message_rewards(trace) == pytest.approx((0.8, 1.0))


def test_messages_are_matched_within_their_user_turn() -> None:
    ls, cd = call("ls"), call("cd", folder="docs")
    # Turn 0 wants ls; the policy says ls with cd, which matches nothing here: (1 + 0) / 2. Its closing message comes after
    # all of the turn's reference: 1. Turn 1 wants cd: the closing message that comes before any call earns 0.
    trace = Trace([[ls, cd], [], []], [0, 0, 1], {0: [ls], 1: [cd]}, ())
    assert message_rewards(trace) == (0.5, 1.0, 0.0)
    # A turn without a reference: nothing should have been called.
    assert message_rewards(Trace([[ls], []], [0, 1], {0: [], 1: []}, ())) == (0.0, 1.0)


def test_dual_advantages_of_two_rollouts() -> None:
    # Rewards 1 and 0: mean 0.5, sample deviation 0.70711; rollout level +-0.5 / 0.70721 = +-0.70701.
    # Rewards to go: (1 + 0.9 * 0.5, 0.5) = (1.45, 0.5), and (0,). Mean 0.65; deviations 0.8, -0.15, -0.65; sample variance
    # (0.64 + 0.0225 + 0.4225) / 2 = 0.5425, deviation 0.73655; with 1e-4: 0.73665.
    # Message level: 0.8 / 0.73665 = 1.08600, -0.20362, -0.88237.
    group = [Scores(1.0, True, (1.0, 0.5)), Scores(0.0, False, (0.0,))]
    first, second = dual_advantages(group)
    assert first == pytest.approx([0.70701 + 1.08600, 0.70701 - 0.20362], abs=1e-4)
    assert second == pytest.approx([-0.70701 - 0.88237], abs=1e-4)


def test_a_broken_rollout_takes_no_part() -> None:
    group = [Scores(1.0, True, (1.0, 0.5)), Scores(None, False, (0.3, 0.3)), Scores(0.0, False, (0.0,))]
    whole = dual_advantages(group)
    assert whole[1] == [0.0, 0.0]
    assert [whole[0], whole[2]] == dual_advantages([group[0], group[2]])


def rollout(mask: tuple[int, ...]) -> Rollout:
    return Rollout({}, (1,), tuple(range(len(mask))), mask, "", 0.0, False, 0)


def test_every_message_gets_its_advantage_and_no_other_token_any() -> None:
    rollouts = [rollout((1, 1, 0, 0, 1)), rollout((1, 1, 1))]
    spread = as_tensor([[2.0, -1.0], [0.5]], rollouts, width=6)
    assert spread.tolist() == [[2.0, 2.0, 0.0, 0.0, -1.0, 0.0], [0.5, 0.5, 0.5, 0.0, 0.0, 0.0]]
    assert of_rollouts(spread, rollouts) == [[2.0, -1.0], [0.5]]
    assert zeroed(spread, [False, True]).tolist() == [[0.0] * 6, [0.5, 0.5, 0.5, 0.0, 0.0, 0.0]]
    assert as_tensor([1.0, 2.0], rollouts, width=6).tolist() == [1.0, 2.0]


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=12), min_size=1, max_size=5), st.randoms())
def test_what_goes_into_the_tensor_comes_out_again(masks: list[list[int]], random: object) -> None:
    rollouts = [rollout(tuple(mask)) for mask in masks]
    advantages = [[float(index + 1) for index in range(len(each.spans))] for each in rollouts]
    spread = as_tensor(advantages, rollouts, width=12)
    assert of_rollouts(spread, rollouts) == advantages
    written = torch.tensor([[*each.mask, *[0] * (12 - len(each.mask))] for each in rollouts])
    assert torch.equal(spread != 0, written == 1)


CALLS = st.lists(st.builds(call, st.sampled_from(["ls", "cd"]), folder=st.sampled_from(["a", "b"])), max_size=3)


@given(st.lists(CALLS, max_size=4), CALLS)
def test_rewards_are_shares_and_the_reference_earns_all(messages: list[list[ToolCall]], reference: list[ToolCall]) -> None:
    rewards = message_rewards(Trace(messages, [0] * len(messages), {0: reference}, ()))
    assert all(0.0 <= reward <= 1.0 for reward in rewards)
    perfect = message_rewards(Trace([[each] for each in reference], [0] * len(reference), {0: reference}, ()))
    assert perfect == (1.0,) * len(reference)
