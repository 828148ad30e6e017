"""A generation batch while TRL generates for it, and what comes out."""

from dataclasses import dataclass, field
from typing import Any

from fission_grpo.training.batches import Row
from fission_grpo.training.rollouts import Rollout
from fission_grpo.types import CorrectiveContext, Failure, Message, Tool, Trajectory


@dataclass
class Batch:
    """What is known of the rows that TRL is generating for, filled in as it goes.

    Attributes:
        rows: local dataset rows, one a rollout, in TRL's order.
        group_size: rollouts of one prompt: G, or G' for recoveries.
        round: how many batches of exploration were sampled in this update before it.
        contexts: the context of every row for recoveries, else None.
        messages, tools: x of every exploration row as chat messages, and what it offers.
        masks: of every completion, 1 where a token is the policy's.
        answers: the message of every row that is judged, where completions hold more than that.
        copied: of every row, whether its completion was sampled in another row.
        tallies: of every group over all ranks, how many of its rollouts succeeded, and how many did not.
    """

    rows: list[Row]
    group_size: int
    round: int = 0
    contexts: list[CorrectiveContext] | None = None
    messages: list[list[Message]] = field(default_factory=list[list[Message]])
    tools: list[list[Tool]] = field(default_factory=list[list[Tool]])
    masks: list[list[int]] = field(default_factory=list[list[int]])
    prompt_ids: list[list[int]] = field(default_factory=list[list[int]])
    completion_ids: list[list[int]] = field(default_factory=list[list[int]])
    rewards: list[float | None] = field(default_factory=list["float | None"])
    outcomes: list[bool] = field(default_factory=list[bool])
    trajectories: list[Trajectory] | None = None
    answers: list[list[int]] = field(default_factory=list[list[int]])
    copied: list[bool] = field(default_factory=list[bool])
    tallies: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    @property
    def signal(self) -> list[bool]:
        """Of every group over all ranks, whether its outcomes differ."""
        return [successes > 0 and failures > 0 for successes, failures in self.tallies]

    @property
    def name(self) -> str:
        """The half of the generation batch that it is, as metrics name it."""
        return "exploration" if self.contexts is None else "recovery"


@dataclass(frozen=True)
class Generated:
    """A batch after generation and scoring: TRL's tensors, and the same rows as rollouts with their failures."""

    output: dict[str, Any]
    rollouts: list[Rollout]
    failures: list[Failure | None]
