"""What feedback does for a policy: how often it recovers, and how much of the answer the feedback alone gives away."""

from collections.abc import Sequence

from fission_grpo.chat.parsing import parse_message, render_calls
from fission_grpo.chat.template import ChatFormat
from fission_grpo.evaluation.records import EpisodeRecord
from fission_grpo.failures import same_call
from fission_grpo.fission.context import build_context
from fission_grpo.rollout.policy import Policy, Sampling
from fission_grpo.training.simulator.sampling import Playground
from fission_grpo.types import Failure, Feedback, FeedbackLevel

RECOVERED = "recovered"
"""Metric of `recoveries`: recoveries that are right, of all."""
ANSWERED, ANSWERED_SECRET = "answered", "answered_secret"
"""Metrics of `blind_answers`: answers that are the reference calls, of all, and of those for failures `with_secret`."""


def recoveries(
    playground: Playground, failures: Sequence[Failure], feedbacks: Sequence[Feedback], samples: int, seed: int
) -> list[EpisodeRecord]:
    """Lets the policy recover from every failure, given its feedback, `samples` times; one record a failure.

    A context that does not fit the policy counts as never recovered from, whoever's feedback it holds.
    """
    limit = playground.recipe.fission.max_context_tokens
    pairs = zip(failures, feedbacks, strict=True)
    contexts = [build_context(failure, feedback, playground.chat, limit) for failure, feedback in pairs]
    repeated = [context for context in contexts if context is not None for _ in range(samples)]
    outcomes = iter(playground.tasks.recover(repeated, playground.policy, playground.sampling(seed)))
    return [
        _record(failure, 0 if context is None else sum(next(outcomes) for _ in range(samples)), samples, RECOVERED)
        for failure, context in zip(failures, contexts, strict=True)
    ]


def blind_answers(
    reader: Policy,
    chat: ChatFormat,
    failures: Sequence[Failure],
    feedbacks: Sequence[Feedback],
    sampling: Sampling,
    samples: int,
) -> list[EpisodeRecord]:
    """Lets a reader answer from schema and feedback alone, without the dialogue (docs/method.md, answer gain)."""
    prompts = [
        chat.render([{"role": "user", "content": feedback.text}], failure.tools)
        for failure, feedback in zip(failures, feedbacks, strict=True)
    ]
    completions = iter(reader.generate([ids for ids in prompts for _ in range(samples)], sampling))
    texts = [[chat.decode(next(completions).ids) for _ in range(samples)] for _ in failures]
    return [
        _record(
            failure,
            sum(_is_reference(text, failure) for text in answers),
            samples,
            *((ANSWERED, ANSWERED_SECRET) if with_secret(failure) else (ANSWERED,)),
        )
        for failure, answers in zip(failures, texts, strict=True)
    ]


def with_secret(failure: Failure) -> bool:
    """Whether the answer holds a value that neither the failed message nor the environment's words show.

    Only then is there a value to give away: an answer without arguments, or made of what the policy wrote itself, can be
    guessed from any honest diagnosis.
    """
    shown = f"{failure.text}\n{failure.error_text or ''}".casefold()
    values = [str(value) for call in failure.reference for value in call.arguments.values()]
    return any(value and value.casefold() not in shown for value in values)


def told_answer(failure: Failure) -> Feedback:
    """A feedback that is nothing but the answer: what a reader must be able to use, or its gain would mean nothing."""
    return Feedback(f"error: the right call is\n{render_calls(failure.reference)}", "answer", FeedbackLevel.FULL)


def _is_reference(text: str, failure: Failure) -> bool:
    calls = parse_message(text).calls
    return len(calls) == len(failure.reference) and all(
        same_call(call, target, failure.tools) for call, target in zip(calls, failure.reference, strict=True)
    )


def _record(failure: Failure, successes: int, samples: int, *metrics: str) -> EpisodeRecord:
    counts = dict.fromkeys(metrics, (successes, samples))
    return EpisodeRecord(failure.task_id, failure.scenario, 0, "", counts, tags=(failure.kind.value,))
