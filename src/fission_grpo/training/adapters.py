"""The low-rank adapters of a recipe, as PEFT takes them."""

from peft import LoraConfig

from fission_grpo.recipe import LoraSection


def lora_config(lora: LoraSection | None) -> LoraConfig | None:
    """The adapters that a recipe trains, None where it trains all weights."""
    if lora is None:
        return None
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        task_type="CAUSAL_LM",
    )
