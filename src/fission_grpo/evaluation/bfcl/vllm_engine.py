# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# vLLM is optional, and ships no complete types.
"""vLLM in this process, where it is installed: batches and prefix caching are vLLM's own."""

import time
from collections.abc import Mapping
from typing import Any

from fission_grpo.errors import InfrastructureError, UserError
from fission_grpo.evaluation.bfcl.backends import RESERVED_TOKENS, ContextExceeded, Decoding, Outcome
from fission_grpo.evaluation.bfcl.handlers import Completion, Request
from fission_grpo.evaluation.bfcl.local import LocalModel


def load_vllm(model: str, capacity: int, dtype: str) -> LocalModel:
    """A model on vLLM.

    Raises:
        UserError: vLLM is not installed.
    """
    try:
        import vllm
    except ImportError as error:
        raise UserError("--backend vllm: vLLM is not installed; pip install vllm, or take --backend transformers") from error
    engine = vllm.LLM(model=model, dtype=dtype, enable_prefix_caching=True, max_num_seqs=capacity)
    return LocalModel(engine.get_tokenizer(), lambda decoding: VLLMBackend(engine, decoding, capacity))


class VLLMBackend:
    """One batch of messages at a time.

    Args:
        engine: a `vllm.LLM`.
    """

    def __init__(self, engine: Any, decoding: Decoding, capacity: int) -> None:
        self.capacity = capacity
        self._engine = engine
        self._tokenizer = engine.get_tokenizer()
        self._context: int = engine.llm_engine.model_config.max_model_len
        self._decoding = decoding
        self._waiting: list[tuple[int, list[int]]] = []
        self._outcomes: list[tuple[int, Outcome]] = []

    def submit(self, key: int, request: Request) -> None:
        ids = list(self._tokenizer(request.prompt, add_special_tokens=False)["input_ids"])
        if self._room(ids) < 1:
            self._outcomes.append(
                (key, ContextExceeded(f"the prompt has {len(ids)} tokens, the model's context {self._context}"))
            )
        else:
            self._waiting.append((key, ids))

    def collect(self) -> list[tuple[int, Outcome]]:
        waiting, self._waiting = self._waiting, []
        outcomes, self._outcomes = self._outcomes, []
        if not waiting:
            return outcomes
        started = time.perf_counter()
        prompts: list[Mapping[str, Any]] = [{"prompt_token_ids": ids} for _, ids in waiting]
        answers = self._engine.generate(prompts, [self._sampling(ids) for _, ids in waiting], use_tqdm=False)
        seconds = time.perf_counter() - started
        for (key, ids), answer in zip(waiting, answers, strict=True):
            outcomes.append((key, _outcome(ids, answer, seconds)))
        return outcomes

    def close(self) -> None:
        pass

    def _room(self, ids: list[int]) -> int:
        return self._context - len(ids) - RESERVED_TOKENS

    def _sampling(self, ids: list[int]) -> Any:
        import vllm

        limit = min(self._decoding.max_new_tokens, self._room(ids))
        return vllm.SamplingParams(temperature=self._decoding.temperature, max_tokens=limit, seed=self._decoding.seed)


def _outcome(ids: list[int], answer: Any, seconds: float) -> Outcome:
    if not answer.outputs:
        return InfrastructureError("vLLM returned no output")
    output = answer.outputs[0]
    return Completion(output.text, (), len(ids), len(output.token_ids), seconds)
