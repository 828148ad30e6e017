"""The episode driver: many environments in lock-step with one policy, token in and token out.

Whatever a policy emits is data: text that can not be read, calls of unknown tools and endless messages end a turn or an
episode, and never raise. Sampled ids are kept and appended to; what was said is never rendered again. Environments with a
user are played in threads, since a user may be a model elsewhere.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from itertools import count, islice
from typing import Protocol, TypeVar, runtime_checkable

from fission_grpo.environments.base import ConversationalEnvironment, Environment
from fission_grpo.environments.guard import guarded
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
    episodes: Sequence[Task | EpisodeStart | Trajectory],
    make_environment: Callable[[Task], Environment],
    policy: Policy,
    chat: Chat,
    limits: EpisodeLimits,
    sampling: Sampling,
    on_step: Callable[[int, Step], None] | None = None,
    episode_type: type[Episode] = Episode,
) -> list[Trajectory]:
    """Plays all episodes at once, each to its end.

    Args:
        episodes: tasks to be played from the start, places to go on from, or what is over already (`never_begun`).
        make_environment: a fresh environment for a task.
        sampling: of every message; each round draws from a seed of its own, derived from `sampling.seed`.
        episode_type: how an episode takes in a message; methods of training may have their own.
        on_step: called with the episode's place and the step after every message, for progress and logs.

    Returns:
        one trajectory an episode, in order, with the steps that were played here. Where the infrastructure failed, its stop
        reason says so and the verdict is None.
    """
    ended = stream_episodes(
        episodes, make_environment, policy, chat, limits, sampling, on_step=on_step, episode_type=episode_type
    )
    trajectories = dict(ended)
    return [trajectories[place] for place in range(len(episodes))]


def stream_episodes(
    episodes: Iterable[Task | EpisodeStart | Trajectory],
    make_environment: Callable[[Task], Environment],
    policy: Policy,
    chat: Chat,
    limits: EpisodeLimits,
    sampling: Sampling,
    *,
    at_once: int | None = None,
    on_step: Callable[[int, Step], None] | None = None,
    episode_type: type[Episode] = Episode,
) -> Iterator[tuple[int, Trajectory]]:
    """Plays episodes in rounds, one message of every episode under way, and yields each with its place as it ends.

    Args:
        episodes: taken as there is room for them.
        at_once: episodes under way at a time; one that ends makes room for the next. Default: all.
        on_step: see `play_episodes`, as for all other arguments.
    """
    waiting = enumerate(episodes)
    playing: dict[int, Episode] = {}
    with policy.reusing_prefixes() if isinstance(policy, PrefixReuser) else nullcontext():
        for round_index in count():
            yield from _over(playing)
            starting = list(islice(waiting, None if at_once is None else at_once - len(playing)))
            starts = _starts([episode for _, episode in starting], make_environment, chat)
            for (place, _), start in zip(starting, starts, strict=True):
                if isinstance(start, Trajectory):
                    yield place, start
                else:
                    playing[place] = episode_type(start, chat, limits, sampling.max_new_tokens)
            yield from _over(playing)  # some end before their first message
            if playing:
                _play_round(playing, policy, sampling.of_round(round_index), on_step)
            elif not starting:
                return


def _over(playing: dict[int, Episode]) -> Iterator[tuple[int, Trajectory]]:
    """Takes out the episodes that have ended."""
    for place in [place for place, episode in playing.items() if episode.stop_reason is not None]:
        yield place, playing.pop(place).trajectory()


def _play_round(
    playing: Mapping[int, Episode], policy: Policy, sampling: Sampling, on_step: Callable[[int, Step], None] | None
) -> None:
    """One message of every episode."""
    completions = policy.generate([episode.ids for episode in playing.values()], sampling)
    pairs = list(zip(playing.values(), completions, strict=True))
    _at_once(lambda pair: pair[0].play_ahead(pair[1]), [pair for pair in pairs if pair[0].has_user])
    for place, (episode, completion) in zip(playing, pairs, strict=True):
        step = episode.advance(completion)
        if step is not None and on_step is not None:
            on_step(place, step)


class _Opening:
    """A task before its first message; without messages where the infrastructure failed at once."""

    def __init__(self, task: Task, make_environment: Callable[[Task], Environment]) -> None:
        self._task = task
        self._environment: Environment | None = None
        self._messages: list[Message] | None = None
        self._fault = ""
        try:
            with guarded():
                self._environment = make_environment(task)
        except InfrastructureError as error:
            self._fault = str(error)

    @property
    def has_user(self) -> bool:
        return isinstance(self._environment, ConversationalEnvironment)

    def open(self) -> None:
        if self._environment is not None:
            try:
                with guarded():
                    self._messages = self._environment.reset(self._task)
            except InfrastructureError as error:
                self._fault = str(error)

    def start(self, chat: Chat) -> EpisodeStart | Trajectory:
        task, environment, messages = self._task, self._environment, self._messages
        if environment is None or messages is None:
            return never_begun(task, self._fault)
        return EpisodeStart(task, environment, tuple(messages), tuple(chat.render(messages, environment.tools)))


def never_begun(task: Task, fault: str) -> Trajectory:
    """An episode whose environment failed before the first message."""
    return Trajectory(task.id, task.scenario, (), (), StopReason.INFRASTRUCTURE, None, task.tags, fault=fault)


def _starts(
    episodes: Sequence[Task | EpisodeStart | Trajectory], make_environment: Callable[[Task], Environment], chat: Chat
) -> list[EpisodeStart | Trajectory]:
    """Every episode ready for its first message, or an empty trajectory where the infrastructure failed at once."""
    ready = [_Opening(each, make_environment) if isinstance(each, Task) else each for each in episodes]
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
