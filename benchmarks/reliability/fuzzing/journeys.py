"""Targets that go the whole road: episode, diagnosis, reward, feedback behind the leak guard, tokens, log and report."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from fission_grpo.chat.parsing import parse_message
from fission_grpo.environments.base import Environment
from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.environments.tau2 import Tau2Environment
from fission_grpo.failure_files import failure_from_json, failure_to_json
from fission_grpo.failures import classify_step, failure_point
from fission_grpo.fission.context import build_context
from fission_grpo.recipe.loading import check_recipe
from fission_grpo.reports.alignment import alignment_of
from fission_grpo.reports.data import GroupLog, Run
from fission_grpo.reports.html import render_report, run_report
from fission_grpo.rewards.base import ScoredStep
from fission_grpo.rewards.composite import CompositeReward, RewardSettings
from fission_grpo.rollout.driver import play_episodes
from fission_grpo.rollout.episode import EpisodeLimits, answers_to
from fission_grpo.rollout.policy import Sampling
from fission_grpo.simulators import EnvironmentSimulator, FallbackChain, RulesSimulator
from fission_grpo.simulators.answer import feedback_of
from fission_grpo.simulators.leak import leaks
from fission_grpo.simulators.prompt import diagnosis_prompt
from fission_grpo.tasks.task import Task
from fission_grpo.training.trajectory_log import LoggedRollout, exploration_record, recovery_record
from fission_grpo.types import (
    CorrectiveContext,
    Failure,
    FailureKind,
    Feedback,
    FeedbackLevel,
    StopReason,
    ToolCall,
    ToolResult,
    Trajectory,
)

from .hostile_values import CONTROL_TOKENS, INJECTIONS, VALUES
from .mutations import hermes, mutated_calls, mutated_text, shown
from .seeds import Seeds, bfcl_seeds, function_environment, function_seeds, tau2_seeds
from .targets import Outcome, Target, other_texts
from .tokens import HostilePolicy, chat_format

LIMITS = EpisodeLimits(steps_per_turn=4, context_tokens=40_000, answer_format_errors=True)
SAMPLING = Sampling(max_new_tokens=2_048)
_ERRORS = ("error: {}: No such file or directory", "Error during execution: {}", '{{"error": "{}"}}', "{}", "must be {}")
_REWARDS = (CompositeReward(), CompositeReward(RewardSettings(ordered=True)))


def _text_of(seeds: Seeds, rng: random.Random) -> tuple[str, str]:
    kind, calls = mutated_calls(rng, seeds.calls)
    text = hermes(calls)
    return mutated_text(rng, text, other_texts()) if rng.random() < 0.3 else (kind, text)


def tau2_message(rng: random.Random) -> Outcome:
    """One message in tau2's own orchestrator, forked and gone back; every one begins at the same place."""
    domain = rng.choice(("retail", "airline", "telecom"))
    seeds = tau2_seeds(domain)
    environment = _conversation(domain, rng)
    kind, text = _text_of(seeds, rng)
    parsed = parse_message(text)
    before = environment.snapshot()
    reply = environment.respond(parsed.content, parsed.calls)
    environment.restore(before)
    if rng.random() < 0.005:
        environment.conversation.end("AGENT_STOP")
        environment.verdict()
    return Outcome(kind, bool(reply.results) and not any(result.is_error for result in reply.results))


def _conversation(domain: str, rng: random.Random) -> Tau2Environment:
    if domain not in _CONVERSATIONS or rng.random() < 0.005:
        _CONVERSATIONS[domain] = Tau2Environment()
        _CONVERSATIONS[domain].reset(rng.choice(tau2_seeds(domain).tasks[:8]))
    return _CONVERSATIONS[domain]


_CONVERSATIONS: dict[str, Tau2Environment] = {}


def diagnosis(rng: random.Random) -> Outcome:
    """The kind of failure and the rewards of a message, whatever the environment answered."""
    kind, failure = _failure(rng)
    step = ScoredStep(failure.text, failure.calls, failure.format_error, 10, failure.reference, 10, failure.tools)
    for reward in _REWARDS:
        assert 0 <= reward.score(step, rng.choice((0, 100))).total < 10, "a reward out of its range"
    found = classify_step(
        failure.calls, failure.format_error, failure.results, failure.reference, failure.tools,
        previous_failing_calls=failure.calls[:50], ordered=rng.random() < 0.5,
    )  # fmt: skip
    return Outcome(kind, found is None)


def feedback(rng: random.Random) -> Outcome:
    """Feedback of the simulators that no model is asked for, and of a model that answers anything; the failure's file."""
    kind, failure = _failure(rng)
    simulators = rng.choice(([RulesSimulator()], [EnvironmentSimulator(), RulesSimulator()]))
    chosen = FallbackChain(simulators).diagnose([failure])[0]
    assert leaks(chosen.text, failure) is None, "a leak behind the guard"
    prompt = diagnosis_prompt(failure)[-1]["content"]
    assert prompt.count("\ncorrect calls (secret):") == 1, "data that passes for a heading of the prompt"
    answer = shown(VALUES[rng.choice(list(VALUES))](rng)) if rng.random() < 0.5 else rng.choice(INJECTIONS)
    feedback_of(rng.choice((answer, json.dumps({"kind": failure.kind, "message": answer}))), failure, "local")
    build_context(failure, chosen, chat_format(), max_tokens=20_000)
    written = json.dumps(failure_to_json(failure), ensure_ascii=False)
    written.encode()
    failure_from_json(json.loads(written))
    return Outcome(kind, chosen.source != "fixed")


def tokens(rng: random.Random) -> Outcome:
    """What a tool, a user or a model wrote becomes text, whatever control tokens it spells."""
    chat, kind = chat_format(), rng.choice(list(VALUES))
    hostile = shown(VALUES[kind](rng))[:5_000].encode("utf-8", "replace").decode()
    if rng.random() < 0.5:
        kind, hostile = "control token", hostile + "".join(rng.choice(CONTROL_TOKENS) for _ in range(rng.randrange(1, 5)))
    call = ToolCall("cd", {"folder": hostile})
    answers = answers_to([call], [ToolResult(hostile)])
    opening = [{"role": "user", "content": hostile}, chat.assistant_message(hermes([call])), *answers]
    neutral = [{"role": "user", "content": ""}, chat.assistant_message(hermes([ToolCall("cd", {"folder": ""})]))]
    neutral += answers_to([call], [ToolResult("")])
    ids, plain = chat.render(opening), chat.render(neutral)
    assert _turns(ids) == _turns(plain), "a control token forged by data"
    suffix = chat.extend([chat.turn_end_id], answers)
    assert _turns(suffix) == _turns(chat.extend([chat.turn_end_id], neutral[-1:])), "a control token forged by an answer"
    return Outcome(kind, True)


def _turns(ids: Sequence[int]) -> list[int]:
    return [token for token in ids if token in chat_format().control_ids]


def episode(rng: random.Random) -> Outcome:
    """A whole episode by the driver on a real environment, with its failure point."""
    seeds, make = _world(rng)
    kinds: list[str] = []

    def say(rng: random.Random) -> str:
        kind, text = _text_of(seeds, rng)
        kinds.append(kind)
        return rng.choice(("Done.", text, text, text))

    trajectory = _played(rng.choice(seeds.tasks), make, HostilePolicy(rng, say))
    failure_point(trajectory)
    masked = trajectory.stop_reason is StopReason.INFRASTRUCTURE
    return Outcome(kinds[0] if kinds else "random tokens", trajectory.solved, masked)


def _played(task: Task, make: Callable[[Task], Environment], policy: HostilePolicy) -> Trajectory:
    return play_episodes([task], make, policy, chat_format(), LIMITS, SAMPLING)[0]


def _world(rng: random.Random) -> tuple[Seeds, Callable[[Task], Environment]]:
    name = rng.choice(("bfcl", "bfcl", "bfcl", "retail", "functions"))
    if name == "bfcl":
        return bfcl_seeds(), lambda _task: BFCLEnvironment()
    if name == "functions":
        return function_seeds(), lambda _task: function_environment()
    return tau2_seeds(name), lambda _task: Tau2Environment()


def report(rng: random.Random) -> Outcome:
    """Groups as the trajectory log has them, written, read, and shown in the report with its viewer."""
    kind, failure = _failure(rng)
    chosen = RulesSimulator().diagnose([failure])[0]
    hostile = shown(VALUES[rng.choice(list(VALUES))](rng))[:20_000].encode("utf-8", "replace").decode()
    page = _page(hostile[:100], failure, chosen)
    page.encode()
    assert page.count("<script") == _scripts(), "a script that the page did not have"
    assert "\x1b" not in page and "\u202e" not in page, "a control character in the page"
    return Outcome(kind, True)


def _page(name: str, failure: Failure, chosen: Feedback) -> str:
    """The report of a run with one group of either kind; `name` stands wherever a task or a run is named."""
    rollout = LoggedRollout(name, name, failure.messages, failure.text, [(failure.text, True)], float("nan"), False, 0.0)
    lines = [
        json.dumps(exploration_record(1, [rollout])),
        json.dumps(recovery_record(1, CorrectiveContext(failure, chosen, (), ()), [rollout])),
    ]
    first, second = (GroupLog([json.loads(line)], 0, 1) for line in lines)
    run = Run(name, Path("run"), check_recipe({}), {}, (), first, second, alignment_of(()), None, None)
    return render_report(run_report([run], name))


@cache
def _scripts() -> int:
    made, kind = ((ToolCall("ls"),), (ToolResult("e", True),)), FailureKind.RUNTIME_ERROR
    plain = Failure("t", "s", (), (), (), (), "x", *made, kind, call_index=0)
    return _page("x", plain, RulesSimulator().diagnose([plain])[0]).count("<script")


def _failure(rng: random.Random) -> tuple[str, Failure]:
    """A failure as an episode leaves it: a hostile message, answered by an environment that quotes it."""
    seeds = rng.choice((bfcl_seeds(), bfcl_seeds(), tau2_seeds("retail")))
    kind, text = _text_of(seeds, rng)
    parsed = parse_message(text)
    quoted = shown(VALUES[rng.choice(list(VALUES))](rng)) if rng.random() < 0.3 else str(text[40:400])
    quoted = quoted.encode("utf-8", "replace").decode()
    results = tuple(ToolResult(rng.choice(_ERRORS).format(quoted), rng.random() < 0.7) for _ in parsed.calls)
    reference = tuple(rng.choice(seeds.calls) for _ in range(rng.randrange(4)))
    found = classify_step(parsed.calls, parsed.error, results, reference, seeds.tools)
    messages = (
        {"role": "system", "content": "You may call tools."},
        {"role": "user", "content": quoted[:2_000]},
    )
    return kind, Failure(
        task_id="t", scenario="s", messages=messages, tools=tuple(seeds.tools), prompt_ids=(1, 2), completion_ids=(3, 4),
        text=text.encode("utf-8", "replace").decode(), calls=parsed.calls, results=results,
        kind=found.kind if found else FailureKind.STEP_LIMIT, error_kind=found.error_kind if found else None,
        format_error=parsed.error, call_index=found.call_index if found else None, reference=reference,
        level=rng.choice(list(FeedbackLevel)),
    )  # fmt: skip


JOURNEYS: Mapping[str, Target] = {
    "tau2 message": tau2_message,
    "diagnosis and reward": diagnosis,
    "feedback and leak guard": feedback,
    "tokens": tokens,
    "episode": episode,
    "log and report": report,
}
"""Targets that go through several parts of the product."""
