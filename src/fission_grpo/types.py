"""The data that travels along the road: step -> trajectory -> failure -> feedback -> corrective context.

Messages are OpenAI chat messages and tools are JSON-schema function tools at every boundary. Everything here is a frozen
dataclass: a value that was once recorded is never changed, only replaced.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

from fission_grpo.errors import FormatError

Message = dict[str, Any]
"""An OpenAI chat message: `{"role": ..., "content": ..., "tool_calls": [...]}`."""
Tool = dict[str, Any]
"""An OpenAI function tool: `{"type": "function", "function": {"name", "description", "parameters"}}`."""


class StopReason(StrEnum):
    """Why a completion or a trajectory ended."""

    END = "end"
    """Completion: the policy closed its turn with an end token."""
    LENGTH = "length"
    """Completion: the token limit of one message was reached."""
    COMPLETED = "completed"
    """Trajectory: the environment had no further user turn."""
    STEP_LIMIT = "step_limit"
    """Trajectory: too many assistant messages within one user turn."""
    TOKEN_LIMIT = "token_limit"
    """Trajectory: the context no longer fits the policy."""
    INFRASTRUCTURE = "infrastructure"
    """Trajectory: the environment itself failed; masked and counted, never trained on."""


@dataclass(frozen=True)
class ToolCall:
    """One call as the policy wrote it, after parsing."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class ToolResult:
    """What the environment answered to one call.

    Attributes:
        content: the text the policy sees.
        is_error: the call *erred* (METHOD: a call errs when the environment answers with an error).
        is_soft_failure: the call ran but reports a failed outcome (`login_status: false`); counted apart from errors.
    """

    content: str
    is_error: bool = False
    is_soft_failure: bool = False


@dataclass(frozen=True)
class Snapshot:
    """An opaque, picklable state of an environment, from which any number of siblings can be restored."""

    data: bytes


@dataclass(frozen=True)
class Verdict:
    """The environment's judgement of an episode.

    Attributes:
        solved: all turns right.
        turns: for every turn *finished so far*, whether state and results were right at its end, in order.
        detail: why not, for a reader.
    """

    solved: bool
    turns: tuple[bool, ...] = ()
    detail: str = ""


@dataclass(frozen=True)
class Completion:
    """What a policy sampled for one prompt: `ids` (T,) with the end token when one was sampled, `logprobs` (T,)."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    stop_reason: StopReason


@dataclass(frozen=True)
class Step:
    """One assistant message of a trajectory, and what came back.

    Attributes:
        turn: index of the user turn it belongs to.
        prompt_ids: the context as token ids, exactly what was fed to the policy.
        completion: the sampled ids, kept and never re-rendered.
        text: the decoded completion without its end token.
        calls: the parsed calls; empty for plain text or a format error.
        format_error: why the text could not be read, or None.
        results: one per *executed* call, in order; a step may stop at its first erring call.
        snapshot: the environment before this step.
    """

    turn: int
    prompt_ids: tuple[int, ...]
    completion: Completion
    text: str
    calls: tuple[ToolCall, ...] = ()
    format_error: FormatError | None = None
    results: tuple[ToolResult, ...] = ()
    snapshot: Snapshot | None = None

    @property
    def erred(self) -> bool:
        """Whether the message was unreadable or one of its calls erred."""
        return self.format_error is not None or any(result.is_error for result in self.results)


@dataclass(frozen=True)
class TakenBack:
    """What an episode played and took back, so that its steps do not show it (`rollout/purifying.py`).

    Attributes:
        repairs: how often a failed message was replaced.
        sampled_tokens: written for it, less what came to stand in the episode.
        read_tokens: read for it: answers to what was taken back, and the repaired messages once more.
    """

    repairs: int = 0
    sampled_tokens: int = 0
    read_tokens: int = 0


@dataclass(frozen=True)
class Trajectory:
    """One episode of one policy on one task.

    Attributes:
        messages: the whole dialogue as chat messages, system and user messages included.
        verdict: None where the infrastructure failed.
        taken_back: what it cost beside its steps.
        fault: what the infrastructure said where it failed.
    """

    task_id: str
    scenario: str
    steps: tuple[Step, ...]
    messages: tuple[Message, ...]
    stop_reason: StopReason
    verdict: Verdict | None
    tags: tuple[str, ...] = ()
    taken_back: TakenBack = TakenBack()
    fault: str = ""

    @property
    def solved(self) -> bool:
        return self.verdict is not None and self.verdict.solved


class FailureKind(StrEnum):
    """The taxonomy shared by failures, simulators, metrics and reports (`docs/method.md`, taxonomy)."""

    MALFORMED_CALL = "malformed_call"
    UNKNOWN_TOOL = "unknown_tool"
    SCHEMA_VIOLATION = "schema_violation"
    RUNTIME_ERROR = "runtime_error"
    REPEATED_FAILING_CALL = "repeated_failing_call"
    WRONG_TOOL = "wrong_tool"
    WRONG_ARGUMENTS = "wrong_arguments"
    MISSING_CALL = "missing_call"
    SUPERFLUOUS_CALL = "superfluous_call"
    STEP_LIMIT = "step_limit"


class RuntimeErrorKind(StrEnum):
    """What an environment's error text says went wrong."""

    NOT_FOUND = "not_found"
    LOGIN_REQUIRED = "login_required"
    LOGIN_FAILED = "login_failed"
    ALREADY_EXISTS = "already_exists"
    INVALID_VALUE = "invalid_value"
    INVALID_TYPE = "invalid_type"
    PRECONDITION = "precondition"
    OTHER = "other"


class FeedbackLevel(IntEnum):
    """How much a feedback tells (METHOD 6, escalation). Never the answer, at any level."""

    RAW = 0
    """The environment's own error text, or the fixed sentence where there is none."""
    KIND = 1
    """What kind of mistake it was."""
    PARAMETER = 2
    """The tool and parameter that are at fault."""
    FULL = 3
    """A full diagnosis: the problem, where it is, and what to look at."""


class RecoveryTarget(StrEnum):
    """What a recovery is scored against (METHOD 6)."""

    REFERENCE = "reference"
    """The failed message left the state unchanged: the reference calls still apply."""
    STATE = "state"
    """The failed message changed the state: only reaching the target state counts."""
    VERDICT = "verdict"
    """Episodes: the environment's final verdict."""
    REWARD = "reward"
    """No live environment (drop-in datasets): the user's own reward functions judge the recovery."""


@dataclass(frozen=True)
class Failure:
    """A rollout that went wrong, at the point where it did: the raw material of fission.

    It carries no feedback: that is made when the failure is *popped* from the pool, so it is never stale.

    Attributes:
        task_id: the task, for bookkeeping; `scenario` is what splits and intervals are clustered by.
        messages: x, the dialogue the failed message answered, as chat messages.
        tools: the tools that x offered.
        prompt_ids: x as token ids.
        completion_ids: tau_err token for token as sampled, end token included when sampled.
        text: tau_err decoded.
        calls: the calls parsed from it (empty when malformed or plain text).
        results: the environment's answers, one per executed call; execution stops at the first erring call.
        kind: the established failure kind; `error_kind` refines runtime errors.
        call_index: which of `calls` is at fault, None where none is.
        reference: y*, the reference calls at this point (empty where unknown or where nothing should be called).
        recovery_target: how a recovery is judged.
        snapshot: where recoveries start; None without a live environment.
        target: S*, the state after y*; only for `RecoveryTarget.STATE`.
        turn: index of the user turn.
        update: number of policy updates done when it was mined.
        attempt: how many recovery groups this context has already had.
        level: how much the next feedback may tell.
        siblings: how many rollouts of its own group succeeded, and how many failed (itself included).
        row: the dataset row's remaining columns, handed back to reward functions.
    """

    task_id: str
    scenario: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    text: str
    calls: tuple[ToolCall, ...]
    results: tuple[ToolResult, ...]
    kind: FailureKind
    error_kind: RuntimeErrorKind | None = None
    format_error: FormatError | None = None
    call_index: int | None = None
    reference: tuple[ToolCall, ...] = ()
    recovery_target: RecoveryTarget = RecoveryTarget.REFERENCE
    snapshot: Snapshot | None = None
    target: Snapshot | None = None
    turn: int = 0
    update: int = 0
    attempt: int = 0
    level: FeedbackLevel = FeedbackLevel.FULL
    siblings: tuple[int, int] = (0, 0)
    row: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def key(self) -> str:
        """Identity of `(x, tau_err)`, by which the pool deduplicates (METHOD 2)."""
        digest = hashlib.sha256()
        for ids in (self.prompt_ids, self.completion_ids):
            digest.update(len(ids).to_bytes(8, "little"))
            for token in ids:
                digest.update(token.to_bytes(4, "little"))
        return digest.hexdigest()

    @property
    def failed_call(self) -> ToolCall | None:
        """The call at fault, where one was parsed."""
        return None if self.call_index is None else self.calls[self.call_index]

    @property
    def error_text(self) -> str | None:
        """The environment's own words about the failed call, or None where it did not err."""
        return next((result.content for result in self.results if result.is_error), None)


@dataclass(frozen=True)
class Feedback:
    """What a simulator says about a failure.

    Attributes:
        text: what the policy will read.
        source: which simulator wrote it (`fixed`, `environment`, `rules`, ...), counted in the metrics.
        level: how much it tells.
        kind: the failure kind it diagnoses, None where it claims none; compared with the established kind (alignment).
        replaced: the source whose feedback failed or leaked and that this one stands in for.
        reason: why that source's own words could not be used, where it says so itself (counted in the metrics).
    """

    text: str
    source: str
    level: FeedbackLevel
    kind: FailureKind | None = None
    replaced: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class CorrectiveContext:
    """`x_corr = [x ; tau_err ; f]`, ready for G' recovery rollouts.

    Attributes:
        failure: where it came from.
        feedback: f.
        messages: x_corr as chat messages.
        prompt_ids: x_corr as token ids; `failure.completion_ids` stands in it token for token.
        dropped_messages: how many old messages were left out to fit the length bound (never silently: counted).
    """

    failure: Failure
    feedback: Feedback
    messages: tuple[Message, ...]
    prompt_ids: tuple[int, ...]
    dropped_messages: int = 0
