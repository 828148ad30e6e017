"""The episode driver: many environments in lock-step with one policy, token in and token out.

Whatever a policy emits is data: text that can not be read, calls of unknown tools and endless messages end a turn or an
episode, and never raise. Sampled ids are kept and appended to; what was said is never rendered again.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

from fission_grpo.environments.base import Environment
from fission_grpo.errors import InfrastructureError
from fission_grpo.rollout.episode import Chat, Episode, EpisodeLimits, EpisodeStart
from fission_grpo.rollout.policy import Policy, Sampling
from fission_grpo.tasks.task import Task
from fission_grpo.types import Step, StopReason, Trajectory


@runtime_checkable
class PrefixReuser(Protocol):
    """A policy that can keep what it computed of a dialogue from one message to the next."""

    def reusing_prefixes(self) -> AbstractContextManager[None]: ...


def play_episodes(
    episodes: Sequence[Task | EpisodeStart],
    make_environment: Callable[[Task], Environment],
    policy: Policy,
    chat: Chat,
    limits: EpisodeLimits,
    sampling: Sampling,
    on_step: Callable[[int, Step], None] | None = None,
    episode_type: type[Episode] = Episode,
) -> list[Trajectory]:
    """Plays all episodes to their end: each round, one message of every episode that is still active.

    Args:
        episodes: tasks to be played from the start, or places to go on from.
        make_environment: a fresh environment for a task.
        sampling: of every message; each round draws from a seed of its own, derived from `sampling.seed`.
        episode_type: how an episode takes in a message; methods of training may have their own.
        on_step: called with the episode's place and the step after every message, for progress and logs.

    Returns:
        one trajectory an episode, in order, with the steps that were played here. Where the infrastructure failed, its stop
        reason says so and the verdict is None.
    """
    playing = [_open(episode, make_environment, chat, limits, sampling, episode_type) for episode in episodes]
    round_index = 0
    with policy.reusing_prefixes() if isinstance(policy, PrefixReuser) else nullcontext():
        while active := [
            (place, episode)
            for place, episode in enumerate(playing)
            if isinstance(episode, Episode) and episode.stop_reason is None
        ]:
            completions = policy.generate([episode.ids for _, episode in active], sampling.of_round(round_index))
            for (place, episode), completion in zip(active, completions, strict=True):
                step = episode.advance(completion)
                if step is not None and on_step is not None:
                    on_step(place, step)
            round_index += 1
    return [episode.trajectory() if isinstance(episode, Episode) else episode for episode in playing]


def _open(
    episode: Task | EpisodeStart,
    make_environment: Callable[[Task], Environment],
    chat: Chat,
    limits: EpisodeLimits,
    sampling: Sampling,
    episode_type: type[Episode],
) -> Episode | Trajectory:
    """The episode ready for its first message, or an empty trajectory where the infrastructure failed at once."""
    if isinstance(episode, EpisodeStart):
        return episode_type(episode, chat, limits, sampling.max_new_tokens)
    try:
        environment = make_environment(episode)
        messages = environment.reset(episode)
        tools = environment.tools
    except InfrastructureError:
        return Trajectory(episode.id, episode.scenario, (), (), StopReason.INFRASTRUCTURE, None, episode.tags)
    start = EpisodeStart(episode, environment, tuple(messages), tuple(chat.render(messages, tools)))
    return episode_type(start, chat, limits, sampling.max_new_tokens)
