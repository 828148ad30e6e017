"""The bundled policy's network: Qwen3's architecture at about two million parameters."""

import torch
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from fission_grpo.bundled.tokenizer import CONTEXT_LENGTH, END, pad_id


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen3ForCausalLM:
    """An untrained model, its weights drawn from `seed`, on the CPU in float32."""
    end, pad = tokenizer.get_vocab()[END], pad_id(tokenizer)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=48,
        max_position_embeddings=CONTEXT_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
        dtype="float32",
    )
    generator_state = torch.get_rng_state()
    torch.manual_seed(seed)
    try:
        model = Qwen3ForCausalLM(config)
    finally:
        torch.set_rng_state(generator_state)
    # Its end token closes a message; vLLM and `generate` read it from here.
    model.generation_config.eos_token_id = end
    model.generation_config.pad_token_id = pad
    return model
