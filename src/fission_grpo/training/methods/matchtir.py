"""MatchTIR: every message gets the reward of its own calls, by optimal matching (Qu et al. 2026, arXiv 2601.10712).

*Call-level reward*: predicted and reference calls of a rollout are matched one to one, so that the sum of similarities is
the largest possible; a call earns the similarity of its match, or nothing. A message earns the mean of its calls.
*Dual-level advantages*: the rollout's reward normalised within the group, plus each message's discounted reward to go
normalised over all messages of the group.

    similarity(p, g) = 0                                                                   where the names differ, else
                       (1 + |P n G| / |P u G| + #{k in G: p[k] = g[k]}) / (2 + |G|)         P, G: the parameters' names

Deviations: the assignment is a real one (`scipy.optimize.linear_sum_assignment`), the published code's is greedy; calls
are matched within the user turn they belong to, because a BFCL task has several; a message without calls earns 1 where the
calls before it exhaust its turn's reference, and 0 otherwise; the discount is 0.9 [ours]; the paper's optimal-transport
variant is left out.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from scipy.optimize import linear_sum_assignment  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from fission_grpo.chat.schema import canonical, normalise_arguments
from fission_grpo.training.methods.base import Advantage, Method, Scores
from fission_grpo.training.methods.normalisation import normalised
from fission_grpo.training.rollouts import Rollout, Trace
from fission_grpo.types import Tool, ToolCall

DISCOUNT = 0.9


class MatchTIR(Method):
    """Turn-level and trajectory-level advantages added.

    Args:
        trace: what a rollout called (`StepTasks.trace`, `EpisodeTasks.trace`).
    """

    def __init__(self, trace: Callable[[Rollout], Trace]) -> None:
        self._trace = trace

    def scores(self, rollout: Rollout) -> Scores:
        return Scores(rollout.reward, rollout.outcome, message_rewards(self._trace(rollout)))

    def advantages(self, group: Sequence[Scores], *, recovery: bool, update: int) -> Sequence[Advantage]:
        return dual_advantages(group)


def message_rewards(trace: Trace) -> tuple[float, ...]:
    """The reward of every message (S,).

    >>> cd, ls = ToolCall("cd", {"folder": "docs"}), ToolCall("ls", {})
    >>> message_rewards(Trace([[ls], [cd], []], [0, 0, 0], {0: [cd, ls]}, ()))
    (1.0, 1.0, 1.0)
    >>> message_rewards(Trace([[ToolCall("cd", {"folder": "tmp"})], [cd]], [0, 0], {0: [cd]}, ()))  # the second is the match
    (0.0, 1.0)
    """
    rewards = [0.0] * len(trace.calls)
    for turn in dict.fromkeys(trace.turns):
        messages = [index for index, own in enumerate(trace.turns) if own == turn]
        reference = trace.reference.get(turn, ())
        earned = _assign([call for index in messages for call in trace.calls[index]], reference, trace.tools)
        done = 0
        for index in messages:
            own = earned[done : done + len(trace.calls[index])]
            done += len(own)
            matched = sum(each > 0 for each in earned[:done])
            rewards[index] = sum(own) / len(own) if own else float(matched == len(reference))
    return tuple(rewards)


def similarity(call: ToolCall, reference: ToolCall, tools: Sequence[Tool] = ()) -> float:
    """How like a reference call a call is, in [0, 1]; defaults of the schema count as given.

    >>> similarity(ToolCall("mv", {"source": "a", "to": "x"}), ToolCall("mv", {"source": "a", "to": "b"}))
    0.75
    >>> similarity(ToolCall("mv", {"source": "a"}), ToolCall("mv", {"source": "a", "to": "b"}))
    0.625
    """
    if call.name != reference.name:
        return 0.0
    given = {key: canonical(value) for key, value in normalise_arguments(call, tools).items()}
    wanted = {key: canonical(value) for key, value in normalise_arguments(reference, tools).items()}
    names = len(given.keys() & wanted.keys()) / len(given.keys() | wanted.keys()) if given or wanted else 1.0
    values = sum(key in given and given[key] == value for key, value in wanted.items())
    return (1.0 + names + values) / (2.0 + len(wanted))


def dual_advantages(group: Sequence[Scores]) -> list[list[float]]:
    """The advantages of every message of every rollout: its rollout's plus its own. Zero where the reward is None."""
    rollout_level = normalised([score.reward for score in group])
    to_go = [_discounted(score.messages) if score.reward is not None else [] for score in group]
    flat = iter(normalised([value for each in to_go for value in each]))
    return [
        [advantage + next(flat) for _ in each] if score.reward is not None else [0.0] * len(score.messages)
        for score, advantage, each in zip(group, rollout_level, to_go, strict=True)
    ]


def _discounted(rewards: Sequence[float]) -> list[float]:
    to_go: list[float] = []
    for reward in reversed(rewards):
        to_go.append(reward + DISCOUNT * (to_go[-1] if to_go else 0.0))
    return to_go[::-1]


def _assign(calls: Sequence[ToolCall], reference: Sequence[ToolCall], tools: Sequence[Tool]) -> list[float]:
    """What each call earns: the similarity of its match, 0 without one."""
    earned = [0.0] * len(calls)
    if calls and reference:
        scores = np.array([[similarity(call, each, tools) for each in reference] for call in calls])
        solve = cast(Any, linear_sum_assignment)
        for row, column in np.transpose(solve(scores, maximize=True)):
            earned[row] = float(scores[row, column])
    return earned
