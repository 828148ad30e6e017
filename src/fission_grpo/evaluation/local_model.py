# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch and transformers ship no complete types.
"""A model of this process that plays a benchmark, on transformers. torch is imported when one is loaded."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from fission_grpo.chat.template import ChatFormat
from fission_grpo.rollout.cpu import configure_cpu_unless_late
from fission_grpo.rollout.devices import usable_device
from fission_grpo.rollout.loading import load_policy_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from fission_grpo.rollout.transformers_policy import TransformersPolicy

PREFIX_BYTES = 4 << 30
"""Keys and values of the dialogues under way: their prompts have thousands of tokens, and grow at their end only."""


@dataclass(frozen=True)
class LoadedModel:
    """A loaded model.

    Attributes:
        context_tokens: how many tokens it was made to read and write together.
    """

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    chat: ChatFormat
    context_tokens: int

    def policy(self, batch_size: int, context_tokens: int, seed: int) -> "TransformersPolicy":
        """A policy on it; its messages end where the context does."""
        from fission_grpo.rollout.transformers_policy import TransformersPolicy

        return TransformersPolicy(
            self.model,
            cast(int, self.tokenizer.pad_token_id),
            self.chat.end_ids,
            batch_size=batch_size,
            seed=seed,
            prefix_bytes=PREFIX_BYTES,
            context_tokens=context_tokens,
        )


def load_local(model: str, device: str | None, dtype: str) -> LoadedModel:
    """Loads a model.

    Args:
        device: by default a GPU where there is one.

    Raises:
        UserError: no such model or device, or the model has no chat template.
    """
    configure_cpu_unless_late()
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    disable_progress_bar()  # the terminal is our own display's
    set_verbosity_error()  # it warns of prompts that are longer than a context; we count them
    place = usable_device(device, "--device")
    loaded, tokenizer = load_policy_model(model, dtype)
    loaded.to(place)  # pyright: ignore[reportArgumentType]
    stated = getattr(loaded.config.get_text_config(), "max_position_embeddings", None)
    return LoadedModel(loaded, tokenizer, ChatFormat(tokenizer), int(stated or tokenizer.model_max_length))
