"""Demonstrations for the bundled policy: it learns to call tools well, and to recover badly.

The reference calls of generated tasks are played in the real environment. Where a task invites a careless call, most
demonstrations make it, read what comes back (the environment's error text, or a simulator's feedback at any level), and
only a third of them go on with the reference; the others repeat the call or give up. Recovery is thus a thing the policy
*can* do but seldom does: what reinforcement learning then has to amplify.

A few demonstrations hold a spoilt call instead (wrong argument, wrong tool, unreadable text), which is shown but not learnt,
so that every kind of feedback has been read once.
"""

from collections.abc import Iterator, Sequence
from random import Random

from fission_grpo.bundled.examples import Demonstration
from fission_grpo.bundled.slips import Slip, spoil
from fission_grpo.chat.parsing import parse_message, render_calls
from fission_grpo.environments.base import ComparableEnvironment
from fission_grpo.failures import Diagnosis, classify_step
from fission_grpo.fission.context import feedback_messages
from fission_grpo.simulators.fixed import FixedSimulator
from fission_grpo.simulators.rules import RulesSimulator
from fission_grpo.tasks.task import Task
from fission_grpo.types import Failure, FailureKind, FeedbackLevel, Message, ToolCall, ToolResult

POLICY_SEED = 26_011_562
"""Seed of the tasks behind the demonstrations. Training, validation and test tasks of experiments use other seeds."""
DONE = "Done."
"""How every turn ends."""

OPEN_HAZARD_SHARE = 0.75
"""How often an open hazard's careless call is made. A hidden one cannot be seen, so its careless call is always made."""
SPOILT_SHARE = 0.12
"""How often a turn without a careless call holds a spoilt one."""
SIMULATED_SHARE = 0.45
"""How often a mistake is answered by a simulator rather than by the environment's own words."""
RECOVERY_SHARE = {
    FeedbackLevel.RAW: 0.25,
    FeedbackLevel.KIND: 0.3,
    FeedbackLevel.PARAMETER: 0.35,
    FeedbackLevel.FULL: 0.4,
}
"""How often a mistake is recovered from at once, by how much the feedback told."""
LATE_RECOVERY = 0.3
"""A mistake that was repeated is recovered from this much less often."""
MAX_REPEATS = 2
REPEAT_SHARE = 0.6
"""How often a mistake that is not recovered from is repeated. Otherwise the turn is given up."""
REMINDED_SHARE = 0.25
"""How often giving up is answered by the feedback that a call is missing."""


def demonstrations(
    tasks: Sequence[Task], environment: ComparableEnvironment, seed: int = POLICY_SEED
) -> Iterator[Demonstration]:
    """One demonstration a task, reproducible from `seed`."""
    for task in tasks:
        yield _Player(task, environment, Random(f"{seed}:{task.id}")).play()


class _Player:
    """Plays one task once, well or badly."""

    def __init__(self, task: Task, environment: ComparableEnvironment, generator: Random) -> None:
        self._task = task
        self._environment = environment
        self._random = generator
        self._messages: list[Message] = environment.reset(task)
        self._tools = tuple(environment.tools)
        self._unlearned: set[int] = set()

    def play(self) -> Demonstration:
        for turn in range(len(self._task.turns)):
            if not self._play_turn(turn):
                break
            self._messages += self._environment.next_user_turn() or []
        return Demonstration(tuple(self._messages), self._tools, frozenset(self._unlearned))

    def _play_turn(self, turn: int) -> bool:
        """Plays one turn and says whether it was done to the end."""
        slip = self._choose_slip(turn)
        for step, calls in enumerate(self._task.turns[turn].reference):
            if slip is not None and step == slip.step and not self._stumble(slip, calls):
                return False
            self._act(calls)
        self._say(DONE)
        return True

    def _choose_slip(self, turn: int) -> Slip | None:
        for careless in self._task.careless:
            if careless.turn == turn:
                hidden = "hidden_hazard" in self._task.tags
                if hidden or self._random.random() < OPEN_HAZARD_SHARE:
                    return Slip(careless.step, render_calls([careless.call]), learned=True)
                return None
        reference = self._task.turns[turn].reference
        if not reference or self._random.random() >= SPOILT_SHARE:
            return None
        step = self._random.randrange(len(reference))
        return spoil(step, reference[step], self._tools, self._random)

    def _stumble(self, slip: Slip, expected: tuple[ToolCall, ...]) -> bool:
        """Makes a mistake, perhaps again, and says whether it is recovered from."""
        failed: list[ToolCall] = []
        level = self._random.choice(tuple(FeedbackLevel)) if self._random.random() < SIMULATED_SHARE else None
        for repeats in range(MAX_REPEATS + 1):
            if not self._mistake(slip, expected, level, failed):
                return True  # the spoilt call changed something: left out, and the reference goes on
            if self._recovers(level, LATE_RECOVERY if repeats else 1.0):
                return True
            if self._random.random() >= REPEAT_SHARE:
                break
        return self._give_up(expected)

    def _recovers(self, level: FeedbackLevel | None, factor: float = 1.0) -> bool:
        return self._random.random() < factor * RECOVERY_SHARE[level or FeedbackLevel.RAW]

    def _mistake(
        self, slip: Slip, expected: tuple[ToolCall, ...], level: FeedbackLevel | None, failed: list[ToolCall]
    ) -> bool:
        """Adds the failed message and its answer, unless the call turns out to be no harmless failure."""
        parsed = parse_message(slip.text)
        before = self._environment.snapshot()
        results = self._execute(parsed.calls)
        diagnosis = classify_step(
            parsed.calls, parsed.error, results, expected, self._tools, previous_failing_calls=tuple(failed)
        )
        if diagnosis is None or not self._environment.same_state(before):
            self._environment.restore(before)
            return False
        failure = self._failure(slip.text, parsed.calls, results, diagnosis, expected, level)
        simulator = FixedSimulator() if level is FeedbackLevel.RAW and self._random.random() < 0.5 else RulesSimulator()
        if not slip.learned and not failed:
            self._unlearned.add(len(self._messages))
        self._messages.append(_assistant(slip.text, parsed.calls))
        self._messages += feedback_messages(failure, simulator.diagnose([failure])[0])
        failed += parsed.calls or [ToolCall("")]
        return True

    def _failure(
        self,
        text: str,
        calls: tuple[ToolCall, ...],
        results: tuple[ToolResult, ...],
        diagnosis: Diagnosis,
        expected: tuple[ToolCall, ...],
        level: FeedbackLevel | None,
    ) -> Failure:
        return Failure(
            task_id=self._task.id,
            scenario=self._task.scenario,
            messages=tuple(self._messages),
            tools=self._tools,
            prompt_ids=(),
            completion_ids=(),
            text=text,
            calls=calls,
            results=results,
            kind=diagnosis.kind,
            error_kind=diagnosis.error_kind,
            format_error=parse_message(text).error,
            call_index=diagnosis.call_index,
            reference=expected,
            level=level or FeedbackLevel.RAW,
        )

    def _give_up(self, expected: tuple[ToolCall, ...]) -> bool:
        """Ends the turn undone; where a feedback insists on a call, some go on after all."""
        self._say(DONE)
        if self._random.random() >= REMINDED_SHARE:
            return False
        level = self._random.choice(tuple(FeedbackLevel))
        failure = self._failure(DONE, (), (), Diagnosis(FailureKind.MISSING_CALL), expected, level)
        self._messages += feedback_messages(failure, RulesSimulator().diagnose([failure])[0])
        if self._recovers(level):
            return True
        self._say(DONE)
        return False

    def _act(self, calls: tuple[ToolCall, ...]) -> None:
        self._messages.append(_assistant(render_calls(calls), calls))
        for call, result in zip(calls, self._execute(calls), strict=True):
            self._messages.append({"role": "tool", "name": call.name, "content": result.content})

    def _execute(self, calls: Sequence[ToolCall]) -> tuple[ToolResult, ...]:
        """Results up to the first erring call, as an episode has them."""
        results: list[ToolResult] = []
        for call in calls:
            results.append(self._environment.call(call))
            if results[-1].is_error:
                break
        return tuple(results)

    def _say(self, text: str) -> None:
        self._messages.append({"role": "assistant", "content": text})


def _assistant(text: str, calls: Sequence[ToolCall]) -> Message:
    """The chat message of an assistant's text; unreadable text stays text."""
    if not calls:
        return {"role": "assistant", "content": text}
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": {"name": c.name, "arguments": c.arguments}} for c in calls],
    }
