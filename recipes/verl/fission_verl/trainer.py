"""Fission as a subclass of verl's synchronous trainer (verl 0.9, `trainer.v1.trainer_mode=fission_sync`).

One training step, in order:

    pop contexts -> submit prompts (G rollouts each) and contexts (G' each) -> verl's step -> record outcomes -> intercept

Both halves are sampled by the same weights and make one update, as in `fission_grpo.training.trainer`; pool, trigger,
feedback and context builder are the same code. A group is whatever shares a `uid`, and advantages are verl's own GRPO
estimator's. Everything runs on the controller; only token ids, rewards and texts are read back from the queue.

Of verl, these methods are wrapped: `_init_tokenizer`, `prepare_step`, `_step_once`, `_save_checkpoint`, `_load_checkpoint`;
and `_next_train_batch`, `_submit_batch_to_rollout` are called.
"""

import pickle
import uuid
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transfer_queue as tq
from omegaconf import DictConfig, open_dict
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import register_trainer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils import tensordict_utils as tu

from fission_grpo.errors import UserError
from fission_grpo.fission import FissionEngine
from fission_grpo.training.rollouts import Rollout, failure_of_row
from fission_grpo.training.signing import is_signed, key_file, sign
from fission_grpo.types import CorrectiveContext, Failure
from fission_verl.chat import chat_format
from fission_verl.dataset import step_fields
from fission_verl.settings import check_batch, displaced_prompts, read_section

STATE_FILE = "fission_state.pkl"
"""In verl's folder `global_step_N`: the engine's whole state, a pickle; signed, as checkpoints of `fission train` are."""
ROW_COLUMNS = ("data_source", "prompt", "raw_prompt", "prompt_ids", "reward_model", "extra_info", "index")
"""Columns of a dataset row that a recovery is submitted with again."""
_READ_BACK = ["prompts", "responses", "rm_scores", "extra_fields"]


@dataclass(frozen=True)
class Submitted:
    """One prompt under way, by its uid: the dataset row, and the context where its rollouts are recoveries."""

    row: dict[str, Any]
    context: CorrectiveContext | None = None


@register_trainer("fission_sync")
class FissionTrainer(PPOTrainerSync):
    """`PPOTrainerSync` in which a failed rollout becomes a group of recovery rollouts.

    Raises:
        UserError: a setting of `config.fission`, or one of verl's that does not go with it; before any model is loaded.
    """

    def __init__(self, config: DictConfig) -> None:
        self.settings, self._chain = read_section(config)
        check_batch(config, self.settings)
        with open_dict(config):  # verl asks for the mode by name in many places, and this is its synchronous one
            config.trainer.v1.trainer_mode = "sync"
        super().__init__(config)
        self._submitted: dict[str, Submitted] = {}

    def _init_tokenizer(self) -> None:
        super()._init_tokenizer()
        self._chat = chat_format(self.tokenizer, self.config.data.get("apply_chat_template_kwargs"))
        self.engine = FissionEngine(self.settings, self._chain, self._chat)

    # --- one step ---

    def prepare_step(self) -> dict[str, float]:
        """Submits the mixed batch: exploration prompts, and the contexts that this step trains in place of some."""
        prompts, group_size = self.config.data.train_batch_size, self.config.actor_rollout_ref.rollout.n
        rows = prompts * group_size
        contexts = self.engine.pop(self.global_steps - 1, rows)
        displaced = displaced_prompts(self.settings, rows, group_size) if contexts else 0
        self._submitted.clear()
        if displaced < prompts:
            self._submit(self._next_train_batch(prompts - displaced))
        if contexts:
            self._submit(self._recovery_batch(contexts), contexts)
        return {}

    def _submit(self, batch: TensorDict, contexts: list[CorrectiveContext] | None = None) -> None:
        for index, row in enumerate(rows_of(batch)):
            self._submitted[row["uid"]] = Submitted(row, contexts[index] if contexts else None)
        self._submit_batch_to_rollout(batch)

    def _recovery_batch(self, contexts: list[CorrectiveContext]) -> TensorDict:
        """One row a context: the failed row's columns, its prompt replaced by x_corr, and a group size of its own."""
        rows: list[dict[str, Any]] = []
        for context in contexts:
            row = {name: context.failure.row[name] for name in ROW_COLUMNS}
            row |= {"raw_prompt": list(context.messages), "prompt_ids": list(context.prompt_ids)}
            rows.append(row | {"uid": str(uuid.uuid4()), "__rollout_n__": self.settings.recovery_generations})
        batch = tu.get_tensordict({name: [row[name] for row in rows] for name in rows[0]})
        tu.assign_non_tensor_data(batch, "global_steps", self.global_steps)
        return batch

    def _step_once(self, metrics: dict[str, Any], timing_raw: dict[str, float], sample_batch_size: int) -> KVBatchMeta:
        """verl's update over all groups submitted, however many there are, and what is learnt from its rollouts."""
        batch = super()._step_once(metrics, timing_raw, len(self._submitted))
        groups = self._rollouts(batch)
        for group in groups:
            if group[0].context is not None:
                self.engine.record(group[0].context, [rollout.outcome for rollout in group])
        self.engine.intercept([failure for group in groups for failure in self._failures(group)])
        self.engine.end_update()
        metrics.update(self.engine.metrics())
        metrics.update(_outcome_metrics(groups))
        return batch

    def _rollouts(self, batch: KVBatchMeta) -> list[list[Rollout]]:
        """The trained rollouts by group, in the order of submission; verl's padding rows are left out."""
        keys = [key for key, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding", False)]
        data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=_READ_BACK)
        groups: defaultdict[str, list[Rollout]] = defaultdict(list)
        columns = (data["prompts"].unbind(), data["responses"].unbind(), data["rm_scores"].unbind(), data["extra_fields"])
        for key, prompt, response, score, extra in sorted(zip(keys, *columns, strict=True), key=lambda row: row[0]):
            uid = key.rsplit("_", 2)[0]
            groups[uid].append(
                Rollout(
                    row=step_fields(self._submitted[uid].row) | self._submitted[uid].row,
                    prompt_ids=tuple(prompt.tolist()),
                    completion_ids=tuple(response.tolist()),
                    mask=(1,) * len(response),
                    text=extra["text"],
                    reward=float(score.sum()),
                    outcome=bool(extra["reward_extra_info"]["acc"]),
                    update=self.global_steps - 1,
                    context=self._submitted[uid].context,
                )
            )
        return [groups[uid] for uid in self._submitted if uid in groups]

    def _failures(self, group: list[Rollout]) -> list[Failure]:
        """What a group's failed rollouts teach; nothing from recoveries, unless those fission again."""
        if group[0].context is not None and not self.settings.refission:
            return []
        successes = sum(rollout.outcome for rollout in group)
        found = [failure_of_row(rollout) for rollout in group]
        return [replace(failure, siblings=(successes, len(group) - successes)) for failure in found if failure is not None]

    # --- checkpoints ---

    def _save_checkpoint(self) -> None:
        """Our state first: verl names a checkpoint its latest at the end of its own saving."""
        folder = self._checkpoint_folder()
        folder.mkdir(parents=True, exist_ok=True)
        state = pickle.dumps(self.engine.state_dict())
        (folder / STATE_FILE).write_bytes(state)
        sign(folder, state)
        super()._save_checkpoint()

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()
        if self.global_steps == 0:
            return
        folder = self._checkpoint_folder(resumed=True)
        file = folder / STATE_FILE
        if not file.exists():
            raise UserError(f"file {file}: no such file; this checkpoint was not written by the trainer fission_sync")
        state = file.read_bytes()
        if not is_signed(folder, state):
            raise UserError(f"file {file}: a pickle, not signed with {key_file()}; copy there the key of who wrote it")
        self.engine.load_state_dict(pickle.loads(state))  # noqa: S301 (signed)

    def _checkpoint_folder(self, resumed: bool = False) -> Path:
        trainer = self.config.trainer
        if resumed and trainer.resume_mode == "resume_path":
            return Path(trainer.resume_from_path)
        return Path(trainer.default_local_dir) / f"global_step_{self.global_steps}"


def rows_of(batch: TensorDict) -> list[dict[str, Any]]:
    """The rows of a batch as verl submits it: what is the same for all of them is in each."""
    columns = {name: tu.get(batch, name) for name in batch.keys()}  # noqa: SIM118 (a TensorDict iterates over its rows)
    return [
        {name: value[index] if isinstance(value, (list, torch.Tensor)) else value for name, value in columns.items()}
        for index in range(len(batch))
    ]


def _outcome_metrics(groups: list[list[Rollout]]) -> dict[str, float]:
    """Shares of successes, of explorations and of recoveries, as `fission train` logs them."""
    found: dict[str, float] = {}
    for name, recovers in (("exploration", False), ("recovery", True)):
        outcomes = [rollout.outcome for group in groups for rollout in group if (rollout.context is not None) == recovers]
        if outcomes:
            found[f"{name}/success"] = sum(outcomes) / len(outcomes)
    return found
