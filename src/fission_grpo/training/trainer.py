"""`FissionGRPOTrainer`: TRL's GRPOTrainer in which a failed rollout becomes a group of recovery rollouts.

One generation batch, in order:

    pop contexts -> explore the other rows -> recover from the contexts -> record outcomes -> intercept failures -> merge

TRL's methods are wrapped, never copied. Those that are private are listed in `WRAPPED` and held by contract tests:
`_generate_and_score_completions` chooses the rows, `_tokenize_prompts` gives recovery rows their sampled ids and every
other row its own tools, `_calculate_rewards` keeps what TRL does not return, `_compute_loss` leaves out rows that cannot
matter, `_get_train_sampler` makes an epoch's order independent of earlier ones, `_save_checkpoint` adds our state and seals.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import broadcast_object_list, gather_object
from datasets import Dataset
from torch import Tensor
from transformers import AutoTokenizer
from transformers.trainer_pt_utils import get_model_param_count
from trl.data_utils import is_conversational
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.utils import RepeatSampler

from fission_grpo.chat.template import ChatFormat
from fission_grpo.errors import UserError
from fission_grpo.fission import FissionEngine, SignalFilter, has_signal
from fission_grpo.simulators.base import Simulator, Weighted
from fission_grpo.simulators.chain import FallbackChain
from fission_grpo.simulators.environment import EnvironmentSimulator
from fission_grpo.simulators.rules import RulesSimulator
from fission_grpo.tasks.rows import check_tools_of
from fission_grpo.training import checkpoint
from fission_grpo.training.batches import EpochSampler, ExplorationQueue, Row, merge_outputs
from fission_grpo.training.config import TOKEN_NORMALISED_LOSSES, FissionGRPOConfig
from fission_grpo.training.rollouts import (
    CONTEXT_COLUMN,
    FailureFn,
    OutcomeFn,
    PromptFn,
    Rollout,
    failure_of_row,
    group_record,
    prompt_of_row,
)
from fission_grpo.training.simulator.alignment import AlignmentMonitor
from fission_grpo.types import CorrectiveContext, Tool, Trajectory

WRAPPED = (
    "_generate_and_score_completions",
    "_tokenize_prompts",
    "_calculate_rewards",
    "_compute_loss",
    "_get_train_sampler",
    "_save_checkpoint",
)
"""TRL's private methods that this trainer wraps."""


@dataclass
class Batch:
    """What is known of the rows that TRL is generating for, filled in as it goes.

    Attributes:
        rows: local dataset rows, one a rollout, in TRL's order.
        group_size: rollouts of one prompt: G, or G' for recoveries.
        contexts: the context of every row for recoveries, else None.
        tools: what every exploration row offers.
    """

    rows: list[Row]
    group_size: int
    contexts: list[CorrectiveContext] | None = None
    tools: list[list[Tool]] = field(default_factory=list[list[Tool]])
    prompt_ids: list[list[int]] = field(default_factory=list[list[int]])
    completion_ids: list[list[int]] = field(default_factory=list[list[int]])
    rewards: list[float | None] = field(default_factory=list["float | None"])
    outcomes: list[bool] = field(default_factory=list[bool])
    trajectories: list[Trajectory] | None = None


class FissionGRPOTrainer(GRPOTrainer):
    """A drop-in for `trl.GRPOTrainer`.

    Args:
        model, reward_funcs, train_dataset, processing_class, peft_config, callbacks, rollout_func, ...: as in TRL. Rows may
            have a column `tools` (JSON text or a list), rendered for that row alone, and `reference` (the reference calls).
        args: a `FissionGRPOConfig`.
        error_simulator: one simulator or several in order of preference; behind them always the leak guard and the fixed
            sentence. Default: the environment's own words, then the rules.
        outcome_fn: one bool a row; without it `args.success_threshold` decides on the reward.
        failure_fn: what a failed exploration rollout teaches; the default reads text, tools and reference of the row.
        prompt_fn: x of a row as chat messages and tools; the default reads the columns `prompt` and `tools`.
        record_group: called on the main process with one dictionary for every recovery group.
        make_monitor: makes what watches the simulators, of the chain that they stand in; it measures at checkpoints.

    Raises:
        UserError: neither `outcome_fn` nor `success_threshold` is given; a tokenizer has no chat template.
    """

    args: FissionGRPOConfig
    num_generations: int
    num_generations_eval: int

    def __init__(
        self,
        model: Any,
        reward_funcs: Any,
        args: FissionGRPOConfig,
        *,
        processing_class: Any = None,
        error_simulator: Simulator | Sequence[Simulator] | None = None,
        outcome_fn: OutcomeFn | None = None,
        failure_fn: FailureFn | None = None,
        prompt_fn: PromptFn | None = None,
        record_group: Callable[[dict[str, Any]], None] | None = None,
        make_monitor: Callable[[FallbackChain], AlignmentMonitor] | None = None,
        **trl_arguments: Any,
    ) -> None:
        if outcome_fn is None and args.success_threshold is None:
            raise UserError(
                "success_threshold: not set; name the reward from which a rollout is a success "
                "(FissionGRPOConfig(success_threshold=1.0)), or pass outcome_fn, which returns one bool a row"
            )
        if processing_class is None:
            name = model if isinstance(model, str) else model.config._name_or_path
            processing_class = AutoTokenizer.from_pretrained(name, padding_side="left")
        self.chat = ChatFormat(processing_class)
        _check_dataset(trl_arguments.get("train_dataset"), args)
        super().__init__(model, reward_funcs, args=args, processing_class=processing_class, **trl_arguments)
        self.engine = FissionEngine(args.fission_settings(), _chain(error_simulator), self.chat)
        self.monitor = make_monitor(self.engine.chain) if make_monitor else None
        self._policy_size = get_model_param_count(self.model)
        self.batch: Batch | None = None
        self._outcome_fn = outcome_fn
        self._failure_fn = failure_fn or failure_of_row
        self._prompt_fn = prompt_fn or prompt_of_row
        self._record_group = record_group
        self._queue = ExplorationQueue(self.num_generations)
        self._signal_filter = SignalFilter(args.signal_filter)
        self.extra_state: Callable[[], dict[str, Any]] = dict
        """What else belongs into a checkpoint (the run folder puts its log offsets here)."""

    # --- one generation batch ---

    def _generate_and_score_completions(self, inputs: list[Row]) -> dict[str, Any]:
        if not self._in_training:
            output, _ = self._generate_batch(Batch(list(inputs), self.num_generations_eval))
            return output
        contexts = self._pop_contexts(rows=len(inputs) * self.accelerator.num_processes)
        outputs: list[dict[str, Any]] = []
        failed: list[Rollout] = []
        exploration = self._exploration_rows(inputs, displaced=len(contexts) * self.engine.settings.recovery_generations)
        if exploration:
            output, rollouts = self._generate_batch(Batch(exploration, self.num_generations))
            outputs.append(output)
            failed += self._after("exploration", rollouts)
        if contexts:
            output, rollouts = self._generate_batch(self._recovery_batch(contexts))
            outputs.append(output)
            failed_again = self._after("recovery", rollouts)
            self._record(contexts, rollouts, output["advantages"])
            failed += failed_again if self.engine.settings.refission else []
        self._intercept(failed)
        merged = merge_outputs(outputs, cast(Any, self.processing_class).pad_token_id)
        self._count("tokens/trained", _trained_tokens(self._rows_that_matter(merged)))
        return merged

    def _pop_contexts(self, rows: int) -> list[CorrectiveContext]:
        """The pool lives on the main process; every rank gets the same contexts."""
        started, diagnosing, read = time.perf_counter(), self.engine.simulator_seconds, self._simulator_tokens()
        holder: list[Any] = [None]
        if self.accelerator.is_main_process:
            holder[0] = self.engine.pop(self.state.global_step, rows)
        diagnosing = self.engine.simulator_seconds - diagnosing
        self._count("time/simulator_seconds", diagnosing)
        self._count("time/pop_seconds", time.perf_counter() - started - diagnosing)
        self._count("tokens/simulator", self._simulator_tokens() - read)
        return broadcast_object_list(holder)[0] if self.accelerator.num_processes > 1 else holder[0]

    def _simulator_tokens(self) -> float:
        """Tokens that a local simulator has processed, each worth what its size is beside the policy's."""
        local = [each for each in self.engine.chain.simulators if isinstance(each, Weighted)]
        return sum(each.tokens.total() * each.parameters / self._policy_size for each in local)

    def _exploration_rows(self, inputs: list[Row], displaced: int) -> list[Row]:
        """This rank's rows of the prompts whose turn it is, in whole groups over the ranks' joined order."""
        rows = gather_object(inputs)
        return self._local(self._queue.exchange(rows, wanted=len(rows) - displaced))

    def _recovery_batch(self, contexts: list[CorrectiveContext]) -> Batch:
        group_size = self.engine.settings.recovery_generations
        repeated = self._local([context for context in contexts for _ in range(group_size)])
        rows = [{**context.failure.row, "prompt": list(context.messages)} for context in repeated]
        return Batch(rows, group_size, contexts=repeated)

    def _generate_batch(self, batch: Batch) -> tuple[dict[str, Any], list[Rollout]]:
        """Lets TRL generate and score one batch of equal group size, then applies the signal filter."""
        inputs = self._inputs(batch)
        # Recoveries have a group size of their own; TRL reads it from this one attribute.
        own_size, self.num_generations = self.num_generations, batch.group_size
        self.batch = batch
        try:
            output = super()._generate_and_score_completions(inputs)
        finally:
            self.num_generations = own_size
            self.batch = None
        self._filter_signal(batch, output)
        return output, self._rollouts(batch)

    def _inputs(self, batch: Batch) -> list[Row]:
        """The rows as TRL gets them: prompts as plain messages, and one more column that tells recoveries apart."""
        if batch.contexts is not None:
            return [{**row, CONTEXT_COLUMN: context} for row, context in zip(batch.rows, batch.contexts, strict=True)]
        if not is_conversational(batch.rows[0]):
            return [{**row, CONTEXT_COLUMN: None} for row in batch.rows]
        prompts = [self._prompt_fn(row) for row in batch.rows]
        batch.tools = [tools for _, tools in prompts]
        return [{**row, "prompt": x, CONTEXT_COLUMN: None} for row, (x, _) in zip(batch.rows, prompts, strict=True)]

    def _filter_signal(self, batch: Batch, output: dict[str, Any]) -> None:
        outcomes = gather_object(batch.outcomes)
        starts = range(0, len(outcomes), batch.group_size)
        kept = [has_signal(outcomes[start : start + batch.group_size], self._signal_filter) for start in starts]
        rows = self._local([keep for keep in kept for _ in range(batch.group_size)])
        output["advantages"] = output["advantages"] * torch.tensor(rows, device=output["advantages"].device)

    def _rollouts(self, batch: Batch) -> list[Rollout]:
        return [
            Rollout(
                row=batch.rows[index],
                prompt_ids=tuple(batch.prompt_ids[index]),
                completion_ids=tuple(batch.completion_ids[index]),
                text=self.chat.decode(batch.completion_ids[index]),
                reward=batch.rewards[index],
                outcome=batch.outcomes[index],
                update=self.state.global_step,
                context=batch.contexts[index] if batch.contexts else None,
                trajectory=batch.trajectories[index] if batch.trajectories else None,
            )
            for index in range(len(batch.rows))
        ]

    def _after(self, name: str, rollouts: list[Rollout]) -> list[Rollout]:
        """Counts a half of the batch, and returns those that failed. What the infrastructure broke is masked, not failed."""
        scored = [rollout for rollout in gather_object(_light(rollouts)) if rollout[0] is not None]
        if scored:
            self._count(f"{name}/reward", sum(reward for reward, _ in scored) / len(scored))
            self._count(f"{name}/outcome", sum(outcome for _, outcome in scored) / len(scored))
        self._count(f"{name}/rows", len(scored))
        sampled = sum(rollout.sampled_tokens for rollout in rollouts)
        self._count(f"tokens/{name}_sampled", sampled)
        self._count(f"tokens/{name}_prefill", sum(rollout.tokens for rollout in rollouts) - sampled)
        return [rollout for rollout in rollouts if rollout.reward is not None and not rollout.outcome]

    def _record(self, contexts: list[CorrectiveContext], rollouts: list[Rollout], advantages: Tensor) -> None:
        """Feeds the outcomes of the recovery groups to selection, escalation and the log."""
        results = gather_object([(each.text, each.reward, each.outcome) for each in rollouts])
        weights: list[float] = cast(Tensor, self.accelerator.gather(advantages)).tolist()
        if not self.accelerator.is_main_process:
            return
        size = self.engine.settings.recovery_generations
        for index, context in enumerate(contexts):
            group = slice(index * size, (index + 1) * size)
            scored = [outcome for _, reward, outcome in results[group] if reward is not None]
            if scored:
                self.engine.record(context, scored)
                if self.monitor is not None:
                    self.monitor.note_group(context, scored)
            if self._record_group is not None:
                self._record_group(group_record(self.state.global_step + 1, context, results[group], weights[group]))

    def _intercept(self, failed: list[Rollout]) -> None:
        """Failures of all ranks enter the pool, on the main process."""
        started = time.perf_counter()
        failures = [failure for failure in map(self._failure_fn, failed) if failure is not None]
        gathered = gather_object(failures)  # every rank calls it, with an empty list too
        if self.accelerator.is_main_process:
            self.engine.intercept(gathered)
            self.engine.end_update()
            if self.monitor is not None:
                self.monitor.note_failures(gathered)
            for name, value in self.engine.metrics().items():
                self._count(name, value)
        self._count("time/intercept_seconds", time.perf_counter() - started)

    @property
    def _in_training(self) -> bool:
        return bool(cast(Any, self.model).training)

    def _local(self, rows: list[Any]) -> list[Any]:
        """This rank's share of something that lies in the ranks' joined order."""
        share = len(rows) // self.accelerator.num_processes
        return rows[self.accelerator.process_index * share :][:share]

    def _count(self, name: str, value: float) -> None:
        self._metrics["train" if self._in_training else "eval"][name].append(float(value))

    # --- what TRL asks for on the way ---

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], Any, dict[str, Any]]:
        batch = self.batch
        if batch is None or not is_conversational({"prompt": prompts[0]}):
            ids, images, fields = super()._tokenize_prompts(prompts)
        elif batch.contexts is not None:
            ids, images, fields = [list(context.prompt_ids) for context in batch.contexts], None, {}
        else:
            ids = [self.chat.render(prompt, tools) for prompt, tools in zip(prompts, batch.tools, strict=True)]
            images, fields = None, {}
        if batch is not None:
            batch.prompt_ids = [list(each) for each in ids]
        return ids, images, fields

    def _calculate_rewards(
        self, inputs: list[Row], prompts: list[Any], completions: list[Any], completion_ids_list: list[list[int]]
    ) -> Tensor:
        rewards_per_func = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)  # (N, F), all ranks
        batch = self.batch
        if batch is None:
            return rewards_per_func
        rows = len(prompts)
        local = rewards_per_func[self.accelerator.process_index * rows :][:rows]
        totals = (local * self.reward_weights.to(local.device)).nansum(dim=1).tolist()
        masked = torch.isnan(local).all(dim=1).tolist()
        batch.rewards = [None if mask else total for total, mask in zip(totals, masked, strict=True)]
        batch.completion_ids = completion_ids_list
        batch.outcomes = self._outcomes(batch, inputs, prompts, completions)
        return rewards_per_func

    def _outcomes(self, batch: Batch, inputs: list[Row], prompts: list[Any], completions: list[Any]) -> list[bool]:
        if self._outcome_fn is None:
            threshold = cast(float, self.args.success_threshold)  # one of the two is set: checked on construction
            return [reward is not None and reward >= threshold for reward in batch.rewards]
        columns = {key: [row[key] for row in inputs] for key in inputs[0] if key != "prompt"}
        outcomes = self._outcome_fn(
            prompts=prompts,
            completions=completions,
            completion_ids=batch.completion_ids,
            trainer_state=self.state,
            **columns,
        )
        if len(outcomes) != len(inputs):
            raise UserError(f"outcome_fn: {len(outcomes)} values found, {len(inputs)} allowed: one bool a row")
        return [bool(outcome) for outcome in outcomes]

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        return super()._compute_loss(model, self._rows_that_matter(inputs) if self._in_training else inputs)

    def _rows_that_matter(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Leaves out rows of zero advantage where the loss cannot notice; its denominator stays that of the full batch."""
        exact = (
            self.loss_type in TOKEN_NORMALISED_LOSSES
            and self.beta == 0.0
            and not self._entropy_bonus_enabled
            and not self.aux_loss_enabled
            and self.top_entropy_quantile == 1.0
        )
        kept = inputs["advantages"] != 0
        if not exact or bool(kept.all()):
            return inputs
        if not bool(kept.any()):
            kept[0] = True  # a backward pass must happen on every rank
        rows = kept.numel()
        return {
            key: value[kept] if isinstance(value, Tensor) and value.dim() > 0 and len(value) == rows else value
            for key, value in inputs.items()
        }

    # --- exact resume ---

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        return EpochSampler(cast(RepeatSampler, super()._get_train_sampler(dataset)), self.args.seed)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        if self.monitor is not None and self.accelerator.is_main_process:
            self.monitor.at_checkpoint(self.state.global_step, last=self.state.global_step >= self.state.max_steps)
        with checkpoint.saving(folder):
            super()._save_checkpoint(model, trial)
            if self.accelerator.is_main_process:
                checkpoint.save_state(folder, self._fission_state())
            self.accelerator.wait_for_everyone()
            if self.accelerator.is_main_process:
                checkpoint.seal(folder)

    def _fission_state(self) -> dict[str, Any]:
        monitor = self.monitor.state_dict() if self.monitor else None
        return {
            "engine": self.engine.state_dict(),
            "queue": self._queue.waiting,
            "monitor": monitor,
            **self.extra_state(),
        }

    def load_weights(self, folder: Path) -> None:
        """Takes over the weights of a checkpoint, and nothing else of it."""
        self._load_from_checkpoint(str(folder))

    def train(self, resume_from_checkpoint: str | bool | None = None, *arguments: Any, **named: Any) -> Any:
        """As in TRL; `True` resumes from the newest *whole* checkpoint of `output_dir`.

        Raises:
            UserError: there is none.
        """
        if resume_from_checkpoint is True:
            newest = checkpoint.newest_complete(Path(str(self.args.output_dir)))
            if newest is None:
                raise UserError(f"resume: no whole checkpoint in {self.args.output_dir}; start the run anew")
            resume_from_checkpoint = str(newest)
        if resume_from_checkpoint:
            state = checkpoint.load_state(Path(resume_from_checkpoint))
            if self.monitor is not None and state["monitor"] is not None:
                self.monitor.load_state_dict(state["monitor"])  # first: it puts the simulator's version into the chain
            self.engine.load_state_dict(state["engine"])
            self._queue.waiting = state["queue"]
        return super().train(resume_from_checkpoint, *arguments, **named)


def _check_dataset(dataset: Any, args: FissionGRPOConfig) -> None:
    """Says what is wrong with a dataset before anything is trained (streams are left alone).

    TRL leaves out a batch that is not full: with fewer prompts than one batch needs, it would train nothing, silently.
    """
    if not isinstance(dataset, Dataset):
        return
    if len(dataset) and not is_conversational(dataset[0]):
        raise UserError(
            "train_dataset, column prompt: plain text found, chat messages allowed "
            '([{"role": "user", "content": ...}]): feedback on a failed call is a message of its own'
        )
    if "tools" in dataset.column_names:
        check_tools_of({"tools": tools} for tools in dataset["tools"])
    needed = cast(int, args.generation_batch_size) // cast(int, args.num_generations)
    if len(dataset) < needed:
        raise UserError(
            f"train_dataset: {len(dataset)} prompts found, at least {needed} allowed: one generation batch of "
            f"{args.generation_batch_size} rows in groups of {args.num_generations} (num_generations)"
        )


def _chain(simulator: Simulator | Sequence[Simulator] | None) -> FallbackChain:
    """The simulator or simulators a user gave, behind the leak guard and in front of the fixed sentence."""
    if simulator is None:
        return FallbackChain([EnvironmentSimulator(), RulesSimulator()])
    return FallbackChain(simulator if isinstance(simulator, Sequence) else [simulator])


def _trained_tokens(output: dict[str, Any]) -> int:
    """Tokens that the update computes: of every row that takes part, prompt included."""
    return int(output["prompt_mask"].sum() + output["completion_mask"].sum())


def _light(rollouts: list[Rollout]) -> list[tuple[float | None, bool]]:
    return [(rollout.reward, rollout.outcome) for rollout in rollouts]
