"""verl's real controller, queue, replay buffer, agent-loop worker and reward manager around two stand-ins.

Stand-ins are what needs a GPU: the rollout engine (`Sampler` writes scripted messages) and the training workers (`Workers`
note what they are given). Everything between them is verl's own code, on a local Ray and a real TransferQueue.
"""

import asyncio
import copy
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch
import transfer_queue as tq
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf, open_dict
from verl.trainer.ppo.reward import load_reward_manager
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopWorkerTQ
from verl.utils import tensordict_utils as tu
from verl.workers.rollout.replica import TokenOutput

from fission_grpo.bundled import MODEL_FOLDER
from fission_grpo.chat.parsing import render_calls
from fission_grpo.environments.conversion import convert
from fission_grpo.environments.registry import make_environment
from fission_grpo.tasks.generate import generate_tasks
from fission_grpo.tasks.mix import Mix
from fission_grpo.tasks.rows import reference_of
from fission_grpo.tasks.task import save_tasks
from fission_verl.dataset import step_fields
from fission_verl.trainer import FissionTrainer

RECIPE = Path(__file__).parents[1]
WRONG = '<tool_call>\n{"name": "no_such_tool", "arguments": {}}\n</tool_call>'
SMALL = {
    "data.train_batch_size": 4,
    "actor_rollout_ref.rollout.n": 4,
    "actor_rollout_ref.actor.ppo_mini_batch_size": 4,
    "fission.recovery_generations": 8,
    "data.max_prompt_length": 1024,
    "actor_rollout_ref.rollout.prompt_length": 1024,
    "actor_rollout_ref.rollout.response_length": 64,
    "fission.max_context_tokens": 1024,
    "fission.unanswered_failures": True,
}
"""16 rows: four groups of four, or two of four and one recovery group of eight."""


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Step instances of twelve generated tasks in verl's layout, as `fission tasks convert --to verl` writes them."""
    folder = tmp_path_factory.mktemp("data")
    tasks = generate_tasks(12, 5, make_environment("bfcl"), mix=Mix.COMPACT)
    save_tasks(tasks, folder / "tasks.jsonl")
    convert(folder / "tasks.jsonl", folder / "train.parquet", "verl", lambda _: None)
    return folder / "train.parquet"


@pytest.fixture
def make_config(data: Path, tmp_path: Path) -> Any:
    """The recipe's configuration over verl's own, with overrides."""

    def made(**overrides: Any) -> Any:
        with initialize_config_dir(str(RECIPE / "config"), version_base=None):
            config = compose("fission", ["hydra.searchpath=[pkg://verl.trainer.config]"])
        settings = SMALL | {
            "data.train_files": str(data),
            "data.val_files": str(data),
            "data.apply_chat_template_kwargs": {},
            "actor_rollout_ref.model.path": str(MODEL_FOLDER),
            "actor_rollout_ref.rollout.agent.agent_loop_config_path": str(RECIPE / "fission_verl" / "agent_loop.yaml"),
            "trainer.default_local_dir": str(tmp_path / "checkpoints"),
            "trainer.device": "cpu",
        }
        with open_dict(config):
            for key, value in (settings | overrides).items():
                OmegaConf.update(config, key, value, merge=False)
        OmegaConf.resolve(config)
        return config

    return made


@pytest.fixture(scope="session")
def queue() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    tq.init(
        OmegaConf.create(
            {
                "enable": True,
                "backend": {
                    "storage_backend": "SimpleStorage",
                    "SimpleStorage": {"total_storage_size": 1000, "num_data_storage_units": 1},
                },
            }
        )
    )
    yield
    tq.close()
    ray.shutdown()


class Sampler:
    """Stands for the rollout engine. Every fourth message answers as the reference does, the others call an unknown tool."""

    def __init__(self, trainer: FissionTrainer) -> None:
        chat = trainer.engine._chat
        self.requests: list[list[int]] = []
        self.answers: dict[tuple[int, ...], list[int]] = {}
        self.wrong = [*chat.tokenize(WRONG), chat.turn_end_id]
        for index in range(len(trainer.train_dataset)):
            row = trainer.train_dataset[index]
            reference = render_calls(reference_of(step_fields(row)) or ()) or "Done."
            self.answers[tuple(row["prompt_ids"])] = [*chat.tokenize(reference), chat.turn_end_id]

    async def generate(self, request_id: str, prompt_ids: list[int], sampling_params: dict[str, Any]) -> TokenOutput:
        self.requests.append(prompt_ids)
        right = self.requests.count(prompt_ids) % 4 == 1
        ids = self.answers[self.explored(prompt_ids)] if right else self.wrong
        steps = {"min_global_steps": 0, "max_global_steps": 0}
        return TokenOutput(token_ids=ids, log_probs=[-0.5] * len(ids), extra_fields=steps)

    def explored(self, prompt_ids: Sequence[int]) -> tuple[int, ...]:
        """The row that a prompt begins with. One dialogue's earlier steps begin its later ones, so it is the longest."""
        return max((ids for ids in self.answers if tuple(prompt_ids[: len(ids)]) == ids), key=len)


class Workers:
    """Stands for the training workers: log-probabilities of 0, and a record of every batch it is to train."""

    def __init__(self) -> None:
        self._dispatch_info = {"actor": [0]}
        self.trained: list[dict[str, Any]] = []
        self.saved: list[str] = []

    def compute_log_prob(self, batch: Any) -> Any:
        fields = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=["input_ids"])
        zeros = torch.nested.as_nested_tensor(
            [torch.zeros(len(ids)) for ids in fields["input_ids"].unbind()], layout=torch.jagged
        )
        tq.kv_batch_put(
            keys=batch.keys,
            partition_id=batch.partition_id,
            fields=tu.get_tensordict({"log_probs": zeros, "entropy": zeros.clone()}),
        )
        return batch

    def update_actor(self, batch: Any) -> Any:
        wanted = ["prompts", "responses", "response_mask", "loss_mask", "advantages", "rm_scores"]
        data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=wanted)
        columns = {name: [each.tolist() for each in data[name].unbind()] for name in wanted}
        self.trained.append({"keys": list(batch.keys), **columns})
        return tu.get_tensordict({}, {"metrics": {"mfu": [0.0], "grad_norm": [0.0]}})

    def save_checkpoint(self, path: str, *_: Any, **__: Any) -> None:
        self.saved.append(path)

    def load_checkpoint(self, **_: Any) -> None: ...


class Manager:
    """verl's agent-loop worker in a thread of this process, where verl has several as Ray actors."""

    def __init__(self, config: Any, sampler: Sampler) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._worker = self._run(self._made(config, sampler))

    async def _made(self, config: Any, sampler: Sampler) -> Any:
        worker_class = AgentLoopWorkerTQ.__ray_metadata__.modified_class
        worker = worker_class(config, sampler, None, [])
        manager = load_reward_manager(config, worker.tokenizer)

        def remote(data: Any) -> Any:
            """A copy, as Ray makes of what it sends: the manager writes into dictionaries that siblings share here."""
            return manager.run_single(copy.deepcopy(data))

        worker.reward_loop_worker_handles = [SimpleNamespace(compute_score=SimpleNamespace(remote=remote))]
        return worker

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=60)

    def generate_sequences(self, batch: Any) -> None:
        self._run(self._worker.generate_sequences(batch))


@pytest.fixture
def make_trainer(queue: None, make_config: Any) -> Any:
    """A trainer as verl sets it up, with stand-ins for what needs a GPU."""

    def made(**overrides: Any) -> Any:
        config = make_config(**overrides)
        trainer: Any = FissionTrainer(config)
        trainer._init_tokenizer()
        trainer._init_dataloader()
        trainer.global_steps = 1
        trainer.actor_rollout_wg = Workers()
        trainer.checkpoint_manager = SimpleNamespace(sleep_replicas=lambda: None, update_weights=lambda *_: None)
        trainer.reward_loop_manager = SimpleNamespace(reward_loop_worker_handles=[])
        trainer.curr_step_profile = False
        trainer.replay_buffer.poll_interval = 0.05
        trainer.sampler = Sampler(trainer)
        trainer.agent_loop_manager = Manager(config, trainer.sampler)
        return trainer

    return made


def train(trainer: Any, steps: int) -> list[dict[str, Any]]:
    """Steps as verl's `fit` makes them; returns their metrics."""
    logged: list[dict[str, Any]] = []
    for _ in range(steps):
        metrics: dict[str, Any] = {}
        batch = trainer.step(metrics, {})
        tq.kv_clear(keys=batch.keys, partition_id=batch.partition_id)
        trainer.global_steps += 1
        logged.append(metrics)
    return logged
