"""The agent loop `fission`: one message, sampled from the row's token ids. Token in, token out."""

from typing import Any
from uuid import uuid4

from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput
from verl.utils.profiler import simple_timer

from fission_verl.chat import chat_format


class ContinuePrompt(AgentLoopBase):
    """Continues `prompt_ids` (P,) by one message; what was sampled is the policy's, and nothing else is.

    `extra_fields` tell the reward function (`reward.py`) what verl does not: the text with its tags, where verl decodes
    without special tokens, its length in tokens, and the updates done before it was sampled.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        # verl merges messages by the model's family, and insists on that family's tokens. Here nothing is merged.
        super().__init__(*arguments, **{**named, "hf_model_type": None})

    async def run(
        self, sampling_params: dict[str, Any], *, prompt_ids: list[int], global_steps: int, **_: Any
    ) -> AgentLoopOutput:
        prompt = [int(token) for token in prompt_ids]
        if len(prompt) > self.rollout_config.prompt_length:  # never cut: it would no longer be the context it stands for
            raise ValueError(f"prompt of {len(prompt)} tokens, at most {self.rollout_config.prompt_length} are allowed")
        timing: dict[str, float] = {}
        with simple_timer("generate_sequences", timing):
            sampled = await self.server_manager.generate(
                request_id=uuid4().hex, prompt_ids=prompt, sampling_params=sampling_params
            )
        ids = sampled.token_ids[: self.rollout_config.response_length]
        logprobs = sampled.log_probs[: len(ids)] if sampled.log_probs else None
        told = {"text": chat_format(self.tokenizer).decode(ids), "tokens": len(ids), "update": int(global_steps) - 1}
        return AgentLoopOutput(
            prompt_ids=prompt,
            response_ids=ids,
            response_mask=[1] * len(ids),
            response_logprobs=logprobs,
            num_turns=2,
            metrics=AgentLoopMetrics(generate_sequences=timing["generate_sequences"]),
            extra_fields={**sampled.extra_fields, **told},
        )
