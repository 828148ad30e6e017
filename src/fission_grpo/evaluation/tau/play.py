"""Plays trials with a model of this process or an endpoint, many at once, and yields each as it ends."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event
from typing import NamedTuple

from fission_grpo.environments.base import Environment
from fission_grpo.evaluation.asking import NOT_TRIED, Decoding, patience
from fission_grpo.evaluation.chat_play import play_chat
from fission_grpo.evaluation.endpoint import Endpoint, EndpointSettings
from fission_grpo.rollout.driver import stream_episodes
from fission_grpo.rollout.episode import Chat, EpisodeLimits
from fission_grpo.rollout.policy import Policy, Sampling
from fission_grpo.rollout.usage import Usage, usage_of
from fission_grpo.tasks.task import Task
from fission_grpo.types import StopReason, Trajectory

MIN_ROOM = 16
"""Tokens that a message must have room for; with fewer the conversation has outgrown the model's context."""


class Trial(NamedTuple):
    """One of the times that a task is played, counted from 0."""

    task: Task
    number: int


class Played(NamedTuple):
    """A trial that has ended; the trajectory has no verdict where the infrastructure failed."""

    trial: Trial
    trajectory: Trajectory
    usage: Usage


Player = Callable[[Sequence[Trial], int], Iterator[Played]]
"""Plays trials, in any order. The number is that of the trials played before, by which the seed moves on."""


@dataclass(frozen=True)
class LocalPlayer:
    """Plays with a policy of this process, token in and token out, by the driver that training uses.

    Attributes:
        context_tokens: what the policy can read and write together; `policy` cuts its last message to it.
        at_once: conversations under way at a time.
    """

    policy: Policy
    chat: Chat
    make_environment: Callable[[], Environment]
    decoding: Decoding
    max_steps: int
    context_tokens: int
    at_once: int

    def __call__(self, trials: Sequence[Trial], before: int) -> Iterator[Played]:
        decoding = self.decoding
        # A message may be shorter than it could be: a conversation ends where the context has no room for any.
        limits = EpisodeLimits(self.max_steps, self.context_tokens + decoding.max_new_tokens - MIN_ROOM)
        seed = (decoding.seed << 32) + before  # trials of one task must not draw the same numbers
        for place, trajectory in stream_episodes(
            [trial.task for trial in trials],
            lambda _: self.make_environment(),
            self.policy,
            self.chat,
            limits,
            Sampling(decoding.temperature, max_new_tokens=decoding.max_new_tokens, seed=seed),
            at_once=self.at_once,
        ):
            yield Played(trials[place], trajectory, usage_of([trajectory]))


@dataclass(frozen=True)
class EndpointPlayer:
    """Plays with an endpoint that takes messages and tools, a conversation a thread."""

    settings: EndpointSettings
    make_environment: Callable[[], Environment]
    decoding: Decoding
    max_steps: int

    def __call__(self, trials: Sequence[Trial], before: int) -> Iterator[Played]:
        decodings = {
            number: Decoding(self.decoding.temperature, self.decoding.max_new_tokens, self.decoding.seed + number)
            for number in {trial.number for trial in trials}
        }
        endpoints = {number: Endpoint(self.settings, decoding) for number, decoding in decodings.items()}
        stopped, most = Event(), patience(self.settings.concurrency)

        def play(trial: Trial) -> Played:
            ask = endpoints[trial.number].answer
            return Played(trial, *play_chat(trial.task, self.make_environment(), ask, self.max_steps, stopped))

        threads = ThreadPoolExecutor(self.settings.concurrency, thread_name_prefix="conversation")
        try:
            under_way: dict[Future[Played], Trial] = {threads.submit(play, trial): trial for trial in trials}
            failures_in_a_row = 0
            while under_way:
                done, _ = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    trial = under_way.pop(future)
                    played = Played(trial, _not_tried(trial.task), Usage()) if future.cancelled() else future.result()
                    failures_in_a_row = failures_in_a_row + 1 if played.trajectory.verdict is None else 0
                    yield played
                if failures_in_a_row >= most:
                    for future in under_way:
                        future.cancel()
        finally:  # after a stop or a refusal, too: no conversation goes on behind its next message
            stopped.set()
            threads.shutdown(wait=False, cancel_futures=True)
            for endpoint in endpoints.values():
                endpoint.close()


def _not_tried(task: Task) -> Trajectory:
    return Trajectory(task.id, task.scenario, (), (), StopReason.INFRASTRUCTURE, None, task.tags, fault=NOT_TRIED)
