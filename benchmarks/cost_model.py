"""A cost model: tokens, memory and time of an update, checked on this machine, then predicted for clusters of GPUs.

    python benchmarks/cost_model.py --out benchmarks/results/cost_model.md
    python benchmarks/cost_model.py --utilisation 0.3 --prompt 4096        # of the predictions

The formulas and their sources: `cluster_cost/formulas.py`. The check measures one large matrix product for the machine's
speed, takes the utilisation of `--here` (an assumption made before the measurement), and sets prediction beside measurement.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fission_grpo.rollout.cpu import configure_cpu

if TYPE_CHECKING:  # torch must not be imported before its threads are set
    from cluster_cost.formulas import Batch, Cost, Device
    from fission_grpo.training.memory import ModelSize

SHAPES = ((4, 128), (8, 256), (8, 512), (8, 1024))
"""Rows and tokens, in the order of what they need."""
QWEN3 = {
    "Qwen3-1.7B": (2048, 6144, 28, 16, True),
    "Qwen3-4B": (2560, 9728, 36, 32, True),
    "Qwen3-8B": (4096, 12288, 36, 32, False),
    "Qwen3-14B": (5120, 17408, 40, 40, False),
    "Qwen3-32B": (5120, 25600, 64, 64, False),
}
"""Hidden and feed-forward width, layers, query heads, tied head; 8 heads of keys, 128 a head, 151,936 tokens for all."""
GPUS = (1, 4, 8, 16)
ROOM = 0.9
H100 = (989e12, 3.35e12, 80e9)
"""bf16 operations a second (dense), bytes a second, bytes: data sheet of the H100 SXM."""
NOT_COUNTED = """\
**Predictions; nothing of this table was measured.** H100 SXM GPUs (989 TFLOP/s bf16, 3.35 TB/s, 80 GB), of which
{operations:.0%} and {bandwidth:.0%} are assumed to be used (`--utilisation`, `--bandwidth`). All weights trained;
float32 weights, gradients and moments sharded over all GPUs (FSDP2, ZeRO-3); one packed group a pass, activations
recomputed; vLLM colocated without sleep mode, on as many GPUs an engine as it takes to fit. Not counted, so that times
are lower bounds: communication between GPUs, weights sent to vLLM, simulators, environments, waiting, checkpoints. Not
counted in memory: the CUDA context, fragmentation, the layer of a shard that is gathered."""


def main() -> None:
    options = parse()
    configure_cpu(1)
    from trainer_speed.machine import describe

    command = f"`python benchmarks/cost_model.py {' '.join(sys.argv[1:])}`"
    sections = [] if options.skip_check else checked(options)
    text = "\n".join(["# Cost model", "", command, "", describe(), "", *sections, *predicted(options)])
    print("\n" + text)
    if options.out is not None:
        options.out.write_text(text + "\n", encoding="utf-8")


def checked(options: argparse.Namespace) -> list[str]:
    """Prediction beside measurement, on this machine, in processor time of one thread."""
    import torch

    from cluster_cost.measured import measure, status_bytes
    from fission_grpo.training.memory import Workload, estimate_memory, model_size
    from trainer_speed.operations import padded
    from trainer_speed.sizes import BUNDLED, PRESETS, load

    torch.set_num_threads(1)
    model = load(PRESETS[BUNDLED])[0]
    size = model_size(model.config)
    lines = [
        "## Checked on this machine",
        "",
        "Forward and backward pass of the bundled policy, all positions scored, float32, processor time of one thread,",
        f"medians of {options.repetitions}. Predicted: operations / (speed of a matrix product of side 1,024 beside",
        f"it, x {options.here:.0%}, assumed). Ratio: measured / predicted. Relative: to the first row.",
        "Memory: activations and working space, from resident memory above that before the first row.",
        "",
        "| rows x tokens | 10^9 operations | predicted, s | measured | ratio | relative, predicted | measured "
        "| memory predicted, MB | measured | ratio |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    first: tuple[float, float] | None = None
    before = status_bytes("VmRSS")
    for rows, tokens in SHAPES:
        operations = padded(rows, tokens, tokens).operations(size)
        found = measure(model, rows, tokens, options.repetitions)
        guess = operations / (found.speed * options.here)
        first = first or (operations, found.seconds)
        estimate = estimate_memory(size, Workload(rows, tokens, 0, mixed=False, checkpointing=False))
        room = (estimate.activations + estimate.working) / 1e6
        lines.append(
            f"| {rows} x {tokens} | {operations / 1e9:,.1f} | {guess:.2f} | {found.seconds:.2f} "
            f"| {found.seconds / guess:.2f} | {operations / first[0]:.2f} | {found.seconds / first[1]:.2f} "
            f"| {room:,.0f} | {(found.peak - before) / 1e6:,.0f} | {(found.peak - before) / 1e6 / room:.2f} |"
        )
    return [*lines, ""]


def predicted(options: argparse.Namespace) -> list[str]:
    """The table of model sizes and numbers of GPUs."""
    from cluster_cost.formulas import RECOMPUTED, Batch, Device, cache_bytes, smallest_parallel

    batch = Batch(options.groups, options.group, options.prompt, options.completion, options.longest)
    device = Device(*H100, options.utilisation, options.bandwidth)
    models = {name: shape(*values) for name, values in QWEN3.items()}
    lines = [
        "## Predicted for clusters",
        "",
        NOT_COUNTED.format(operations=options.utilisation, bandwidth=options.bandwidth),
    ]
    lines += ["", workload(batch), ""]
    lines += ["| model | parameters, 10^9 | cache, KB a token | 10^12 operations an update |", "|---|--:|--:|--:|"]
    for name, model in models.items():
        work = batch.update().operations(model) * RECOMPUTED
        lines.append(f"| {name} | {model.parameters / 1e9:.2f} | {cache_bytes(model, 1) / 1e3:.0f} | {work / 1e12:,.0f} |")
    lines += [
        "",
        "| model | GPUs | state, GB a GPU | activations | vLLM's weights (GPUs an engine) | its cache | sum | fits 80 GB | "
        "sampling, s | old log-probabilities | update | sum |",
        "|---|--:|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|",
    ]
    for name, model in models.items():
        lines += [row(name, gpus, smallest_parallel(model, batch, device, gpus, ROOM), device) for gpus in GPUS]
    return lines


def workload(batch: "Batch") -> str:
    """What an update consists of, in words."""
    work = batch.update()
    return (
        f"An update: {batch.groups} groups x {batch.size} rows, prompts of {batch.prompt:,} tokens, completions of "
        f"{batch.completion:,}, the longest {batch.longest:,}. So {batch.sampled:,} tokens are sampled and {work.tokens:,} "
        f"trained (each prompt once a group); padded rows would be {batch.rows * (batch.prompt + batch.completion):,}."
    )


def row(name: str, gpus: int, found: "Cost", device: "Device") -> str:
    """One line of the table; without times where it does not fit."""
    fits = found.memory <= ROOM * device.memory
    sizes = [found.state, found.activations, found.engine, found.cache, found.memory]
    state, activations, engine, cache, total = (f"{size / 1e9:.1f}" for size in sizes)
    times = [found.sampling, found.scoring, found.update, found.seconds]
    seconds = " | ".join(f"{each:,.1f}" if fits else "-" for each in times)
    memory = f"{state} | {activations} | {engine} ({found.parallel}) | {cache} | {total} | {'yes' if fits else 'no'}"
    return f"| {name} | {gpus} | {memory} | {seconds} |"


def shape(hidden: int, intermediate: int, layers: int, heads: int, tied: bool) -> "ModelSize":
    """A Qwen3 decoder, parameters counted without making them."""
    from transformers import Qwen3Config

    from fission_grpo.training.memory import model_size

    return model_size(
        Qwen3Config(
            vocab_size=151_936,
            hidden_size=hidden,
            intermediate_size=intermediate,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=8,
            head_dim=128,
            tie_word_embeddings=tied,
        )
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    parser.add_argument("--repetitions", type=int, default=3, help="of the check")
    parser.add_argument("--here", type=float, default=0.4, help="share of the matrix product's speed, assumed in the check")
    parser.add_argument("--skip-check", action="store_true", help="predict alone")
    parser.add_argument("--utilisation", type=float, default=0.35, help="share of a GPU's operations a second, assumed")
    parser.add_argument("--bandwidth", type=float, default=0.5, help="share of a GPU's memory bandwidth, assumed")
    parser.add_argument("--groups", type=int, default=16, help="prompts of an update")
    parser.add_argument("--group", type=int, default=8, help="G")
    parser.add_argument("--prompt", type=int, default=6144, help="mean tokens of a prompt")
    parser.add_argument("--completion", type=int, default=256, help="mean tokens of a completion")
    parser.add_argument("--longest", type=int, default=1024, help="tokens of the longest completion")
    return parser.parse_args()


if __name__ == "__main__":
    main()
