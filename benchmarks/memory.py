"""Checks the memory estimate of `fission train --dry-run` on a CPU, where resident memory can be read.

    python benchmarks/memory.py batch bundled 32 410                     # two updates, every row as long as the longest
    python benchmarks/memory.py batch HuggingFaceTB/SmolLM2-135M-Instruct 1 1532
    python benchmarks/memory.py run recipes/bfcl_quick.yaml tasks.train.generate.count=200     # two updates of a real run

Prints the estimate, what Python and the libraries take before a model is loaded, and the peak above that.
"""

import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

from fission_grpo.rollout.cpu import configure_cpu


def peak_bytes() -> int:
    """The most resident memory that this process has had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def no_progress(what: str, done: int, of: int) -> None:
    """Says nothing."""


def measure_batch(name: str, rows: int, tokens: int) -> tuple[int, int, int]:
    """Two updates of all weights on random tokens, through TRL's fused head; estimate, bytes before, peak above them."""
    import torch
    from trl.trainer.utils import add_fused_lm_head

    from fission_grpo.rollout.loading import load_policy_model
    from fission_grpo.training.memory import Workload, estimate_memory, model_size

    before = peak_bytes()
    model: Any = load_policy_model(name)[0].train()
    add_fused_lm_head(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
    for _ in range(2):
        ids = torch.randint(3, model.config.vocab_size, (rows, tokens))
        model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids, fused_lm_head=True).log_probs.sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    work = Workload(rows, tokens, decoded=0, mixed=False, checkpointing=False)
    return estimate_memory(model_size(model.config), work).peak, before, peak_bytes() - before


def measure_run(recipe_path: str, *settings: str) -> tuple[int, int, int]:
    """Two updates of a run, sampling and rewards included; estimate, bytes before, peak above them."""
    from fission_grpo.recipe import load_recipe
    from fission_grpo.training.dry_run import dry_run
    from fission_grpo.training.runs import train

    recipe = load_recipe(recipe_path, [*settings, "trainer.max_steps=2", 'trainer.save_strategy="no"'])
    estimate = next(iter(dry_run(recipe, no_progress).memory.values())).peak
    before = peak_bytes()
    with tempfile.TemporaryDirectory() as folder:
        train(recipe, Path(folder) / "run")
    return estimate, before, peak_bytes() - before


def main(what: str, *arguments: str) -> None:
    """Estimates, measures, compares."""
    configure_cpu()
    if what == "batch":
        name, rows, tokens = arguments
        found = measure_batch(name, int(rows), int(tokens))
    else:
        found = measure_run(*arguments)
    estimate, before, measured = (each / 1e9 for each in found)
    print(what, *arguments)
    print(
        f"estimate {estimate:.2f} GB, measured {measured:.2f} GB, ratio {estimate / measured:.2f}; before: {before:.2f} GB"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
