"""The episode driver: many environments in lock-step with one policy, token in and token out.

Whatever a policy emits is data: text that can not be read, calls of unknown tools and endless messages end a turn or an
episode, and never raise. Sampled ids are kept and appended to; what was said is never rendered again.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from itertools import count
from typing import Protocol, runtime_checkable

from fission_grpo.environments.base import Environment
from fission_grpo.errors import InfrastructureError
from fission_grpo.rollout.episode import Chat, Episode, EpisodeLimits, EpisodeStart
from fission_grpo.rollout.policy import Policy, Sampling
from fission_grpo.tasks.task import Task
from fission_grpo.types import Completion, Step, StopReason, Trajectory


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
    threads: int = 1,
) -> list[Trajectory]:
    """Plays all episodes at once, each to its end.

    Args:
        episodes: tasks to be played from the start, or places to go on from.
        make_environment: a fresh environment for a task.
        sampling: of every message; each round draws from a seed of its own, derived from `sampling.seed`.
        episode_type: how an episode takes in a message; methods of training may have their own.
        on_step: called with the episode's place and the step after every message, for progress and logs.
        threads: see `stream_episodes`.

    Returns:
        one trajectory an episode, in order, with the steps that were played here. Where the infrastructure failed, its stop
        reason says so and the verdict is None.
    """
    ended = stream_episodes(
        episodes,
        make_environment,
        policy,
        chat,
        limits,
        sampling,
        threads=threads,
        on_step=on_step,
        episode_type=episode_type,
    )
    trajectories = dict(ended)
    return [trajectories[place] for place in range(len(episodes))]


def stream_episodes(
    episodes: Sequence[Task | EpisodeStart],
    make_environment: Callable[[Task], Environment],
    policy: Policy,
    chat: Chat,
    limits: EpisodeLimits,
    sampling: Sampling,
    *,
    at_once: int | None = None,
    threads: int = 1,
    on_step: Callable[[int, Step], None] | None = None,
    episode_type: type[Episode] = Episode,
) -> Iterator[tuple[int, Trajectory]]:
    """Plays episodes in rounds, one message of every episode under way, and yields each with its place as it ends.

    Args:
        at_once: episodes under way at a time; one that ends makes room for the next. Default: all.
        threads: environments that take in their messages at a time: worth it where they wait, for a user model for one.
        on_step: see `play_episodes`, as for all other arguments.
    """

    def opening(episode: Task | EpisodeStart) -> Episode | Trajectory:
        return _open(episode, make_environment, chat, limits, sampling, episode_type)

    waiting = deque(enumerate(episodes))
    playing: dict[int, Episode] = {}
    with ExitStack() as held:
        if isinstance(policy, PrefixReuser):
            held.enter_context(policy.reusing_prefixes())
        in_order = held.enter_context(ThreadPoolExecutor(threads)).map if threads > 1 else map
        for round_index in count():
            starting = [waiting.popleft() for _ in range(min(len(waiting), (at_once or len(waiting)) - len(playing)))]
            opened = in_order(opening, [episode for _, episode in starting])
            for (place, _), episode in zip(starting, opened, strict=True):
                if isinstance(episode, Trajectory):
                    yield place, episode
                else:
                    playing[place] = episode
            for place in [place for place, episode in playing.items() if episode.stop_reason is not None]:
                yield place, playing.pop(place).trajectory()
            if not playing and not waiting:
                return
            if not playing:  # all that were opened had ended at once
                continue
            completions = policy.generate([episode.ids for episode in playing.values()], sampling.of_round(round_index))
            steps = in_order(_advance, playing.values(), completions)
            for place, step in zip(playing, steps, strict=True):
                if step is not None and on_step is not None:
                    on_step(place, step)


def _advance(episode: Episode, completion: Completion) -> Step | None:
    return episode.advance(completion)


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
    except InfrastructureError as error:
        broken = StopReason.INFRASTRUCTURE
        return Trajectory(episode.id, episode.scenario, (), (), broken, None, episode.tags, fault=str(error))
    start = EpisodeStart(episode, environment, tuple(messages), tuple(chat.render(messages, tools)))
    return episode_type(start, chat, limits, sampling.max_new_tokens)
