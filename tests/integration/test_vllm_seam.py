"""What TRL's own `VLLMGeneration` asks of a server, from our batches. No vLLM takes part: this holds the contract alone.

The trainer and `VLLMGeneration` are real; TRL's HTTP client is replaced by one that notes what it is sent, and samples from
the trainer's own model.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
import trl.generation.vllm_generation as vllm_generation
from training_runs import recipe_trainer, small_recipe, watched

from fission_grpo.errors import UserError
from fission_grpo.rollout.policy import Policy, Sampling
from fission_grpo.training import runs
from fission_grpo.training.generation import policy_of

SERVER = ("trainer.use_vllm=true", "trainer.vllm_mode=server", "fission.recovery_generations=8")


class Client:
    """Stands for `VLLMClient`: n completions a prompt, each with the log-probability of every sampled token."""

    policy: Policy

    def __init__(self, **_: Any) -> None:
        self.requests: list[dict[str, Any]] = []
        self.weights: list[dict[str, torch.Tensor]] = []

    def init_communicator(self, device: Any) -> None: ...

    def reset_prefix_cache(self) -> None: ...

    def get_server_info(self) -> dict[str, Any]:
        return {"model_config": {"logprobs_mode": "processed_logprobs"}}

    def update_named_params(self, metadata: list[Any], parameters: Any) -> None:
        self.weights.append({name: weight.clone() for name, weight in parameters})
        assert [name for name, _, _ in metadata] == list(self.weights[-1])

    def generate(self, prompts: list[list[int]], n: int, max_tokens: int, **_: Any) -> dict[str, Any]:
        self.requests.append({"prompts": prompts, "n": n})
        sampling = Sampling(max_new_tokens=max_tokens, seed=len(self.requests))
        sampled = self.policy.generate([prompt for prompt in prompts for _ in range(n)], sampling)
        logprobs = [[[logprob] for logprob in each.logprobs] for each in sampled]
        return {"prompt_ids": prompts, "completion_ids": [list(each.ids) for each in sampled], "logprobs": logprobs}


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_generation, "is_vllm_available", lambda: True)
    monkeypatch.setattr(vllm_generation, "VLLMClient", Client)


def served_trainer(run: Path, *overrides: str) -> Any:
    trainer = recipe_trainer(run, *SERVER, *overrides)
    trainer.vllm_generation.vllm_client.policy = policy_of(trainer)
    return trainer


def test_steps_groups_ids_and_weights(tmp_path: Path):
    """16 rows: four prompts of G = 4, then twice two of them and one context of G' = 8."""
    trainer = served_trainer(tmp_path / "run", "fission.signal_filter=none", "trainer.max_steps=3")
    popped: list[tuple[Any, Any]] = []
    watched(trainer.engine, "pop", popped)
    trainer.train()
    client = trainer.vllm_generation.vllm_client
    mixed = [(2, 4), (1, 8)]
    assert [(len(request["prompts"]), request["n"]) for request in client.requests] == [(4, 4), *mixed, *mixed]
    (context,) = popped[-1][1]
    assert client.requests[-1]["prompts"] == [list(context.prompt_ids)]
    failed = list(context.failure.completion_ids)
    start = len(context.failure.prompt_ids)
    assert client.requests[-1]["prompts"][0][start:][: len(failed)] == failed
    # Once an update, and not between the halves of a mixed batch.
    assert len(client.weights) == 3
    changed = [name for name in client.weights[0] if not torch.equal(client.weights[0][name], client.weights[2][name])]
    assert len(changed) > len(client.weights[0]) / 2


def test_episodes_are_sampled_by_the_server(tmp_path: Path):
    """Every message is a request of its own: an episode's next one goes on from all ids before it."""
    overrides = ("granularity=episode", "trainer.max_steps=1", "rollout.max_new_tokens=8")
    trainer = served_trainer(tmp_path / "run", *overrides)
    trainer.train()
    requests = trainer.vllm_generation.vllm_client.requests
    assert requests and all(request["n"] == 1 for request in requests)
    assert len(requests[0]["prompts"]) == 16
    assert len(trainer.vllm_generation.vllm_client.weights) == 1


def test_without_vllm_a_recipe_is_refused_before_a_model_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runs, "is_vllm_available", lambda: False)
    recipe = small_recipe("trainer.use_vllm=true")
    with pytest.raises(UserError, match=r"trainer.use_vllm: true found, false is allowed: vLLM is not installed"):
        runs.check_trainable(recipe, tmp_path)


def test_a_server_without_a_gpu_to_train_on_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runs, "is_vllm_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"trainer.vllm_mode: 'server' found, 'colocate' is allowed"):
        runs.check_trainable(small_recipe(*SERVER), tmp_path)
