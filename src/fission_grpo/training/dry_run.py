"""`fission train --dry-run`: everything but the weights. Resolves the recipe, makes the tasks, renders the prompts with the
model's own tokenizer, and says how long they are, what an update is made of, and how much memory it will take."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from peft import LoraConfig
from transformers import AutoConfig, PreTrainedConfig

from fission_grpo.chat.parsing import render_calls
from fission_grpo.chat.template import ChatFormat
from fission_grpo.chat.tool_template import shows_tools
from fission_grpo.environments.registry import make_environment
from fission_grpo.environments.replay import CLOSING_TEXT, replay_reference
from fission_grpo.environments.steps import StepInstance, step_instance, step_places
from fission_grpo.errors import UserError
from fission_grpo.fission.context import build_context
from fission_grpo.recipe import Recipe
from fission_grpo.recipe.loading import check_recipe
from fission_grpo.recipe.schema import LoraSection
from fission_grpo.rollout.loading import load_tokenizer, resolve_model
from fission_grpo.simulators.fixed import FixedSimulator
from fission_grpo.tasks.task import Task
from fission_grpo.training.config import FissionGRPOConfig
from fission_grpo.training.memory import ROWS_DECODED, MemoryEstimate, ModelSize, Workload, estimate_memory, model_size
from fission_grpo.training.runs import lora_config, quieten, tasks_of, trainer_config, trainer_fields
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
        at = [ordered[round(share * (len(ordered) - 1))] for share in (0.5, 0.95, 1.0)]
        return cls(name, len(ordered), *at, bound, setting, over=sum(length > bound for length in ordered))


@dataclass(frozen=True)
class BatchPlan:
    """What one generation batch holds, over all processes.

    Attributes:
        rows, group: N and G. recoveries, siblings: rN and G', of a triggered batch.
        updates: policy updates made from one such batch.
    """

    rows: int
    group: int
    recoveries: int
    siblings: int
    updates: int

    def updates_per_epoch(self, instances: int) -> int:
        """Updates until every instance was explored once, where no recovery displaces one."""
        return instances // (self.rows // self.group) * self.updates


@dataclass(frozen=True)
class DryRun:
    """What a dry run found.

    Attributes:
        instances: rows of the training set: step instances, or whole tasks at granularity `episode`.
        lengths: empty where there is no tokenizer.
        memory: what the recipe trains first; `all weights` and `LoRA`. Empty where there is no configuration.
        problems: what stops the run or makes it pointless, each a sentence.
    """

    tasks: int
    instances: int
    plan: BatchPlan
    max_steps: int
    lengths: tuple[Lengths, ...]
    size: ModelSize | None
    memory: dict[str, MemoryEstimate]
    work: Workload
    problems: tuple[str, ...]


def dry_run(recipe: Recipe, progress: Progress) -> DryRun:
    """Checks a recipe as `runs.train` would, and writes nothing.

    Raises:
        UserError: a mistake in the recipe or its tasks. A model that cannot be reached is a problem of the result instead,
            so that the rest is still seen.
    """
    quieten()
    check_recipe(recipe.model_dump(exclude_none=True), trainer_fields=trainer_fields())
    args = trainer_config(recipe, Path("runs"))
    plan = _plan(args)
    progress("Making tasks", 0, 1)
    tasks = tasks_of(recipe.tasks.train, "train", recipe.environment)
    problems: list[str] = []
    chat, config = _model(recipe.model, problems)
    instances, lengths = (_steps if recipe.granularity == "step" else _episodes)(recipe, tasks, chat, progress)
    if instances < plan.rows // plan.group:
        problems.append(
            f"{instances} instances fit, at least {plan.rows // plan.group} are needed: one generation batch of {plan.rows} "
            f"rows in groups of {plan.group}"
        )
    work = _workload(recipe, args, lengths)
    size = None if config is None else model_size(config, lora_config(recipe))
    return DryRun(
        tasks=len(tasks),
        instances=instances,
        plan=plan,
        max_steps=args.max_steps,
        lengths=lengths,
        size=size,
        memory={} if config is None else _memory(recipe, config, work),
        work=work,
        problems=tuple(problems),
    )


def _plan(args: FissionGRPOConfig) -> BatchPlan:
    assert args.generation_batch_size and args.num_generations and args.steps_per_generation  # set by TRL
    return BatchPlan(
        rows=args.generation_batch_size,
        group=args.num_generations,
        recoveries=round(args.recovery_fraction * args.generation_batch_size),
        siblings=args.recovery_generations,
        updates=args.steps_per_generation * args.num_iterations // args.gradient_accumulation_steps,
    )


def _model(name: str, problems: list[str]) -> tuple[ChatFormat | None, PreTrainedConfig | None]:
    """Chat format and configuration, or None and one problem more."""
    try:
        place = resolve_model(name)
        tokenizer = load_tokenizer(place)
        config = AutoConfig.from_pretrained(place)
    except UserError as error:
        problems.append(str(error))
        return None, None
    if not shows_tools(tokenizer):
        problems.append(
            f"model {name!r}: its chat template leaves out tools, so the policy would never see what it may call"
        )
    return ChatFormat(tokenizer), config


def _steps(
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
    if recipe.method == "fission":
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


def _episodes(
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


def _workload(recipe: Recipe, args: FissionGRPOConfig, lengths: Sequence[Lengths]) -> Workload:
    """The longest sequence that the tasks lead to, or that the recipe allows where it is not known."""
    assert args.generation_batch_size
    own_rows = args.generation_batch_size // max(1, args.world_size)
    bounds = [recipe.rollout.max_context_tokens]
    if recipe.method == "fission":
        bounds.append(recipe.fission.max_context_tokens)
    tokens = max(bounds) + recipe.rollout.max_new_tokens
    if recipe.granularity == "step" and lengths:
        contexts = [min(each.longest, each.bound) for each in lengths if each.setting.endswith("max_context_tokens")]
        # A failed message may be as long as any message.
        failed = recipe.rollout.max_new_tokens if recipe.method == "fission" else 0
        tokens = min(tokens, max(contexts) + failed + recipe.rollout.max_new_tokens)
    return Workload(
        rows=args.per_device_train_batch_size,
        tokens=tokens,
        decoded=0 if args.use_vllm else min(ROWS_DECODED, own_rows),
        mixed=bool(args.bf16 or args.fp16),
        checkpointing=bool(args.activation_checkpointing),
        device="cpu" if args.use_cpu else "gpu",
    )


def _memory(recipe: Recipe, config: PreTrainedConfig, work: Workload) -> dict[str, MemoryEstimate]:
    """Of what the recipe trains first, then of the other choice."""
    adapted = recipe if recipe.lora is not None else recipe.model_copy(update={"lora": LoraSection()})
    lora = lora_config(adapted)
    assert isinstance(lora, LoraConfig)
    estimates = {
        "all weights": estimate_memory(model_size(config), work),
        f"LoRA, rank {lora.r}": estimate_memory(model_size(config, lora), work),
    }
    names = list(estimates) if recipe.lora is None else list(reversed(estimates))
    return {name: estimates[name] for name in names}
