"""How the bundled policy plays held-out tasks: what its model card states."""

from collections.abc import Mapping, Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from fission_grpo.bundled.tokenizer import CONTEXT_LENGTH, pad_id
from fission_grpo.chat.template import ChatFormat
from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.evaluation.evaluate import evaluate
from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.rollout.episode import EpisodeLimits
from fission_grpo.rollout.transformers_policy import TransformersPolicy
from fission_grpo.tasks.task import Task

LIMITS = EpisodeLimits(steps_per_turn=8, context_tokens=CONTEXT_LENGTH)
"""The longest reference turn takes three messages."""
MAX_NEW_TOKENS = 96


def measure(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tasks: Sequence[Task]) -> Mapping[str, Ratio]:
    """The metrics of `docs/method.md`, section 7: one episode a task, at temperature 1, in the real environment."""
    chat = ChatFormat(tokenizer)
    policy = TransformersPolicy(model, pad_id(tokenizer), chat.end_ids)
    result = evaluate(
        policy, chat, tasks, lambda _: BFCLEnvironment(), samples=1, limits=LIMITS, max_new_tokens=MAX_NEW_TOKENS
    )
    return result.metrics
