"""Checks the memory estimate of `fission train --dry-run` against a run: peak resident memory of two updates, on a CPU.

    python benchmarks/memory.py recipes/bfcl_quick.yaml trainer.per_device_train_batch_size=32
    python benchmarks/memory.py recipes/bfcl_smollm2.yaml lora=null rollout.max_new_tokens=64 ...

Prints the estimate, what Python and the libraries take before a model is loaded, and the peak above that.
"""

import resource
import sys
import tempfile
from pathlib import Path

from fission_grpo.rollout.cpu import configure_cpu


def peak_bytes() -> int:
    """The most resident memory that this process has had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def no_progress(what: str, done: int, of: int) -> None:
    """Says nothing."""


def main(recipe_path: str, *settings: str) -> None:
    """Estimates, trains, compares."""
    configure_cpu()
    from fission_grpo.recipe import load_recipe
    from fission_grpo.training.dry_run import dry_run
    from fission_grpo.training.runs import train

    recipe = load_recipe(recipe_path, [*settings, "trainer.max_steps=2", 'trainer.save_strategy="no"'])
    found = dry_run(recipe, no_progress)
    estimate = next(iter(found.memory.values()))
    before = peak_bytes()
    with tempfile.TemporaryDirectory() as folder:
        train(recipe, Path(folder) / "run")
    measured = peak_bytes() - before
    gigabytes = [f"{value / 1e9:.2f}" for value in (estimate.peak, measured, before)]
    print(f"{recipe_path} {' '.join(settings)}")
    print(f"sequences of up to {found.work.tokens} tokens; estimate {gigabytes[0]} GB, measured {gigabytes[1]} GB")
    print(f"ratio {estimate.peak / measured:.2f}; before a model was loaded: {gigabytes[2]} GB")


if __name__ == "__main__":
    main(*sys.argv[1:])
