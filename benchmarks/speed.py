"""How fast ours is beside TRL's own GRPOTrainer: on the same model, prompts, completions and rewards, in one process.

    python benchmarks/speed.py bundled short pair --out benchmarks/results/speed_bundled.md
    python benchmarks/speed.py smollm2 --repetitions 2 --out benchmarks/results/speed_smollm2.md
    python benchmarks/speed.py step --out benchmarks/results/speed_step.md             # the quickstart's whole step
    python benchmarks/speed.py qwen3-0.6b --out benchmarks/results/speed_qwen3.md      # on a GPU

An update is the forward and backward pass of the loss, through each trainer's own `compute_loss`; the optimizer's step is
the same for all and left out, but for `step`, where everything is in. The variants take turns. `smollm2` and `qwen3-0.6b`
are models of these shapes with random weights, on which time does not depend.
"""

import argparse
import math
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fission_grpo.errors import UserError
from fission_grpo.rollout.cpu import configure_cpu

if TYPE_CHECKING:  # torch must not be imported before its threads are set
    from trainer_speed.sizes import Size

SIZES = ("bundled", "short", "pair", "smollm2", "qwen3-0.6b")
STEP = "step"
STEP_ROWS, STEP_TASKS = 128, 120
EXPLANATION = """\
Medians, with the lowest and highest in brackets; ratios are of medians. *Bound*: the ratio of floating-point operations,
attention and LM head included (`trainer_speed/operations.py`). *Of the ceiling*: operations a second as a share of those of
one large matrix product in the same process. *Memory*: peak of one forward and backward pass above model and gradients, in a
process of its own. *Loss*, *gradients*: relative difference to TRL's as it is."""


def main() -> None:
    options = parse()
    configure_cpu(options.threads)
    sections = [section for name in options.sizes for section in measured(name, options)]
    from trainer_speed.machine import describe

    command = f"`python benchmarks/speed.py {' '.join(sys.argv[1:])}`"
    text = "\n".join(["# Speed beside TRL", "", command, "", describe(), "", EXPLANATION, "", *sections])
    print("\n" + text)
    if options.out is not None:
        options.out.write_text(text, encoding="utf-8")


def measured(name: str, options: argparse.Namespace) -> list[str]:
    """The tables of one size."""
    from fission_grpo.training.terminal import quieten
    from trainer_speed import tables
    from trainer_speed.rollout import measure_rollout
    from trainer_speed.step import measure_steps
    from trainer_speed.update import measure_update

    quieten()
    if name == STEP:
        with tempfile.TemporaryDirectory() as folder:
            found = measure_steps(Path(folder), STEP_ROWS, STEP_TASKS, options.updates, options.repetitions, say)
        return [tables.step_section(found, STEP_ROWS)]
    size = chosen_size(name, options)
    update = measure_update(size, options.repetitions, side=8192 if size.needs_gpu else 2048, progress=say)
    rollout = measure_rollout(size, options.repetitions, say)
    return [tables.update_section(name, size, update), tables.rollout_section(name, rollout, update)]


def chosen_size(name: str, options: argparse.Namespace) -> "Size":
    """The preset with what the command line changes.

    Raises:
        UserError: it needs a GPU, and there is none.
    """
    import torch

    from trainer_speed.sizes import PRESETS

    size = PRESETS[name]
    if size.needs_gpu and not torch.cuda.is_available():
        raise UserError(
            f"{name}: it needs a GPU, and torch finds none; on a CPU the sizes bundled, short, pair, smollm2 work"
        )
    if options.prompt:
        size = replace(size, prompt=options.prompt)
    if options.completion:
        size = replace(size, completion=(options.completion, options.completion))
    if options.group:
        size = replace(size, group=options.group)
    if options.dtype:
        size = replace(size, bf16=options.dtype == "bf16")
    return replace(size, padded_rows=math.gcd(size.padded_rows, size.rows))


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="+", choices=(*SIZES, STEP), help="what to measure")
    parser.add_argument("--prompt", type=int, help="tokens of a prompt (random ones), instead of the size's own")
    parser.add_argument("--completion", type=int, help="tokens of a completion")
    parser.add_argument("--group", type=int, help="G, completions of a prompt")
    parser.add_argument("--dtype", choices=("float32", "bf16"), help="bf16 is mixed precision")
    parser.add_argument("--updates", type=int, default=4, help=f"of a run of `{STEP}` (default: %(default)s)")
    parser.add_argument("--repetitions", type=int, default=5, help="of every variant (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="of torch on a CPU (default: all cores)")
    parser.add_argument("--out", type=Path, help="also write the tables to this file")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
