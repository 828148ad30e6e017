"""Episode granularity: the policy plays whole tasks live, and recoveries continue from a fork at the failure point.

`EpisodeTasks` is to the trainer what a user's dataset and functions are: rows, a rollout function, a reward, an outcome, a
failure function (docs/method.md, section 6). The failure point lies in the first turn that went wrong. Recoveries are
scored as episodes are; with `recovery_horizon: turn` by whether they bring that turn to a right end; with `message`,
where the reference continuation is known, by their next message alone.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from datasets import Dataset

from fission_grpo.chat.parsing import parse_message
from fission_grpo.chat.template import ChatFormat
from fission_grpo.environments.base import ComparableEnvironment, ConversationalEnvironment
from fission_grpo.environments.guard import guarded
from fission_grpo.environments.one_turn import OneTurn
from fission_grpo.environments.replay import replay_reference
from fission_grpo.errors import InfrastructureError
from fission_grpo.failures import classify_step, failure_point
from fission_grpo.recipe import RolloutSection
from fission_grpo.rewards.base import ScoredStep
from fission_grpo.rewards.composite import CompositeReward
from fission_grpo.rollout.driver import EpisodeLimits, EpisodeStart, never_begun, play_episodes
from fission_grpo.rollout.episode import Episode, play_message
from fission_grpo.rollout.policy import Policy, Sampling
from fission_grpo.tasks.task import Task
from fission_grpo.training.generation import generate_messages, rollout_policy, sampling_of
from fission_grpo.training.rollouts import CONTEXT_COLUMN, Rollout, Trace
from fission_grpo.types import (
    CorrectiveContext,
    Failure,
    Message,
    RecoveryTarget,
    Snapshot,
    Step,
    Tool,
    ToolCall,
    Trajectory,
)


class EpisodeTasks:
    """Tasks played live, and how episodes and recoveries from their failure points are judged.

    Args:
        tasks: one row each.
        make_environment: a fresh environment.
        chat: the policy's chat format.
        reward: scores single messages under the horizon `message`.
        settings: sampling and limits of the episodes.
        horizon: of a recovery: `episode`, `turn` or `message`.
        replay: recoveries answer again what the failed message answered (`RecoveryContext.PROMPT`).
        by_turn: an episode earns the share of its turns that ended right; otherwise 1 if all did, else 0.
        episode_type: how episodes of exploration are played.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        make_environment: Callable[[], ComparableEnvironment],
        chat: ChatFormat,
        reward: CompositeReward,
        settings: RolloutSection,
        horizon: str,
        replay: bool = False,
        by_turn: bool = False,
        episode_type: type[Episode] = Episode,
    ) -> None:
        self._tasks = list(tasks)
        self._make_environment = make_environment
        self._environment = make_environment()
        self._chat = chat
        self._reward = reward
        self._settings = settings
        self._horizon = horizon
        self._replay = replay
        self._by_turn = by_turn
        self._episode_type = episode_type
        self._openings: dict[int, tuple[list[Message], list[Tool]]] = {}
        self._milestones: dict[tuple[str, int], list[Snapshot]] = {}
        self._counts: Counter[str] = Counter()

    def dataset(self) -> Dataset:
        """One row a task."""
        rows = [
            {"prompt": [{"role": "user", "content": task.id}], "task": index, "id": task.id, "scenario": task.scenario}
            for index, task in enumerate(self._tasks)
        ]
        return Dataset.from_list(rows)

    def prompt(self, row: Mapping[str, Any]) -> tuple[list[Message], list[Tool]]:
        """The opening of a row's task, and the tools it offers. Asked for once a task: a user may be a model.

        What an episode really opens with comes from its rollout, so a user who fails here is no reason to stop.
        """
        index: int = row["task"]
        if index not in self._openings:
            try:
                with guarded():
                    messages, tools = self._environment.reset(self._tasks[index]), list(self._environment.tools)
            except InfrastructureError:
                return [{"role": "user", "content": self._tasks[index].id}], []
            self._openings[index] = messages, tools
        messages, tools = self._openings[index]
        return list(messages), list(tools)

    def rollout(self, prompts: list[Any], trainer: Any) -> dict[str, Any]:
        """TRL's `rollout_func`: plays the rows that the trainer is generating for."""
        batch = trainer.batch
        if batch.contexts is not None and self._horizon == "message":
            return generate_messages(prompts, trainer)
        with rollout_policy(trainer) as policy:
            batch.trajectories = self._play(batch.rows, batch.contexts, policy, sampling_of(trainer))
        broken = sum(trajectory.verdict is None for trajectory in batch.trajectories)
        self._counts["infrastructure_failures"] += broken
        output = _episode_output(batch.trajectories, nothing=trainer.processing_class.eos_token_id)
        batch.prompt_ids = output["prompt_ids"]
        return output

    def reward(self, completion_ids: list[list[int]], trainer_state: Any, **columns: Any) -> list[float | None]:
        """1 for a good end (or the share of right turns); R of a message alone; None where the environment failed."""
        return [score for score, _ in self._score_rows(completion_ids, columns, trainer_state.global_step)]

    def outcome(self, completion_ids: list[list[int]], trainer_state: Any, **columns: Any) -> list[bool]:
        """The verdict: of a recovery, on its turn under the horizon `turn`, on its message under `message`."""
        return [outcome for _, outcome in self._score_rows(completion_ids, columns, trainer_state.global_step)]

    def failure(self, rollout: Rollout) -> Failure | None:
        """The failure point of an unsolved episode, with the true state there; None where the environment fails."""
        try:
            return self._failure(rollout)
        except InfrastructureError:
            self._counts["infrastructure_failures"] += 1
            return None

    def _failure(self, rollout: Rollout) -> Failure | None:
        trajectory = rollout.trajectory
        point = None if trajectory is None else failure_point(trajectory)
        if trajectory is None or point is None:
            return None
        task, step = self._tasks[rollout.row["task"]], trajectory.steps[point]
        state, tools = self._state_around(step)
        reference = self._continuation(task, step.turn)
        if reference is None and self._horizon == "message":
            self._counts["without_reference"] += 1
            return None
        diagnosis = classify_step(step.calls, step.format_error, step.results, reference, tools)
        if diagnosis is None:  # unsolved without an error, and on no path of the reference: nothing can be said about it
            self._counts["undiagnosed"] += 1
            return None
        return Failure(
            task_id=task.id,
            scenario=task.scenario,
            messages=_messages_before(trajectory, point),
            tools=tools,
            prompt_ids=step.prompt_ids,
            completion_ids=step.completion.ids,
            text=step.text,
            calls=step.calls,
            results=step.results,
            kind=diagnosis.kind,
            error_kind=diagnosis.error_kind,
            format_error=step.format_error,
            call_index=diagnosis.call_index,
            reference=reference or (),
            recovery_target=RecoveryTarget.REFERENCE if self._horizon == "message" else RecoveryTarget.VERDICT,
            snapshot=state,
            turn=step.turn,
            update=rollout.update,
            row=dict(rollout.row),
        )

    def sample(self, rows: Sequence[dict[str, Any]], policy: Policy, sampling: Sampling) -> list[Rollout]:
        """One episode a row, outside of training."""
        trajectories = self._play(rows, None, policy, sampling)
        output = _episode_output(trajectories, nothing=0)
        return [
            Rollout(
                row=row,
                prompt_ids=tuple(prompt),
                completion_ids=tuple(completion),
                mask=tuple(mask),
                text=self._chat.decode(completion),
                reward=None if trajectory.verdict is None else float(trajectory.solved),
                outcome=trajectory.solved,
                update=0,
                trajectory=trajectory,
            )
            for row, prompt, completion, mask, trajectory in zip(
                rows, output["prompt_ids"], output["completion_ids"], output["env_mask"], trajectories, strict=True
            )
        ]

    def recover(self, contexts: Sequence[CorrectiveContext], policy: Policy, sampling: Sampling) -> list[bool]:
        """Whether one recovery of each context comes to a good end, as the horizon has it."""
        if self._horizon == "message":
            completions = policy.generate([context.prompt_ids for context in contexts], sampling)
            pairs = zip(contexts, completions, strict=True)
            return [self._score_message(context, completion.ids, 0)[1] for context, completion in pairs]
        rows = [dict(context.failure.row) for context in contexts]
        played = self._play(rows, contexts, policy, sampling)
        return [self._ends_well(trajectory, context) for trajectory, context in zip(played, contexts, strict=True)]

    def trace(self, rollout: Rollout) -> Trace:
        """What an episode called, beside the reference."""
        steps = rollout.trajectory.steps if rollout.trajectory else ()
        task = self._tasks[rollout.row["task"]]
        reference = {index: turn.calls for index, turn in enumerate(task.turns)}
        return Trace([step.calls for step in steps], [step.turn for step in steps], reference, self.prompt(rollout.row)[1])

    def best_reward(self, update: int) -> float:
        """A solved episode's."""
        return 1.0

    def take_counts(self) -> dict[str, int]:
        """What was met since the last call and could not be used."""
        counts, self._counts = dict(self._counts), Counter()
        return counts

    def _play(
        self,
        rows: Sequence[dict[str, Any]],
        contexts: Sequence[CorrectiveContext] | None,
        policy: Policy,
        sampling: Sampling,
    ) -> list[Trajectory]:
        episodes: list[Task | EpisodeStart | Trajectory] = []
        for index, row in enumerate(rows):
            task = self._tasks[row["task"]]
            episodes.append(task if contexts is None else self._start(task, contexts[index]))
        limits = EpisodeLimits(self._settings.steps_per_turn, self._settings.max_context_tokens)
        episode_type = self._episode_type if contexts is None else Episode
        return play_episodes(
            episodes, lambda _: self._make_environment(), policy, self._chat, limits, sampling, episode_type=episode_type
        )

    def _start(self, task: Task, context: CorrectiveContext) -> EpisodeStart | Trajectory:
        """Where a recovery starts; an episode that is over where the environment cannot be brought there."""
        assert context.failure.snapshot is not None
        try:
            with guarded():
                environment = self._make_environment()
                environment.restore(context.failure.snapshot)
        except InfrastructureError as error:
            return never_begun(task, str(error))
        # A conversation is one turn as a whole.
        one_turn = self._horizon == "turn" and not isinstance(environment, ConversationalEnvironment)
        place = OneTurn(environment) if one_turn else environment
        return EpisodeStart(task, place, context.messages, context.prompt_ids, context.failure.turn)

    def _score_rows(
        self, completion_ids: Sequence[Sequence[int]], columns: dict[str, Any], update: int
    ) -> list[tuple[float | None, bool]]:
        contexts: list[CorrectiveContext | None] = columns[CONTEXT_COLUMN]
        if contexts[0] is not None and self._horizon == "message":
            pairs = zip(contexts, completion_ids, strict=True)
            return [self._score_message(context, ids, update) for context, ids in pairs if context is not None]
        trajectories: list[Trajectory] = columns["trajectory"]
        tasks = [self._tasks[index] for index in columns["task"]]
        return [self._score(*each) for each in zip(trajectories, tasks, contexts, strict=True)]

    def _score(self, trajectory: Trajectory, task: Task, context: CorrectiveContext | None) -> tuple[float | None, bool]:
        """Reward and outcome of an episode, or of a recovery that was played."""
        outcome = self._ends_well(trajectory, context)
        if trajectory.verdict is None:
            return None, outcome
        of_one_turn = context is not None and self._horizon == "turn"
        if self._by_turn and not of_one_turn:
            return sum(trajectory.verdict.turns) / len(task.turns), outcome
        return float(outcome), outcome

    def _ends_well(self, trajectory: Trajectory, context: CorrectiveContext | None) -> bool:
        """The final verdict; of a recovery under the horizon `turn`, the verdict on the turn it was to put right."""
        if context is None or self._horizon != "turn" or trajectory.verdict is None:
            return trajectory.solved
        return trajectory.verdict.turns[context.failure.turn : context.failure.turn + 1] == (True,)

    def _score_message(self, context: CorrectiveContext, ids: Sequence[int], update: int) -> tuple[float, bool]:
        parsed = parse_message(self._chat.decode(ids))
        failure = context.failure
        step = ScoredStep(parsed.content, parsed.calls, parsed.error, len(ids), failure.reference, None, failure.tools)
        breakdown = self._reward.score(step, update)
        return breakdown.total, breakdown.outcome

    def _state_around(self, step: Step) -> tuple[Snapshot, tuple[Tool, ...]]:
        """The state that the failed message left behind (in a replay, found), and the tools offered there.

        It stays in the environment.
        """
        assert step.snapshot is not None
        with guarded():
            self._environment.restore(step.snapshot)
            if step.calls and not self._replay:
                play_message(self._environment, parse_message(step.text).content, step.calls)
            return self._environment.snapshot(), tuple(self._environment.tools)

    def _continuation(self, task: Task, turn: int) -> tuple[ToolCall, ...] | None:
        """What the reference does next from the environment's present state; None where the state is not on its path."""
        reference = task.turns[turn].reference
        milestones = self._milestones_of(task, turn)
        for done in range(len(milestones) - 1, -1, -1):
            with guarded():
                reached = self._environment.matches(milestones[done])
            if reached:
                return reference[done] if done < len(reference) else ()
        return None

    def _milestones_of(self, task: Task, turn: int) -> list[Snapshot]:
        """The states before a turn's reference and after each of its messages; none where the environment fails."""
        key = (task.id, turn)
        if key not in self._milestones:
            try:
                with guarded():
                    self._milestones[key] = _replayed(self._make_environment(), task, turn)
            except InfrastructureError:
                return []
        return self._milestones[key]


def _replayed(environment: ComparableEnvironment, task: Task, turn: int) -> list[Snapshot]:
    replay_reference(environment, task, turn, 0)
    states = [environment.snapshot()]
    for calls in task.turns[turn].reference:
        for call in calls:
            environment.call(call)
        states.append(environment.snapshot())
    return states


def _messages_before(trajectory: Trajectory, point: int) -> tuple[Message, ...]:
    """The dialogue that step `point` answered. The trajectory's own steps are the last assistant messages of it."""
    spoken = [index for index, message in enumerate(trajectory.messages) if message["role"] == "assistant"]
    return trajectory.messages[: spoken[len(spoken) - len(trajectory.steps) + point]]


def _episode_output(trajectories: Sequence[Trajectory], nothing: int) -> dict[str, Any]:
    """Episodes as TRL wants them: everything after the first prompt is completion, and a mask tells who wrote it.

    An episode that ended before its first message is one masked token, `nothing`.
    """
    output: dict[str, list[Any]] = {"prompt_ids": [], "completion_ids": [], "logprobs": [], "env_mask": []}
    for trajectory in trajectories:
        steps = trajectory.steps
        prompt = steps[0].prompt_ids if steps else (nothing,)
        sequence = [*steps[-1].prompt_ids, *steps[-1].completion.ids] if steps else [nothing, nothing]
        mask, logprobs = [0] * len(sequence), [0.0] * len(sequence)
        for step in steps:
            start = len(step.prompt_ids)
            end = start + len(step.completion.ids)
            mask[start:end] = [1] * len(step.completion.ids)
            logprobs[start:end] = step.completion.logprobs
        start = len(prompt)
        output["prompt_ids"].append(list(prompt))
        output["completion_ids"].append(sequence[start:])
        output["logprobs"].append(logprobs[start:])
        output["env_mask"].append(mask[start:])
    return {**output, "trajectory": list(trajectories)}
