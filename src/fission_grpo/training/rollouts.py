"""`Rollout`: one scored row of a generation batch, and the functions that a user may pass to judge it.

outcome_fn(prompts, completions, completion_ids, **columns) -> list[bool]   one a row, called like a TRL reward function
failure_fn(rollout) -> Failure | None                                       what a failed exploration rollout teaches
prompt_fn(row) -> messages, tools                                           x of a row
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from fission_grpo.chat.parsing import parse_message
from fission_grpo.errors import UserError
from fission_grpo.failures import Diagnosis, classify_step
from fission_grpo.tasks.rows import messages_of, reference_of, tools_of
from fission_grpo.types import CorrectiveContext, Failure, FailureKind, Message, RecoveryTarget, Tool, ToolCall, Trajectory

CONTEXT_COLUMN = "corrective_context"
"""Column in which reward and outcome functions find a recovery row's context; None for exploration rows."""
ANSWER_COLUMN = "answer_ids"
"""Column in which they find the message to be judged, where a completion holds more than that (`methods/reflection.py`)."""


@dataclass(frozen=True)
class Rollout:
    """One row after generation and scoring.

    Attributes:
        row: the dataset row; `context` stands for it where this is a recovery.
        prompt_ids, completion_ids: what was fed and what came back, token for token.
        mask: 1 where a completion token is the policy's, 0 where it is the environment's (in an episode).
        text: the completion decoded without its end token; where it holds more than the judged message, that message.
        reward: the weighted sum of the reward functions, None where the infrastructure failed.
        outcome: the binary verdict.
        update: policy updates done before it was sampled.
        messages: x of an exploration rollout, where it is a dialogue; that of a recovery stands in `context`.
        trajectory: the episode, at episode granularity.
        copied: its completion was sampled in another row, and counts there.
    """

    row: Mapping[str, Any]
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    mask: tuple[int, ...]
    text: str
    reward: float | None
    outcome: bool
    update: int
    context: CorrectiveContext | None = None
    messages: Sequence[Message] = ()
    trajectory: Trajectory | None = None
    copied: bool = False

    @property
    def tokens(self) -> int:
        """Length of the whole sequence, prompt included."""
        return len(self.prompt_ids) + len(self.completion_ids)

    @property
    def sampled_tokens(self) -> int:
        """Tokens of it that the policy wrote; in an episode, the environment's lie between them."""
        return sum(self.mask)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Where in the completion each message of the policy begins and ends (S,)."""
        edges = [index for index, (left, right) in enumerate(pairwise((0, *self.mask, 0))) if left != right]
        return list(zip(edges[::2], edges[1::2], strict=True))


@dataclass(frozen=True)
class Trace:
    """What a rollout called, beside what the reference calls.

    Attributes:
        calls: of every message the policy wrote (S,).
        turns: the user turn of every message (S,).
        reference: the reference calls of every user turn that the rollout takes part in.
    """

    calls: Sequence[Sequence[ToolCall]]
    turns: Sequence[int]
    reference: Mapping[int, Sequence[ToolCall]]
    tools: Sequence[Tool]


FailureFn = Callable[[Rollout], Failure | None]
PromptFn = Callable[[dict[str, Any]], tuple[list[Message], list[Tool]]]


class OutcomeFn(Protocol):
    """Called like a TRL reward function; returns one bool a row."""

    def __call__(self, **columns: Any) -> Sequence[bool]: ...


def checked_outcomes(outcomes: Sequence[bool], rows: int) -> list[bool]:
    """What an `outcome_fn` returned, as bools.

    Raises:
        UserError: it is not one bool a row. (`bool` would make a success of any reward but 0.)
    """
    if len(outcomes) != rows:
        raise UserError(f"outcome_fn: {len(outcomes)} values found, {rows} allowed: one bool a row")
    odd = [each for each in outcomes if each not in (True, False)]
    if odd:
        raise UserError(
            f"outcome_fn: {odd[0]!r} found, True or False allowed; where the reward decides, leave outcome_fn out and set "
            "success_threshold in FissionGRPOConfig"
        )
    return [bool(each) for each in outcomes]


def checked_failure(failure: object) -> Failure | None:
    """What a `failure_fn` returned.

    Raises:
        UserError: it is neither a Failure nor None.
    """
    if failure is None or isinstance(failure, Failure):
        return failure
    raise UserError(f"failure_fn: {failure!r} found, a Failure is allowed, or None where nothing is to be learnt")


def prompt_of_row(row: dict[str, Any]) -> tuple[list[Message], list[Tool]]:
    """The default `prompt_fn`: the columns `prompt` and `tools`."""
    return messages_of(row), tools_of(row)


def failure_of_row(rollout: Rollout) -> Failure | None:
    """The default `failure_fn`: for datasets without a live environment.

    Kind and calls come from the text, the row's tools and, where the row has one, its `reference`. Its recovery is judged by
    the user's own reward functions, which receive the row's columns again.
    """
    if rollout.outcome or rollout.reward is None:
        return None
    messages = messages_of(rollout.row) if rollout.context is None else list(rollout.context.messages)
    tools, reference = tools_of(rollout.row), reference_of(rollout.row)
    parsed = parse_message(rollout.text)
    diagnosis = classify_step(parsed.calls, parsed.error, (), reference, tools)
    if diagnosis is None:  # the calls are valid and nothing says what is wrong with them: still a failure, by its reward
        diagnosis = Diagnosis(FailureKind.WRONG_ARGUMENTS if parsed.calls else FailureKind.MISSING_CALL)
    return Failure(
        task_id=str(rollout.row.get("id", "")),
        scenario=str(rollout.row.get("scenario", "")),
        messages=tuple(messages),
        tools=tuple(tools),
        prompt_ids=rollout.prompt_ids,
        completion_ids=rollout.completion_ids,
        text=rollout.text,
        calls=parsed.calls,
        results=(),
        kind=diagnosis.kind,
        format_error=parsed.error,
        call_index=diagnosis.call_index,
        reference=reference or (),
        recovery_target=RecoveryTarget.REWARD,
        update=rollout.update,
        row=dict(rollout.row),
    )
