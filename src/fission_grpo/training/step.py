"""Step granularity: one instance is one assistant message of a task, with the live state before it (docs/method.md, 6).

`StepTasks` is to the trainer what a user's dataset and functions are: rows, a reward, an outcome, a failure function. Failed
messages are executed from a fork of the state S before them, so that feedback can be the environment's real answer:

- state unchanged: recoveries start from S and are scored against the reference y*;
- state changed: they start from the changed state and are scored by reaching S*, the state after y*;
- S* out of reach of one message: counted `unrecoverable_in_one_step`, and not pooled.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from datasets import Dataset

from fission_grpo.chat.parsing import ParsedMessage, parse_message, render_calls
from fission_grpo.chat.template import ChatFormat
from fission_grpo.environments.base import ComparableEnvironment
from fission_grpo.environments.guard import guarded
from fission_grpo.environments.replay import CLOSING_TEXT
from fission_grpo.environments.steps import StepInstance, step_instance, step_places
from fission_grpo.errors import InfrastructureError
from fission_grpo.failures import classify_step
from fission_grpo.fission.context import FEEDBACK_HEADER
from fission_grpo.rewards.base import ScoredStep
from fission_grpo.rewards.composite import CompositeReward, RewardBreakdown
from fission_grpo.rollout.episode import answers_to
from fission_grpo.rollout.policy import Policy, Sampling
from fission_grpo.tasks.task import Task
from fission_grpo.training.generation import generate_messages
from fission_grpo.training.rollouts import ANSWER_COLUMN, CONTEXT_COLUMN, Rollout, Trace
from fission_grpo.types import (
    CorrectiveContext,
    Failure,
    Message,
    RecoveryTarget,
    Snapshot,
    Tool,
    ToolCall,
    ToolResult,
)


class StepTasks:
    """The step instances of tasks, and how messages at them are judged.

    Args:
        tasks: played along their references to every message that makes calls, and to the end of every third turn.
        make_environment: a fresh environment; one is reused for all executions.
        chat: the policy's chat format.
        reward: the composite reward.
        context_tokens: of the prompts; longer instances are left out and counted in `too_long`.
        replay: recoveries answer x again, from the state before the failed message (`RecoveryContext.PROMPT`).
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        make_environment: Callable[[], ComparableEnvironment],
        chat: ChatFormat,
        reward: CompositeReward,
        context_tokens: int,
        replay: bool = False,
    ) -> None:
        self._environment = make_environment()
        self._chat = chat
        self._reward = reward
        self._replay = replay
        self._counts: Counter[str] = Counter()
        # The rows that were scored last: the trainer asks for their rewards, then for their outcomes.
        self._latest: tuple[object, list[RewardBreakdown | None]] | None = None
        built = [step_instance(self._environment, place) for place in step_places(tasks)]
        self.instances = [each for each in built if len(chat.render(each.messages, each.tools)) <= context_tokens]
        self.too_long = len(built) - len(self.instances)

    def dataset(self) -> Dataset:
        """One row an instance. Messages, tools and reference stay out of Arrow: rows name their instance."""
        rows = [
            {
                "prompt": [{"role": "user", "content": instance.task.id}],
                "instance": index,
                "id": instance.task.id,
                "scenario": instance.task.scenario,
            }
            for index, instance in enumerate(self.instances)
        ]
        return Dataset.from_list(rows)

    def prompt(self, row: dict[str, Any]) -> tuple[list[Message], list[Tool]]:
        """x of a row: its dialogue and its tools."""
        instance = self.instances[row["instance"]]
        return list(instance.messages), list(instance.tools)

    def rollout(self, prompts: list[Any], trainer: Any) -> dict[str, Any]:
        """TRL's `rollout_func`: one message a row."""
        return generate_messages(prompts, trainer)

    def reward(self, completion_ids: list[list[int]], trainer_state: Any, **columns: Any) -> list[float | None]:
        """R of every row, in the form of a TRL reward function; None where the environment failed."""
        scored = self._score_rows(completion_ids, columns, trainer_state.global_step)
        return [None if breakdown is None else breakdown.total for breakdown in scored]

    def outcome(self, completion_ids: list[list[int]], trainer_state: Any, **columns: Any) -> list[bool]:
        """Whether the message is right: by R_fmt and R_corr, or because it reaches the target state."""
        scored = self._score_rows(completion_ids, columns, trainer_state.global_step)
        return [breakdown is not None and breakdown.outcome for breakdown in scored]

    def failure(self, rollout: Rollout) -> Failure | None:
        """Executes a failed message from a fork of S, and says how a recovery from there would be judged.

        Where the environment fails meanwhile, nothing can be said, and the message is no failure for the pool.
        """
        try:
            return self._failure(rollout)
        except InfrastructureError:
            self._counts["infrastructure_failures"] += 1
            return None

    def _failure(self, rollout: Rollout) -> Failure | None:
        instance = self.instances[rollout.row["instance"]]
        base = instance.snapshot if rollout.context is None else _start(rollout.context)
        messages = instance.messages if rollout.context is None else rollout.context.messages
        parsed = parse_message(rollout.text)
        results, changed, reached = self._execute(base, parsed.calls, instance.target)
        diagnosis = classify_step(
            parsed.calls, parsed.error, results, instance.reference, instance.tools, ordered=self._reward.settings.ordered
        )
        if reached or diagnosis is None:
            return None
        if self._replay:
            changed = None
        reference = instance.reference if changed is None else self._way_back(changed, instance)
        if reference is None:
            self._counts["unrecoverable_in_one_step"] += 1
            return None
        return Failure(
            task_id=instance.task.id,
            scenario=instance.task.scenario,
            messages=tuple(messages),
            tools=instance.tools,
            prompt_ids=rollout.prompt_ids,
            completion_ids=rollout.completion_ids,
            text=rollout.text,
            calls=parsed.calls,
            results=results,
            kind=diagnosis.kind,
            error_kind=diagnosis.error_kind,
            format_error=parsed.error,
            call_index=diagnosis.call_index,
            reference=reference,
            recovery_target=RecoveryTarget.REFERENCE if changed is None else RecoveryTarget.STATE,
            snapshot=changed or base,
            target=instance.target,
            turn=instance.turn,
            update=rollout.update,
            row=dict(rollout.row),
        )

    def error(self, row: Mapping[str, Any], text: str) -> list[Message]:
        """What a message that errs when it is executed from S gets for an answer; nothing where it does not err."""
        parsed = parse_message(text)
        if parsed.error is not None:
            return [{"role": "user", "content": f"{FEEDBACK_HEADER}\n{parsed.error.detail}"}]
        try:
            results, _, _ = self._execute(self.instances[row["instance"]].snapshot, parsed.calls, None)
        except InfrastructureError:  # scoring meets it too, and masks the row
            return []
        if not any(result.is_error for result in results):
            return []
        return answers_to(parsed.calls, results)

    def sample(self, rows: Sequence[dict[str, Any]], policy: Policy, sampling: Sampling) -> list[Rollout]:
        """One scored message a row, outside of training."""
        prompts = [self._chat.render(*self.prompt(row)) for row in rows]
        completions = policy.generate(prompts, sampling)
        columns = {"instance": [row["instance"] for row in rows], CONTEXT_COLUMN: [None] * len(rows)}
        scored = self._score_rows([completion.ids for completion in completions], columns, update=0)
        return [
            Rollout(
                row=row,
                prompt_ids=tuple(prompt),
                completion_ids=completion.ids,
                mask=(1,) * len(completion.ids),
                text=self._chat.decode(completion.ids),
                reward=None if score is None else score.total,
                outcome=score is not None and score.outcome,
                update=0,
            )
            for row, prompt, completion, score in zip(rows, prompts, completions, scored, strict=True)
        ]

    def recover(self, contexts: Sequence[CorrectiveContext], policy: Policy, sampling: Sampling) -> list[bool]:
        """The outcome of one recovery a context, outside of training; where the environment failed it counts as none."""
        completions = policy.generate([context.prompt_ids for context in contexts], sampling)
        columns = {
            "instance": [context.failure.row["instance"] for context in contexts],
            CONTEXT_COLUMN: list(contexts),
        }
        scored = self._score_rows([completion.ids for completion in completions], columns, update=0)
        return [score is not None and score.outcome for score in scored]

    def demonstration(self, row: dict[str, Any]) -> str:
        """The reference message of a row: its calls, or the words that end a turn."""
        return render_calls(self.instances[row["instance"]].reference) or CLOSING_TEXT

    def trace(self, rollout: Rollout) -> Trace:
        """What a rollout called, beside the reference."""
        instance = self.instances[rollout.row["instance"]]
        return Trace([parse_message(rollout.text).calls], [0], {0: instance.reference}, instance.tools)

    def best_reward(self, update: int) -> float:
        """The largest R that can be had at an update."""
        return self._reward.best(update)

    def take_counts(self) -> dict[str, int]:
        """What was met since the last call and could not be used."""
        counts, self._counts = dict(self._counts), Counter()
        return counts

    def score(
        self, instance: StepInstance, context: CorrectiveContext | None, parsed: ParsedMessage, tokens: int, update: int
    ) -> RewardBreakdown:
        """R of one message at `instance`, or at the corrective context that a failure there led to."""
        step = ScoredStep(
            text=parsed.content,
            calls=parsed.calls,
            format_error=parsed.error,
            completion_length=tokens,
            reference=instance.reference if context is None else context.failure.reference,
            reference_length=len(self._chat.tokenize(render_calls(instance.reference) or CLOSING_TEXT)),
            tools=instance.tools,
        )
        if context is not None and context.failure.recovery_target is RecoveryTarget.STATE:
            _, _, reached = self._execute(_start(context), parsed.calls, instance.target)
            return self._reward.score(step, update, correctness=float(reached))
        breakdown = self._reward.score(step, update)
        if breakdown.outcome or not parsed.calls:
            return breakdown
        start = instance.snapshot if context is None else _start(context)
        _, _, reached = self._execute(start, parsed.calls, instance.target)
        return self._reward.score(step, update, correctness=1.0) if reached else breakdown

    def _score_rows(
        self, completion_ids: Sequence[Sequence[int]], columns: dict[str, Any], update: int
    ) -> list[RewardBreakdown | None]:
        if self._latest is not None and self._latest[0] is completion_ids:
            return self._latest[1]
        answers = columns.get(ANSWER_COLUMN, completion_ids)
        scored: list[RewardBreakdown | None] = []
        for ids, index, context in zip(answers, columns["instance"], columns[CONTEXT_COLUMN], strict=True):
            parsed = parse_message(self._chat.decode(ids))
            try:
                scored.append(self.score(self.instances[index], context, parsed, len(ids), update))
            except InfrastructureError:
                scored.append(None)
                self._counts["infrastructure_failures"] += 1
        self._latest = completion_ids, scored
        return scored

    def _execute(
        self, start: Snapshot, calls: Sequence[ToolCall], target: Snapshot | None
    ) -> tuple[tuple[ToolResult, ...], Snapshot | None, bool]:
        """Runs `calls` from a fork of `start`, stopping at the first that errs.

        Returns:
            the results, the state where it changed (else None), and whether `target` was reached.
        """
        results: list[ToolResult] = []
        with guarded():
            self._environment.restore(start)
            for call in calls:
                results.append(self._environment.call(call))
                if results[-1].is_error:
                    break
            changed = None if self._environment.same_state(start) else self._environment.snapshot()
            reached = target is not None and bool(calls) and self._environment.matches(target)
        return tuple(results), changed, reached

    def _way_back(self, changed: Snapshot, instance: StepInstance) -> tuple[ToolCall, ...] | None:
        """Calls that lead from the changed state to S* in one message: the reference, or what is left of it."""
        for first in range(len(instance.reference)):
            rest = instance.reference[first:]
            results, _, reached = self._execute(changed, rest, instance.target)
            if reached and not any(result.is_error for result in results):
                return rest
        return None


def _start(context: CorrectiveContext) -> Snapshot:
    """Where a recovery starts; failures of `StepTasks` always carry it."""
    assert context.failure.snapshot is not None
    return context.failure.snapshot
