"""The small policy that comes with the package: enough to run the whole method on a laptop, in minutes.

`MODEL_FOLDER` loads with `AutoModelForCausalLM.from_pretrained` and `AutoTokenizer.from_pretrained`. It is rebuilt from
nothing by `python -m fission_grpo.bundled.build`.
"""

from pathlib import Path

MODEL_FOLDER = Path(__file__).parent / "model"
"""A Qwen3-shaped model of about two million parameters with its tokenizer, chat template and model card."""
