"""From a recipe to a trained policy in a run folder. The commands `fission train` and `fission resume` are this module."""

import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import torch
from accelerate import PartialState
from transformers.trainer_callback import PrinterCallback
from trl.import_utils import is_vllm_available

from fission_grpo.chat.template import ChatFormat
from fission_grpo.chat.tool_template import shows_tools
from fission_grpo.environments.base import ComparableEnvironment
from fission_grpo.environments.registry import endpoint_user, make_environment
from fission_grpo.environments.tau2 import tau2_tasks
from fission_grpo.errors import UserError
from fission_grpo.launcher import is_main_process, launched_processes
from fission_grpo.recipe import Recipe, TaskSource, UserSection
from fission_grpo.recipe.loading import check_recipe
from fission_grpo.rewards.composite import CompositeReward, RewardSettings
from fission_grpo.rollout.loading import load_policy_model, resolve_model
from fission_grpo.rollout.memory_errors import give_memory_back
from fission_grpo.simulators.chain import FallbackChain
from fission_grpo.tasks.generate import SplitShares, generate_tasks
from fission_grpo.tasks.mix import Mix
from fission_grpo.tasks.splits import check_apart
from fission_grpo.tasks.task import Split, Task, load_tasks
from fission_grpo.training import checkpoint
from fission_grpo.training.adapters import lora_config
from fission_grpo.training.batch_size import on_one_process, on_processes
from fission_grpo.training.config import FissionGRPOConfig
from fission_grpo.training.episode import EpisodeTasks
from fission_grpo.training.methods.registry import CLASSES, make_method
from fission_grpo.training.metrics import BudgetCallback, MetricsCallback, MetricSink
from fission_grpo.training.processes import from_main
from fission_grpo.training.refusals import told_as
from fission_grpo.training.run_folder import ALIGNMENT_LOG, GROUP_LOGS, RunFolder
from fission_grpo.training.shortages import told_in_one_sentence
from fission_grpo.training.signing import check_key
from fission_grpo.training.simulator.alignment import AlignmentMonitor
from fission_grpo.training.simulator.serving import check_simulators, refresher_of, simulators_of
from fission_grpo.training.step import StepTasks
from fission_grpo.training.terminal import quieten
from fission_grpo.training.trainer import FissionGRPOTrainer
from fission_grpo.training.trainer_config import trainer_config, trainer_fields


def train(
    recipe: Recipe,
    run: Path,
    *,
    resume: bool = False,
    trusted: bool = False,
    sinks: Sequence[MetricSink] = (),
    token_budget: int | None = None,
    started: Callable[[Path], None] = lambda _: None,
) -> None:
    """Trains one run from its recipe, or continues it from its newest whole checkpoint.

    Every process of a run calls it; the main one alone writes the run folder, but for what is sharded.

    Args:
        recipe: as `load_recipe` gave it; on resume, as the run folder keeps it, with what shall be different from there on.
        run: the run folder; that of the main process counts.
        trusted: reads the checkpoint whoever wrote it.
        sinks: called with every update's metrics, beside the log.
        token_budget: ends the run at its first update past so many tokens processed (docs/method.md, section 8.2).
        started: called with the run folder, once nothing in the recipe is found wrong and before a model is loaded.

    Raises:
        UserError: a mistake in the recipe, tasks, model or run folder; nothing was loaded or overwritten before it.
    """
    quieten()
    kept = recipe
    if resume:
        recipe = on_processes(recipe, launched_processes())
    args = check_trainable(recipe, run)
    check_key()
    tasks = tasks_of(recipe.tasks.train, "train", recipe.environment)
    if not resume:
        check_test_tasks(recipe, tasks)
    folder = from_main(
        lambda: RunFolder(run) if resume else RunFolder.create(run, on_one_process(recipe, launched_processes()))
    )
    args.output_dir = str(folder.path)  # where no folder was named, the main process has found a free one
    started(folder.path)
    with folder.alone() if PartialState().is_main_process else nullcontext():
        newest, logged = from_main(lambda: _newest(folder, trusted)) if resume else (None, {})
        with nullcontext() if resume else _taken_back(folder):
            trainer = build_trainer(recipe, args, tasks, folder, sinks)
        if resume and is_main_process():
            folder.keep(kept)
        spent = from_main(lambda: _tokens_before(folder, logged))
        if token_budget is not None:
            trainer.add_callback(BudgetCallback(token_budget, spent))
        at_last_update = newest is not None and checkpoint.step_of(newest) >= args.max_steps > 0
        past_budget = token_budget is not None and spent > token_budget
        with told_in_one_sentence(folder.path):
            if newest is not None and (at_last_update or past_budget):
                trainer.load_weights(newest)  # killed between the last update and the end
            else:
                trainer.train(resume_from_checkpoint=str(newest) if newest else None)
            _save_model(trainer, folder.path / "model")
        trainer.accelerator.end_training()
    trainer.accelerator.free_memory()
    del trainer
    give_memory_back()  # an evaluation may follow in this process


@contextmanager
def _taken_back(folder: RunFolder) -> Generator[None]:
    """Takes a new run folder back where the run cannot begin."""
    try:
        yield
    except UserError:
        if is_main_process():
            folder.take_back()
        raise


def _newest(folder: RunFolder, trusted: bool) -> tuple[Path | None, dict[str, int]]:
    """The newest whole checkpoint, if there is any, and how long the logs were when it was taken."""
    folder.compare_versions()
    newest = checkpoint.newest_complete(folder.path)
    if newest is None:
        return None, {}
    if trusted:
        checkpoint.trust(newest)
    logged = checkpoint.log_lengths(newest)
    folder.check_logs(logged, newest)
    return newest, logged


def _tokens_before(folder: RunFolder, logs: Mapping[str, int]) -> float:
    """Cuts the logs back to what a checkpoint keeps of them; returns the tokens processed until then."""
    folder.cut_back(logs)
    return folder.tokens()


def _save_model(trainer: FissionGRPOTrainer, folder: Path) -> None:
    """The trained policy; its folder appears only once it is whole."""
    draft = folder.with_name(f".{folder.name}.partial")
    with checkpoint.saving(draft):
        trainer.clear(draft)
        trainer.save_model(str(draft))
        trainer.accelerator.wait_for_everyone()
        if trainer.accelerator.is_main_process:
            checkpoint.sync_files(draft)
            shutil.rmtree(folder, ignore_errors=True)
            draft.rename(folder)


def check_trainable(recipe: Recipe, run: Path) -> FissionGRPOConfig:
    """Checks what only the libraries know: the fields of TRL's config, the model, the simulators. Loads no weights.

    Returns:
        The recipe as settings of the trainer.

    Raises:
        UserError: a mistake in the recipe.
    """
    check_recipe(recipe.model_dump(exclude_none=True), trainer_fields=trainer_fields())
    resolve_model(recipe.model)
    check_vllm(recipe)
    if recipe.evaluation.tasks and recipe.tasks.test.path is not None:
        load_tasks(recipe.tasks.test.path)  # or it would be found broken after training
    args = trainer_config(recipe, run)
    if not is_main_process():
        return args  # endpoints answer the main process alone
    if recipe.user is not None:
        endpoint_user(recipe.user.base_url, recipe.user.model).check()
    if recipe.recovers:
        check_simulators(recipe.simulator, run)
    return args


def check_test_tasks(recipe: Recipe, train_tasks: Sequence[Task]) -> None:
    """Says where a file of test tasks, which are played only after training, holds scenarios that are trained on.

    Raises:
        UserError: it does, or it is missing or broken.
    """
    if recipe.evaluation.tasks and recipe.tasks.test.path is not None:
        check_apart(train_tasks, load_tasks(recipe.tasks.test.path)[: recipe.evaluation.tasks], "`tasks.test`")


def check_vllm(recipe: Recipe) -> None:
    """Says what TRL would say only once the model is loaded.

    Raises:
        UserError: vLLM is asked for and not installed, or a server could not be given the weights.
    """
    if not recipe.trainer.get("use_vllm"):
        return
    if not is_vllm_available():
        raise UserError("trainer.use_vllm: true found, false is allowed: vLLM is not installed (`pip install 'trl[vllm]'`)")
    if recipe.trainer.get("vllm_mode") == "server" and not torch.cuda.is_available():
        raise UserError(
            "trainer.vllm_mode: 'server' found, 'colocate' is allowed: weights travel to a server by NCCL, between GPUs, "
            "and this machine has none"
        )


def tasks_of(source: TaskSource, split: Split, environment: str) -> list[Task]:
    """The tasks of one split: read, generated, or of TAU2-Bench."""
    if source.path is not None:
        return load_tasks(source.path)
    if source.tau2 is not None:
        wanted = source.tau2
        return tau2_tasks(wanted.domain, wanted.split, solo=wanted.solo)
    assert source.generate is not None
    shares = SplitShares(**{each: float(each == split) for each in ("train", "validation", "test")})
    made = source.generate
    return generate_tasks(made.count, made.seed, make_environment(environment), mix=Mix(made.mix), shares=shares)


def build_trainer(
    recipe: Recipe, args: FissionGRPOConfig, tasks: Sequence[Task], folder: RunFolder, sinks: Sequence[MetricSink]
) -> FissionGRPOTrainer:
    """The trainer of a recipe, at its granularity."""
    model, tokenizer = load_policy_model(recipe.model)
    if not shows_tools(tokenizer):
        raise UserError(without_tools(recipe.model))
    granularity = granularity_of(recipe, tasks, ChatFormat(tokenizer))
    diagnoses = recipe.recovers and PartialState().is_main_process  # a simulator may be large
    dataset, simulators = granularity.dataset(), simulators_of(recipe, folder.path) if diagnoses else None
    with told_as("trainer, lora", RuntimeError):  # TRL, PEFT and what they call, for what no config checks
        trainer = FissionGRPOTrainer(
            model,
            granularity.reward,
            args,
            processing_class=tokenizer,
            train_dataset=dataset,
            error_simulator=simulators,
            make_monitor=partial(_monitor, recipe, folder) if diagnoses else None,
            outcome_fn=granularity.outcome,
            failure_fn=granularity.failure,
            prompt_fn=granularity.prompt,
            rollout_func=None if args.use_vllm and recipe.granularity == "step" else granularity.rollout,
            peft_config=lora_config(recipe.lora),
            callbacks=[MetricsCallback(granularity.take_counts, partial(folder.append, "metrics.jsonl"), *sinks)],
            method=make_method(recipe, granularity),
            record_group=lambda kind, record: folder.append(GROUP_LOGS[kind], record),
        )
    trainer.remove_callback(PrinterCallback)  # would print every log as a dictionary, into the progress display
    trainer.extra_state = lambda: {"logs": folder.offsets()}
    return trainer


def granularity_of(recipe: Recipe, tasks: Sequence[Task], chat: ChatFormat) -> StepTasks | EpisodeTasks:
    """The tasks as the recipe has them played and judged."""
    reward = CompositeReward(RewardSettings(**recipe.reward.model_dump(exclude={"episode"})))
    environment = partial(_comparable_environment, recipe.environment, recipe.user)
    replay = recipe.fission.recovery_context == "prompt"
    if recipe.granularity == "step":
        return StepTasks(tasks, environment, chat, reward, recipe.rollout.max_context_tokens, replay)
    return EpisodeTasks(
        tasks,
        environment,
        chat,
        reward,
        recipe.rollout,
        recipe.fission.recovery_horizon,
        replay,
        by_turn=recipe.reward.episode == "turns",
        episode_type=CLASSES[recipe.method].episode_type,
    )


def _monitor(recipe: Recipe, folder: RunFolder, chain: FallbackChain) -> AlignmentMonitor:
    refresher = refresher_of(recipe.simulator, folder.path)
    return AlignmentMonitor(recipe.simulator.alignment, chain, partial(folder.append, ALIGNMENT_LOG), refresher)


def without_tools(model: str) -> str:
    """What is wrong with a model whose chat template leaves out tools."""
    return f"model {model!r}: its chat template leaves out tools, so that the policy would never see what it may call"


def _comparable_environment(name: str, user: UserSection | None) -> ComparableEnvironment:
    environment = make_environment(name, user)
    if not isinstance(environment, ComparableEnvironment):
        raise UserError(f"environment: {name!r} cannot compare states; training needs its `matches` and `same_state`")
    return environment
