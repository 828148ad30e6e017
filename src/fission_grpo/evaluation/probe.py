"""Probe recovery: every policy continues from the same frozen error contexts, up to the end of the user turn.

A context counts as recovered when the turn of the error ends right, in state and results, by the environment's verdict.
"""

import time
from collections.abc import Callable, Sequence

from fission_grpo.environments.base import Environment
from fission_grpo.environments.one_turn import OneTurn
from fission_grpo.errors import InfrastructureError
from fission_grpo.evaluation.evaluate import AT_ONCE, EvaluationResult, Progress, record_all
from fission_grpo.evaluation.metrics import Ratio, same_text
from fission_grpo.evaluation.probe_set import ErrorContext, restore_context
from fission_grpo.evaluation.records import EpisodeRecord
from fission_grpo.rollout.driver import never_begun, stream_episodes
from fission_grpo.rollout.episode import Chat, EpisodeLimits, EpisodeStart
from fission_grpo.rollout.policy import Policy, Sampling
from fission_grpo.rollout.usage import usage_of
from fission_grpo.tasks.task import Task
from fission_grpo.types import Trajectory

PROBE_METRICS = ("probe_recovery", "probe_repeat")
"""`probe_recovery`: continuations whose turn ends right, of all. `probe_repeat`: those whose first message makes the failed
call again and errs again, of all."""


def continue_probe(
    policy: Policy,
    chat: Chat,
    contexts: Sequence[ErrorContext],
    make_environment: Callable[[Task], Environment],
    *,
    samples: int = 4,
    temperature: float = 1.0,
    seed: int = 0,
    limits: EpisodeLimits | None = None,
    max_new_tokens: int = 128,
    progress: Progress | None = None,
) -> EvaluationResult:
    """Continues every context `samples` times; the result's metrics are `PROBE_METRICS`.

    The records' tags hold those of the task and the context's source, so that either kind can be counted alone. Contexts
    are rendered by the policy's own chat format: the same dialogue for every policy, whoever's failure it was.

    Raises:
        UserError: the environment does not answer as it did when the probe set was made.
    """
    started = time.perf_counter()
    probes = [(context, sample) for context in contexts for sample in range(samples)]
    starts = (_start(context, make_environment, chat) for context, _ in probes)
    sampling = Sampling(temperature, max_new_tokens=max_new_tokens, seed=seed)
    played = stream_episodes(starts, make_environment, policy, chat, limits or EpisodeLimits(), sampling, at_once=AT_ONCE)
    records = record_all(played, lambda place, trajectory: _record(*probes[place], trajectory), len(probes), progress)
    settings = {"contexts": len(contexts), "samples": samples, "temperature": temperature, "seed": seed}
    return EvaluationResult(records, settings, time.perf_counter() - started)


def _start(context: ErrorContext, make_environment: Callable[[Task], Environment], chat: Chat) -> EpisodeStart | Trajectory:
    """The context in a live environment, or what is over already where the infrastructure failed."""
    try:
        environment = make_environment(context.task)
        restore_context(context, environment)
        prompt_ids = chat.render(context.messages, environment.tools)
    except InfrastructureError as error:
        return never_begun(context.task, str(error))
    return EpisodeStart(context.task, OneTurn(environment), context.messages, tuple(prompt_ids), context.turn)


def _record(context: ErrorContext, sample: int, trajectory: Trajectory) -> EpisodeRecord:
    ratios = (_recovered(context, trajectory), _repeated(context, trajectory))
    masked = trajectory.verdict is None
    usage = usage_of([trajectory])
    return EpisodeRecord(
        task_id=context.task.id,
        scenario=context.task.scenario,
        sample=sample,
        stop_reason=trajectory.stop_reason.value,
        counts={name: (r.numerator, r.denominator) for name, r in zip(PROBE_METRICS, ratios, strict=True)},
        tags=(*context.task.tags, context.source),
        masked=masked,
        steps=len(trajectory.steps),
        prefill_tokens=usage.prefill_tokens,
        sampled_tokens=usage.sampled_tokens,
    )


def _recovered(context: ErrorContext, trajectory: Trajectory) -> Ratio:
    if trajectory.verdict is None:
        return Ratio()
    judged = trajectory.verdict.turns
    return Ratio(int(context.turn < len(judged) and judged[context.turn]), 1)


def _repeated(context: ErrorContext, trajectory: Trajectory) -> Ratio:
    if trajectory.verdict is None:
        return Ratio()
    first = trajectory.steps[0] if trajectory.steps else None
    pairs = zip(first.calls, first.results, strict=False) if first else ()
    return Ratio(int(any(result.is_error and same_text(call, context.failed) for call, result in pairs)), 1)
