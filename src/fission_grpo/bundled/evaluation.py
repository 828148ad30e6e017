"""How the bundled policy plays held-out tasks: what its model card states."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fission_grpo.chat.template import ChatFormat
from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.rollout.driver import play_episodes
from fission_grpo.rollout.episode import EpisodeLimits
from fission_grpo.rollout.policy import Sampling
from fission_grpo.rollout.transformers_policy import TransformersPolicy
from fission_grpo.tasks.task import Task
from fission_grpo.types import Trajectory

LIMITS = EpisodeLimits(steps_per_turn=8, context_tokens=2048)
MAX_NEW_TOKENS = 96


@dataclass(frozen=True)
class Share:
    """A count of successes and what it is out of."""

    count: int
    total: int

    def __str__(self) -> str:
        return f"{self.count / self.total:.3f} ({self.count}/{self.total})" if self.total else "- (0/0)"


@dataclass(frozen=True)
class Scores:
    """The definitions are those of `docs/method.md`, section 7.

    Attributes:
        solved: tasks solved.
        recovered: of the turns in which a call erred, all earlier turns being right, those that ended right.
        erring: tasks in which a call erred.
        hidden: tasks solved of those tagged `hidden_hazard`.
        clear: tasks solved of those without any hazard.
        well_formed: messages that could be read.
    """

    solved: Share
    recovered: Share
    erring: Share
    hidden: Share
    clear: Share
    well_formed: Share


def evaluate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tasks: Sequence[Task], samples: int = 1, seed: int = 0
) -> Scores:
    """Plays every task `samples` times at temperature 1 in the real environment."""
    return scores(play(model, tokenizer, [task for task in tasks for _ in range(samples)], seed))


def play(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tasks: Sequence[Task], seed: int = 0
) -> list[Trajectory]:
    """One episode a task, sampled at temperature 1."""
    chat = ChatFormat(tokenizer)
    policy = TransformersPolicy(model, int(tokenizer.pad_token_id or 0), chat.end_ids)
    sampling = Sampling(temperature=1.0, max_new_tokens=MAX_NEW_TOKENS, seed=seed)
    return play_episodes(tasks, lambda _: BFCLEnvironment(), policy, chat, LIMITS, sampling)


def scores(trajectories: Sequence[Trajectory]) -> Scores:
    """Counts over all trajectories."""
    turns = [right for trajectory in trajectories for right in _erring_turns(trajectory)]
    steps = [step for trajectory in trajectories for step in trajectory.steps]
    hidden = [trajectory.solved for trajectory in trajectories if "hidden_hazard" in trajectory.tags]
    clear = [t.solved for t in trajectories if not {"hidden_hazard", "open_hazard"} & set(t.tags)]
    erring = [any(r.is_error for step in t.steps for r in step.results) for t in trajectories]
    return Scores(
        solved=_share([trajectory.solved for trajectory in trajectories]),
        recovered=_share(turns),
        erring=_share(erring),
        hidden=_share(hidden),
        clear=_share(clear),
        well_formed=_share([step.format_error is None for step in steps]),
    )


def _erring_turns(trajectory: Trajectory) -> list[bool]:
    """For every turn in which a call erred, earlier turns being right: whether it ended right."""
    rights = trajectory.verdict.turns if trajectory.verdict else ()
    erring = {step.turn for step in trajectory.steps if any(result.is_error for result in step.results)}
    return [right for turn, right in enumerate(rights) if turn in erring and all(rights[:turn])]


def _share(values: Sequence[bool]) -> Share:
    return Share(sum(values), len(values))
