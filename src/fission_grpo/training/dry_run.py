"""`fission train --dry-run`: everything but the weights. Resolves the recipe, makes the tasks, renders the prompts with the
model's own tokenizer, and says how long they are, what an update is made of, and how much memory it will take."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from peft import LoraConfig
from transformers import AutoConfig, PreTrainedConfig

from fission_grpo.chat.template import ChatFormat
from fission_grpo.chat.tool_template import shows_tools
from fission_grpo.environments.base import Environment
from fission_grpo.environments.registry import make_environment
from fission_grpo.errors import InfrastructureError, UserError
from fission_grpo.recipe import Recipe
from fission_grpo.recipe.loading import check_recipe
from fission_grpo.recipe.schema import LoraSection
from fission_grpo.rollout.loading import load_tokenizer, places_of
from fission_grpo.tasks.proof import play, reference_script
from fission_grpo.tasks.task import Task
from fission_grpo.training.adapters import lora_config
from fission_grpo.training.config import FissionGRPOConfig
from fission_grpo.training.lengths import Lengths, Progress, episode_lengths, step_lengths
from fission_grpo.training.memory import ROWS_DECODED, MemoryEstimate, ModelSize, Workload, estimate_memory, model_size
from fission_grpo.training.refusals import told_as
from fission_grpo.training.runs import check_test_tasks, tasks_of
from fission_grpo.training.simulator.serving import check_simulators
from fission_grpo.training.terminal import quieten
from fission_grpo.training.trainer_config import trainer_config, trainer_fields

_SHOWN = 3
"""Problems of one kind."""


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
    check_test_tasks(recipe, tasks)
    problems: list[str] = []
    chat, config = _model(recipe.model, problems)
    problems += _simulator_problems(recipe)
    if recipe.tasks.train.path is not None:  # generated tasks were proven when they were made
        problems += reference_problems(tasks, make_environment(recipe.environment, recipe.user), progress)
    measure = step_lengths if recipe.granularity == "step" else episode_lengths
    instances, lengths = measure(recipe, tasks, chat, progress)
    if instances < plan.rows // plan.group:
        problems.append(
            f"{instances} instances fit, at least {plan.rows // plan.group} are needed: one generation batch of {plan.rows} "
            f"rows in groups of {plan.group}"
        )
    work = _workload(recipe, args, lengths)
    with told_as("model, lora"):
        size = None if config is None else model_size(config, lora_config(recipe.lora))
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
        tokenizer_place, base = places_of(name)
        tokenizer = load_tokenizer(tokenizer_place)
        config = AutoConfig.from_pretrained(base, trust_remote_code=False)
    except UserError as error:
        problems.append(str(error))
        return None, None
    if not shows_tools(tokenizer):
        problems.append(
            f"model {name!r}: its chat template leaves out tools, so the policy would never see what it may call"
        )
    return ChatFormat(tokenizer), config


def _simulator_problems(recipe: Recipe) -> list[str]:
    """What is wrong with the simulators; an endpoint is asked once, as before a run."""
    try:
        if recipe.recovers:
            check_simulators(recipe.simulator, Path("runs"))
    except UserError as error:
        return [str(error)]
    return []


def reference_problems(tasks: Sequence[Task], environment: Environment, progress: Progress) -> list[str]:
    """References that err, or do not solve their task: nothing could be learnt from them."""
    found: list[str] = []
    for number, task in enumerate(tasks):
        progress("Playing references", number, len(tasks))
        script = reference_script(task)
        if not any(script):  # judged by a verdict of its own
            continue
        try:
            solved, results = play(environment, task, script)
        except InfrastructureError as error:
            return [f"task {task.id}: the environment fails on its reference: {error}"]
        played = zip(chain(*script), chain(*results), strict=True)
        erring = next(((call, result) for call, result in played if result.is_error), None)
        if erring is not None:
            call, result = erring
            found.append(
                f"task {task.id}: its reference call {call.name}({json.dumps(call.arguments)}) errs: {result.content}"
            )
        elif not solved:
            found.append(f"task {task.id}: its reference does not solve it")
    rest = len(found) - _SHOWN
    return found[:_SHOWN] + ([f"{rest} more references err or do not solve their task"] if rest > 0 else [])


def _workload(recipe: Recipe, args: FissionGRPOConfig, lengths: Sequence[Lengths]) -> Workload:
    """The longest sequence that the tasks lead to, or that the recipe allows where it is not known."""
    assert args.generation_batch_size
    own_rows = args.generation_batch_size // max(1, args.world_size)
    bounds = [recipe.rollout.max_context_tokens]
    if recipe.recovers:
        bounds.append(recipe.fission.max_context_tokens)
    tokens = max(bounds) + recipe.rollout.max_new_tokens
    if recipe.granularity == "step" and lengths:
        contexts = [min(each.longest, each.bound) for each in lengths if each.setting.endswith("max_context_tokens")]
        # A failed message may be as long as any message.
        failed = recipe.rollout.max_new_tokens if recipe.recovers else 0
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
    lora = lora_config(adapted.lora)
    assert isinstance(lora, LoraConfig)
    estimates = {
        "all weights": estimate_memory(model_size(config), work),
        f"LoRA, rank {lora.r}": estimate_memory(model_size(config, lora), work),
    }
    names = list(estimates) if recipe.lora is None else list(reversed(estimates))
    return {name: estimates[name] for name in names}
