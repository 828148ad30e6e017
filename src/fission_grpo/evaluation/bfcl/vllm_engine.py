# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# vLLM is optional, and ships no complete types.
"""vLLM in this process, where it is installed: batches and prefix caching are vLLM's own."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from fission_grpo.errors import InfrastructureError, UserError
from fission_grpo.evaluation.asking import Completion, Decoding, Outcome
from fission_grpo.evaluation.bfcl.backends import BatchBackend
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


class VLLMBackend(BatchBackend):
    """Plays a `vllm.LLM`."""

    def __init__(self, engine: Any, decoding: Decoding, capacity: int) -> None:
        context: int = engine.llm_engine.model_config.max_model_len
        super().__init__(engine.get_tokenizer(), context, decoding, capacity)
        self._engine = engine

    def sample(self, prompts: Sequence[Sequence[int]]) -> list[Outcome]:
        started = time.perf_counter()
        inputs: list[Mapping[str, Any]] = [{"prompt_token_ids": list(ids)} for ids in prompts]
        answers = self._engine.generate(inputs, [self._sampling(ids) for ids in prompts], use_tqdm=False)
        seconds = time.perf_counter() - started
        return [_outcome(ids, answer, seconds) for ids, answer in zip(prompts, answers, strict=True)]

    def _sampling(self, ids: Sequence[int]) -> Any:
        import vllm

        limit = min(self.decoding.max_new_tokens, self.room(ids))
        return vllm.SamplingParams(temperature=self.decoding.temperature, max_tokens=limit, seed=self.decoding.seed)


def _outcome(ids: Sequence[int], answer: Any, seconds: float) -> Outcome:
    if not answer.outputs:
        return InfrastructureError("vLLM returned no output")
    output = answer.outputs[0]
    return Completion(output.text, (), len(ids), len(output.token_ids), seconds)
