"""The episode driver: many environments in lock-step with one policy, token in and token out.

Whatever a policy emits is data: text that can not be read, calls of unknown tools and endless messages end a turn or an
episode, and never raise. Sampled ids are kept and appended to; what was said is never rendered again. Environments with a
user are played in threads, since a user may be a model elsewhere.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Protocol, TypeVar, runtime_checkable

from fission_grpo.environments.base import ConversationalEnvironment, Environment
from fission_grpo.errors import InfrastructureError
from fission_grpo.rollout.episode import Chat, Episode, EpisodeLimits, EpisodeStart
from fission_grpo.rollout.policy import Policy, Sampling
from fission_grpo.tasks.task import Task
from fission_grpo.types import Message, Step, StopReason, Trajectory

Item = TypeVar("Item")

USERS_AT_ONCE = 32
"""Users who are asked at the same time."""


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
    playing = [
        episode_type(start, chat, limits, sampling.max_new_tokens) if isinstance(start, EpisodeStart) else start
        for start in _starts(episodes, make_environment, chat)
    ]
    round_index = 0
    with policy.reusing_prefixes() if isinstance(policy, PrefixReuser) else nullcontext():
        while active := [
            (place, episode)
            for place, episode in enumerate(playing)
            if isinstance(episode, Episode) and episode.stop_reason is None
        ]:
            completions = policy.generate([episode.ids for _, episode in active], sampling.of_round(round_index))
            pairs = [(episode, completion) for (_, episode), completion in zip(active, completions, strict=True)]
            _at_once(lambda pair: pair[0].play_ahead(pair[1]), [pair for pair in pairs if pair[0].has_user])
            for (place, episode), completion in zip(active, completions, strict=True):
                step = episode.advance(completion)
                if step is not None and on_step is not None:
                    on_step(place, step)
            round_index += 1
    return [episode.trajectory() if isinstance(episode, Episode) else episode for episode in playing]


class _Opening:
    """A task before its first message; without messages where the infrastructure failed at once."""

    def __init__(self, task: Task, make_environment: Callable[[Task], Environment]) -> None:
        self._task = task
        self._environment: Environment | None = None
        self._messages: list[Message] | None = None
        with suppress(InfrastructureError):
            self._environment = make_environment(task)

    @property
    def has_user(self) -> bool:
        return isinstance(self._environment, ConversationalEnvironment)

    def open(self) -> None:
        if self._environment is not None:
            with suppress(InfrastructureError):
                self._messages = self._environment.reset(self._task)

    def start(self, chat: Chat) -> EpisodeStart | Trajectory:
        task, environment, messages = self._task, self._environment, self._messages
        if environment is None or messages is None:
            return Trajectory(task.id, task.scenario, (), (), StopReason.INFRASTRUCTURE, None, task.tags)
        return EpisodeStart(task, environment, tuple(messages), tuple(chat.render(messages, environment.tools)))


def _starts(
    episodes: Sequence[Task | EpisodeStart], make_environment: Callable[[Task], Environment], chat: Chat
) -> list[EpisodeStart | Trajectory]:
    """Every episode ready for its first message, or an empty trajectory where the infrastructure failed at once."""
    ready = [episode if isinstance(episode, EpisodeStart) else _Opening(episode, make_environment) for episode in episodes]
    openings = [each for each in ready if isinstance(each, _Opening)]
    _at_once(_Opening.open, [opening for opening in openings if opening.has_user])
    for opening in openings:
        if not opening.has_user:
            opening.open()
    return [each.start(chat) if isinstance(each, _Opening) else each for each in ready]


def _at_once(act: Callable[[Item], object], items: Sequence[Item]) -> None:
    """Acts on all items, in threads: most of the time they wait for users' models."""
    if items:
        with ThreadPoolExecutor(min(len(items), USERS_AT_ONCE)) as pool:
            for _ in pool.map(act, items):
                pass
