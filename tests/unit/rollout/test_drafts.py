"""A draft is found to be what greedy decoding gives, exactly where it is."""

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fission_grpo.chat.template import ChatFormat
from fission_grpo.rollout.drafts import greedy_matches
from fission_grpo.rollout.loading import load_policy_model
from fission_grpo.rollout.policy import Sampling
from fission_grpo.rollout.transformers_policy import TransformersPolicy

Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]
ASKED = (
    "Show notes.txt.",
    "Please close the ticket titled gito.",
    "Say hello to daki, then log out again, and tell me when.",
)


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load_policy_model("bundled")


def test_only_what_greedy_decoding_writes_matches(loaded: Loaded) -> None:
    model, tokenizer = loaded
    model.eval()
    chat, pad = ChatFormat(tokenizer), int(str(tokenizer.pad_token_id))
    prompts = [chat.render([{"role": "user", "content": text}]) for text in ASKED]
    policy = TransformersPolicy(model, pad, chat.end_ids)
    written = [list(each.ids) for each in policy.generate(prompts, Sampling(0.0, max_new_tokens=24))]
    assert len({len(ids) for ids in [*prompts, *written]}) > 2  # of several lengths: padding must not matter
    assert greedy_matches(model, prompts, written, pad) == [True] * 3
    for place in range(3):
        for token in (0, len(written[place]) // 2, len(written[place]) - 1):
            other = [list(ids) for ids in written]
            other[place][token] = (other[place][token] + 1) % len(tokenizer)
            assert greedy_matches(model, prompts, other, pad) == [index != place for index in range(3)]
    assert greedy_matches(model, prompts[:1], [written[0][:2]], pad) == [True]
