"""How long prompts, corrective contexts and whole dialogues are in tokens, against what a recipe allows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fission_grpo.chat.parsing import render_calls
from fission_grpo.chat.template import ChatFormat
from fission_grpo.environments.registry import make_environment
from fission_grpo.environments.replay import CLOSING_TEXT, replay_reference
from fission_grpo.environments.steps import StepInstance, step_instance, step_places
from fission_grpo.fission.context import build_context
from fission_grpo.recipe import Recipe
from fission_grpo.simulators.fixed import FixedSimulator
from fission_grpo.tasks.task import Task
from fission_grpo.types import Failure, FailureKind

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Lengths:
    """Tokens of texts against what is allowed.

    Attributes:
        bound: most tokens that the recipe allows, and `setting`, its key.
        over: texts that are longer.
    """

    name: str
    count: int
    median: int
    p95: int
    longest: int
    bound: int
    setting: str
    over: int

    @classmethod
    def of(cls, name: str, tokens: Sequence[int], bound: int, setting: str) -> "Lengths":
        """Summarises lengths; there must be some."""
        ordered = sorted(tokens)
        last = len(ordered) - 1
        return cls(
            name=name,
            count=len(ordered),
            median=ordered[round(0.5 * last)],
            p95=ordered[round(0.95 * last)],
            longest=ordered[last],
            bound=bound,
            setting=setting,
            over=sum(length > bound for length in ordered),
        )


def step_lengths(
    recipe: Recipe, tasks: Sequence[Task], chat: ChatFormat | None, progress: Progress
) -> tuple[int, tuple[Lengths, ...]]:
    """Step instances that fit, and the lengths of all."""
    environment = make_environment(recipe.environment)
    places = list(step_places(tasks))
    measured: list[tuple[int, int, int]] = []
    for done, place in enumerate(places, start=1):
        instance = step_instance(environment, place)
        if chat is not None:
            measured.append(_measure(instance, chat))
        progress("Rendering step instances", done, len(places))
    if not measured:
        return len(places), ()
    prompts, contexts, references = zip(*measured, strict=True)
    bound = recipe.rollout.max_context_tokens
    found = [
        Lengths.of("prompts", prompts, bound, "rollout.max_context_tokens"),
        Lengths.of("reference messages", references, recipe.rollout.max_new_tokens, "rollout.max_new_tokens"),
    ]
    if recipe.recovers:
        found.append(
            Lengths.of("corrective contexts", contexts, recipe.fission.max_context_tokens, "fission.max_context_tokens")
        )
    return len(places) - found[0].over, tuple(found)


def _measure(instance: StepInstance, chat: ChatFormat) -> tuple[int, int, int]:
    """Tokens of the prompt, of the corrective context after a failure as long as the reference, and of the reference."""
    prompt = chat.render(instance.messages, instance.tools)
    text = render_calls(instance.reference) or CLOSING_TEXT
    message = chat.tokenize(text)
    failure = Failure(
        task_id=instance.task.id,
        scenario=instance.task.scenario,
        messages=instance.messages,
        tools=instance.tools,
        prompt_ids=tuple(prompt),
        completion_ids=tuple(message),
        text=text,
        calls=instance.reference,
        results=(),
        kind=FailureKind.WRONG_ARGUMENTS if instance.reference else FailureKind.MISSING_CALL,
        call_index=0 if instance.reference else None,
    )
    context = build_context(failure, FixedSimulator().diagnose([failure])[0], chat, max_tokens=1 << 62)
    assert context is not None  # nothing is too long for that bound
    return len(prompt), len(context.prompt_ids), len(message)


def episode_lengths(
    recipe: Recipe, tasks: Sequence[Task], chat: ChatFormat | None, progress: Progress
) -> tuple[int, tuple[Lengths, ...]]:
    """Tasks, and the lengths of their openings and of the whole reference dialogues."""
    if chat is None:
        return len(tasks), ()
    environment = make_environment(recipe.environment)
    openings: list[int] = []
    dialogues: list[int] = []
    for done, task in enumerate(tasks, start=1):
        openings.append(len(chat.render(environment.reset(task), environment.tools)))
        last = len(task.turns) - 1
        messages = replay_reference(environment, task, last, len(task.turns[last].reference))
        dialogues.append(len(chat.render(messages, environment.tools)))
        progress("Rendering reference dialogues", done, len(tasks))
    bound = recipe.rollout.max_context_tokens - recipe.rollout.max_new_tokens  # an episode ends where no message fits
    setting = "rollout.max_context_tokens - max_new_tokens"
    return len(tasks), (
        Lengths.of("opening prompts", openings, bound, setting),
        Lengths.of("reference dialogues", dialogues, bound, setting),
    )
