"""`FissionGRPOTrainer`: TRL's GRPOTrainer in which a failed rollout becomes a group of recovery rollouts.

One generation batch, in order:

    pop contexts -> explore the other rows -> recover from the contexts -> record outcomes -> intercept failures -> merge

What differs between training methods (GRPO and its relatives) is a `Method`, in `methods/`. TRL's own methods are wrapped,
never copied. Those that are private are listed in `WRAPPED` and held by contract tests:
`_generate_and_score_completions` chooses the rows, `_tokenize_prompts` gives recovery rows their sampled ids and every
other row its own tools, `_calculate_rewards` keeps what TRL does not return, `_get_train_sampler` makes an epoch's order
independent of earlier ones, `_save_checkpoint` adds our state and seals. The update itself is made faster in
`prefix_sharing/trainer.py`.
"""

import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import gather_object
from torch import Tensor
from transformers import AutoTokenizer
from transformers.trainer_pt_utils import get_model_param_count
from trl.data_utils import is_conversational
from trl.trainer.utils import RepeatSampler

from fission_grpo.chat.template import ChatFormat
from fission_grpo.errors import UserError
from fission_grpo.fission import FissionEngine, SignalFilter, has_signal
from fission_grpo.rollout.transformers_policy import TransformersPolicy
from fission_grpo.simulators.base import Simulator, Weighted
from fission_grpo.simulators.chain import FallbackChain
from fission_grpo.simulators.environment import EnvironmentSimulator
from fission_grpo.simulators.rules import RulesSimulator
from fission_grpo.training import checkpoint
from fission_grpo.training.advantages import as_tensor, group_advantages, of_rollouts, zeroed
from fission_grpo.training.arguments import check_arguments
from fission_grpo.training.batch import Batch, Generated
from fission_grpo.training.batches import EpochSampler, ExplorationQueue, Row, merge_outputs
from fission_grpo.training.config import FissionGRPOConfig
from fission_grpo.training.datasets import check_dataset
from fission_grpo.training.dynamic_sampling import check_whole_groups, explore
from fission_grpo.training.methods.base import Method
from fission_grpo.training.prefix_sharing.trainer import PrefixSharingGRPOTrainer
from fission_grpo.training.processes import from_main, summed
from fission_grpo.training.rollouts import (
    CONTEXT_COLUMN,
    FailureFn,
    OutcomeFn,
    PromptFn,
    Rollout,
    checked_failure,
    checked_outcomes,
    failure_of_row,
    prompt_of_row,
)
from fission_grpo.training.sharding import check_sharding, whole_weights
from fission_grpo.training.simulator.alignment import AlignmentMonitor
from fission_grpo.training.token_counts import prefilled_tokens
from fission_grpo.training.trajectory_log import exploration_record, logged, recovery_record
from fission_grpo.types import CorrectiveContext, Failure, Message, Tool

WRAPPED = (
    "_generate_and_score_completions",
    "_tokenize_prompts",
    "_calculate_rewards",
    "_get_train_sampler",
    "_save_checkpoint",
)
"""TRL's private methods that this trainer wraps, beside those of `prefix_sharing/trainer.py`."""


class FissionGRPOTrainer(PrefixSharingGRPOTrainer):
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
        method: what the update is; plain GRPO by default.
        record_group: called on the main process with "exploration" or "recovery" and one dictionary, for every group.
        make_monitor: makes what watches the simulators, of the chain that they stand in; it measures at checkpoints.

    Raises:
        UserError: neither `outcome_fn` nor `success_threshold` is given; TRL's `tools` or `environment_factory` is; a
            tokenizer has no chat template.
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
        method: Method | None = None,
        record_group: Callable[[str, dict[str, Any]], None] | None = None,
        make_monitor: Callable[[FallbackChain], AlignmentMonitor] | None = None,
        **trl_arguments: Any,
    ) -> None:
        check_arguments(args, outcome_fn, trl_arguments)
        if processing_class is None:
            name = model if isinstance(model, str) else model.config._name_or_path
            processing_class = AutoTokenizer.from_pretrained(name, padding_side="left")
        self.chat = ChatFormat(processing_class, cast(Any, args.chat_template_kwargs))
        check_dataset(trl_arguments.get("train_dataset"), args, reads_references=failure_fn is None)
        self.method = method or Method()
        self._sample = trl_arguments.get("rollout_func")
        _check_sampling(self.method, self._sample, args)
        check_whole_groups(args, self.method)
        if self._sample is not None:
            trl_arguments["rollout_func"] = _generate
        super().__init__(model, reward_funcs, args=args, processing_class=processing_class, **trl_arguments)
        check_sharding(self)
        self.engine = FissionEngine(args.fission_settings(), _chain(error_simulator), self.chat)
        self.monitor = make_monitor(self.engine.chain) if make_monitor else None
        pad_id = cast(Any, self.processing_class).pad_token_id
        self.policy = TransformersPolicy(cast(Any, self.model), pad_id, self.chat.end_ids)
        self._policy_size = get_model_param_count(self.model)
        self.batch: Batch | None = None
        self._tally: defaultdict[str, float] = defaultdict(float)
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
        if not self.in_training:
            return self.generate_batch(Batch(list(inputs), self.num_generations_eval)).output
        self.method.begin(self)
        contexts = self._pop_contexts(rows=len(inputs) * self.accelerator.num_processes)
        rows = self._exploration_rows(inputs, displaced=len(contexts) * self.engine.settings.recovery_generations)
        halves: list[Generated] = []
        if rows:
            halves.append(explore(rows, self))
            self._record_exploration(halves[-1])
        if contexts:
            halves.append(self.generate_batch(self._recovery_batch(contexts)))
            self._record_recoveries(contexts, halves[-1])
        self._intercept([failure for half in halves for failure in half.failures if failure is not None])
        self._count_halvings()
        self._flush_counts()
        return merge_outputs([half.output for half in halves], cast(Any, self.processing_class).pad_token_id)

    def _pop_contexts(self, rows: int) -> list[CorrectiveContext]:
        """The pool lives on the main process; every rank gets the same contexts."""
        started, diagnosing, read = time.perf_counter(), self.engine.simulator_seconds, self._simulator_tokens()
        contexts = from_main(lambda: self.engine.pop(self.state.global_step, rows))
        diagnosing = self.engine.simulator_seconds - diagnosing
        self.count("time/simulator_seconds", diagnosing)
        self.count("time/pop_seconds", time.perf_counter() - started - diagnosing)
        self.count("tokens/simulator", self._simulator_tokens() - read)
        return contexts

    def _simulator_tokens(self) -> float:
        """Tokens that a local simulator has processed, each worth what its size is beside the policy's."""
        local = [each for each in self.engine.chain.simulators if isinstance(each, Weighted)]
        return sum(each.tokens.total() * each.parameters / self._policy_size for each in local)

    def _exploration_rows(self, inputs: list[Row], displaced: int) -> list[Row]:
        """This rank's rows of the prompts whose turn it is, in whole groups over the ranks' joined order."""
        rows = gather_object(inputs)
        return self.local(self._queue.exchange(rows, wanted=len(rows) - displaced))

    def _recovery_batch(self, contexts: list[CorrectiveContext]) -> Batch:
        group_size = self.engine.settings.recovery_generations
        repeated = self.local([context for context in contexts for _ in range(group_size)])
        rows = [{**context.failure.row, "prompt": list(context.messages)} for context in repeated]
        return Batch(rows, group_size, contexts=repeated)

    def generate_batch(self, batch: Batch) -> Generated:
        """Lets TRL generate and score one batch of equal group size, then applies method and signal filter."""
        inputs = self._inputs(batch)
        # Recoveries have a group size of their own; TRL reads it from this one attribute.
        own_size, self.num_generations = self.num_generations, batch.group_size
        self.batch = batch
        try:
            output = super()._generate_and_score_completions(inputs)
        finally:
            self.num_generations = own_size
            self.batch = None
        rollouts = self._rollouts(batch)
        self._weigh(batch, rollouts, output)
        if self.in_training:
            self._count_rollouts(batch, rollouts)
        return Generated(output, rollouts, self._failures(batch, rollouts))

    def _inputs(self, batch: Batch) -> list[Row]:
        """The rows as TRL gets them: prompts as plain messages, and one more column that tells recoveries apart."""
        if batch.contexts is not None:
            return [{**row, CONTEXT_COLUMN: context} for row, context in zip(batch.rows, batch.contexts, strict=True)]
        if not is_conversational(batch.rows[0]):
            return [{**row, CONTEXT_COLUMN: None} for row in batch.rows]
        prompts = [self._prompt_fn(row) for row in batch.rows]
        batch.messages, batch.tools = [x for x, _ in prompts], [tools for _, tools in prompts]
        return [{**row, "prompt": x, CONTEXT_COLUMN: None} for row, (x, _) in zip(batch.rows, prompts, strict=True)]

    def _weigh(self, batch: Batch, rollouts: list[Rollout], output: dict[str, Any]) -> None:
        """Puts the method's advantages in place of TRL's, and those of groups that the signal filter drops to zero."""
        scores = gather_object([self.method.scores(rollout) for rollout in rollouts])
        recovery, update = batch.contexts is not None, self.state.global_step
        advantages = group_advantages(self.method, scores, batch.group_size, recovery=recovery, update=update)
        if advantages is not None:
            own = as_tensor(self.local(advantages), rollouts, output["completion_ids"].shape[1])
            output["advantages"] = own.to(output["advantages"].device)
        starts = range(0, len(scores), batch.group_size)
        outcomes = [[score.outcome for score in scores[start : start + batch.group_size]] for start in starts]
        batch.tallies = [(sum(group), len(group) - sum(group)) for group in outcomes]
        kept = [has_signal(group, self._signal_filter) for group in outcomes for _ in range(batch.group_size)]
        output["advantages"] = zeroed(output["advantages"], self.local(kept))

    def _rollouts(self, batch: Batch) -> list[Rollout]:
        masks = batch.masks or [[1] * len(ids) for ids in batch.completion_ids]
        answers, copied = batch.answers or batch.completion_ids, batch.copied or [False] * len(batch.rows)
        return [
            Rollout(
                row=batch.rows[index],
                prompt_ids=tuple(batch.prompt_ids[index]),
                completion_ids=tuple(batch.completion_ids[index]),
                mask=tuple(masks[index]),
                text=self.chat.decode(answers[index]),
                reward=batch.rewards[index],
                outcome=batch.outcomes[index],
                update=self.state.global_step,
                context=batch.contexts[index] if batch.contexts else None,
                messages=batch.messages[index] if batch.messages else (),
                trajectory=batch.trajectories[index] if batch.trajectories else None,
                copied=copied[index],
            )
            for index in range(len(batch.rows))
        ]

    def _count_rollouts(self, batch: Batch, rollouts: list[Rollout]) -> None:
        """Counts rows, groups and tokens of a half. What the infrastructure broke is masked and counts nowhere."""
        rollouts = [rollout for rollout in rollouts if not rollout.copied]
        rewards = [rollout.reward for rollout in rollouts if rollout.reward is not None]
        self.count(f"{batch.name}/reward_sum", sum(rewards))
        self.count(f"{batch.name}/outcomes", sum(each.outcome for each in rollouts if each.reward is not None))
        self.count(f"{batch.name}/rows", len(rewards))
        if self.accelerator.is_main_process:  # groups may lie on several processes
            self.count(f"{batch.name}/groups", len(batch.signal))
            self.count(f"{batch.name}/groups_with_signal", sum(batch.signal))
        sampled = sum(rollout.sampled_tokens for rollout in rollouts)
        self.count(f"tokens/{batch.name}_sampled", sampled)
        self.count(f"tokens/{batch.name}_prefill", prefilled_tokens(rollouts))

    def _failures(self, batch: Batch, rollouts: list[Rollout]) -> list[Failure | None]:
        """What the failed rollouts teach; None for the others, and for recoveries unless those fission again."""
        if not self.in_training or (batch.contexts is not None and not self.engine.settings.refission):
            return [None] * len(rollouts)
        started = time.perf_counter()
        failed = [rollout.reward is not None and not rollout.outcome for rollout in rollouts]
        pairs = zip(rollouts, failed, strict=True)
        failures = [checked_failure(self._failure_fn(rollout)) if fails else None for rollout, fails in pairs]
        tallies = self.local([tally for tally in batch.tallies for _ in range(batch.group_size)])
        failures = [failure and replace(failure, siblings=tally) for failure, tally in zip(failures, tallies, strict=True)]
        self.count("time/failure_seconds", time.perf_counter() - started)
        return failures

    def _record_exploration(self, half: Generated) -> None:
        if self._record_group is None:
            return
        weights = of_rollouts(half.output["advantages"], half.rollouts)
        rows = zip(half.rollouts, weights, half.failures, strict=True)
        lines = gather_object([logged(rollout, weight, self.chat, failure) for rollout, weight, failure in rows])
        if self.accelerator.is_main_process:
            for start in range(0, len(lines), self.num_generations):
                group = lines[start : start + self.num_generations]
                self._record_group("exploration", exploration_record(self.state.global_step + 1, group))

    def _record_recoveries(self, contexts: list[CorrectiveContext], half: Generated) -> None:
        """Feeds the outcomes of the recovery groups to selection, escalation and the log."""
        weights = of_rollouts(half.output["advantages"], half.rollouts)
        pairs = zip(half.rollouts, weights, strict=True)
        lines = gather_object([logged(rollout, weight, self.chat) for rollout, weight in pairs])
        if not self.accelerator.is_main_process:
            return
        size = self.engine.settings.recovery_generations
        for index, context in enumerate(contexts):
            group = lines[index * size : (index + 1) * size]
            scored = [each.outcome for each in group if each.reward is not None and not each.copied]
            if scored:
                self.engine.record(context, scored)
                if self.monitor is not None:
                    self.monitor.note_group(context, scored)
            if self._record_group is not None:
                self._record_group("recovery", recovery_record(self.state.global_step + 1, context, group))

    def _intercept(self, failures: list[Failure]) -> None:
        """Failures of all ranks enter the pool, on the main process."""
        started = time.perf_counter()
        gathered = gather_object(failures)  # every rank calls it, with an empty list too
        if self.accelerator.is_main_process:
            self.engine.intercept(gathered)
            self.engine.end_update()
            if self.monitor is not None:
                self.monitor.note_failures(gathered)
            for name, value in self.engine.metrics().items():
                self.count(name, value)
        self.count("time/intercept_seconds", time.perf_counter() - started)

    def local(self, rows: list[Any]) -> list[Any]:
        """This rank's share of something that lies in the ranks' joined order."""
        share = len(rows) // self.accelerator.num_processes
        return rows[self.accelerator.process_index * share :][:share]

    def count(self, name: str, value: float) -> None:
        """Adds to what is logged of the update at hand: what this process did, not all of them together."""
        self._tally[name] += value

    def _count_halvings(self) -> None:
        self.count("out_of_memory", self.policy.halvings)
        self.policy.halvings = 0

    def _flush_counts(self) -> None:
        """Equal on all processes, which have to end at the same update of a token budget. Times are the main process's."""
        main = self.accelerator.is_main_process
        for name, value in summed(
            {name: value for name, value in self._tally.items() if main or "time/" not in name}
        ).items():
            self._metrics["train"][name].append(value)
        self._tally.clear()

    # --- what TRL asks for on the way ---

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], Any, dict[str, Any]]:
        batch = self.batch
        if batch is None or not is_conversational({"prompt": prompts[0]}):
            ids, images, fields = super()._tokenize_prompts(prompts)
        elif batch.contexts is not None:
            ids, images, fields = [list(context.prompt_ids) for context in batch.contexts], None, {}
        else:
            ids, images, fields = _rendered(self.chat, prompts, batch.tools), None, {}
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
        return checked_outcomes(outcomes, len(inputs))

    # --- exact resume ---

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        return EpochSampler(cast(RepeatSampler, super()._get_train_sampler(dataset)), self.args.seed)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        if self.monitor is not None and self.accelerator.is_main_process:
            self.monitor.at_checkpoint(self.state.global_step, last=self.state.global_step >= self.state.max_steps)
            self.engine.leave_out_counts()  # the measurement's stand in its own record
        limit, self.args.save_total_limit = self.args.save_total_limit, None  # TRL would delete before ours is sealed
        try:
            with checkpoint.saving(folder):
                self.clear(folder)
                super()._save_checkpoint(model, trial)
                if self.accelerator.is_main_process:
                    checkpoint.save_state(folder, self._fission_state())
                self.accelerator.wait_for_everyone()
                if self.accelerator.is_main_process:
                    checkpoint.seal(folder)
        finally:
            self.args.save_total_limit = limit
        if self.accelerator.is_main_process:
            checkpoint.rotate(folder, limit, kept=self.state.best_model_checkpoint)

    def clear(self, folder: Path) -> None:
        """Removes what a killed run left of the same save: it would become part of this one."""
        if self.accelerator.is_main_process:
            shutil.rmtree(folder, ignore_errors=True)
        self.accelerator.wait_for_everyone()

    def _fission_state(self) -> dict[str, Any]:
        monitor = self.monitor.state_dict() if self.monitor else None
        return {
            "engine": self.engine.state_dict(),
            "queue": self._queue.waiting,
            "monitor": monitor,
            "rows_decoded": self.policy.batch_size,
            **self.extra_state(),
        }

    def _take_over(self, state: dict[str, Any]) -> None:
        if self.monitor is not None and state["monitor"] is not None:
            self.monitor.load_state_dict(state["monitor"])  # first: it puts the simulator's version into the chain
        self.engine.load_state_dict(state["engine"])
        self._queue.waiting = state["queue"]
        self.policy.batch_size = state["rows_decoded"]

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
            whole = Path(resume_from_checkpoint)
            state = from_main(lambda: checkpoint.load_state(whole))  # the key may be the main process's alone
            with checkpoint.understood(whole):
                self._take_over(state)
        return super().train(resume_from_checkpoint, *arguments, **named)


def _chain(simulator: Simulator | Sequence[Simulator] | None) -> FallbackChain:
    """The simulator or simulators a user gave, behind the leak guard and in front of the fixed sentence."""
    if simulator is None:
        return FallbackChain([EnvironmentSimulator(), RulesSimulator()])
    return FallbackChain(simulator if isinstance(simulator, Sequence) else [simulator])


def _check_sampling(method: Method, rollout_func: Any, args: FissionGRPOConfig) -> None:
    """A method that samples in its own way goes through our `rollout_func`, and trains on what was not sampled at x."""
    if type(method).generate is Method.generate:
        return
    name = type(method).__name__
    if rollout_func is None:
        raise UserError(
            f"rollout_func: None found, a function is needed: method {name} samples more than TRL does by itself"
        )
    if args.use_vllm:
        raise UserError(f"use_vllm: True found, False is allowed: method {name} trains tokens that were sampled elsewhere")


def _generate(prompts: list[Any], trainer: Any) -> dict[str, Any]:
    """TRL's `rollout_func`: the method samples, with what the user or the granularity gave for it."""
    with whole_weights(trainer):
        output = trainer.method.generate(prompts, trainer, trainer._sample)
    trainer.batch.masks = output.get("env_mask", [])
    return output


def _rendered(chat: ChatFormat, prompts: Sequence[list[Message]], tools: Sequence[list[Tool]]) -> list[list[int]]:
    """The ids of every prompt; siblings, which stand side by side, are rendered once."""
    ids: list[list[int]] = []
    for index, (prompt, offered) in enumerate(zip(prompts, tools, strict=True)):
        sibling = index > 0 and prompt == prompts[index - 1] and offered == tools[index - 1]
        ids.append(list(ids[-1]) if sibling else list(chat.render(prompt, offered)))
    return ids
