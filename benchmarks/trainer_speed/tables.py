"""The measurements as Markdown."""

from collections.abc import Mapping
from statistics import median

from trainer_speed import step
from trainer_speed.machine import spread
from trainer_speed.rollout import OURS as POLICY
from trainer_speed.rollout import THEIRS, Sampled
from trainer_speed.sizes import BUNDLED, Size
from trainer_speed.step import Steps
from trainer_speed.update import Measured, Update
from trainer_speed.variants import OURS, TRL


def update_section(name: str, size: Size, found: Update) -> str:
    """One line a variant, and the ratios."""
    ours, ceiling = found.variants[OURS], max(found.ceilings)
    lines = [
        "| | update, s | tokens computed | in the LM head | memory, MB | of the ceiling, % | loss | gradients |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for title, one in found.variants.items():
        share = 100 * one.operations / median(one.seconds) / ceiling
        errors = "| - | - |" if title == TRL else f"| {one.loss_error:.1e} | {one.gradient_error:.1e} |"
        counts = f"{one.work.tokens:,} | {one.work.scored:,} | {one.memory / 1e6:,.0f}"
        lines.append(f"| {title} | {spread(one.seconds)} | {counts} | {share:.0f} {errors}")
    lines += ["", "| beside | times as fast | bound | memory, times |", "|---|---|---|---|"]
    for title, one in found.variants.items():
        if title != OURS:
            lines.append(
                f"| {title} | {_ratio(one, ours)} | {one.operations / ours.operations:.2f} | {_memory(one, ours)} |"
            )
    return "\n".join(
        [
            f"## `{name}`: update",
            "",
            shape(size),
            f"Tokens: {found.variants[TRL].work.tokens:,} padded, {found.real:,} real, {found.shared:,} that differ. "
            f"Ceiling: {spread([each / 1e9 for each in found.ceilings], 0)} GFLOP/s.",
            "",
            *lines,
            "",
        ]
    )


def shape(size: Size) -> str:
    """A size in words."""
    low, high = size.completion
    tokens = f"{low}" if low == high else f"{low} to {high}"
    prompts = f"prompt(s) of {size.prompt:,} tokens" if size.prompt else "prompts of generated tasks"
    weights = "" if size.model == BUNDLED else ", random weights"
    again = ", activations computed again in the backward pass" if size.checkpointing else ""
    return (
        f"Model {size.model}{weights}, {'bf16' if size.bf16 else 'float32'}{again}. {size.prompts} {prompts} x {size.group} "
        f"completions of {tokens} tokens; one pass: {size.padded_rows} padded rows or {size.packed_groups} packed group(s)."
    )


def rollout_section(name: str, found: Mapping[str, Sampled], update: Update) -> str:
    """Sampling, and the whole step that it makes with the update."""
    lines = ["| | rollout, s | tokens/s | rollout and update, s |", "|---|---|---|---|"]
    whole: dict[str, float] = {}
    for way, trainer in ((THEIRS, TRL), (POLICY, OURS)):
        one, seconds = found[way], update.variants[trainer].seconds
        rates = [tokens / each for tokens, each in zip(one.tokens, one.seconds, strict=True)]
        whole[way] = median(one.seconds) + median(seconds)
        lines.append(f"| {way} | {spread(one.seconds)} | {spread(rates, 0)} | {whole[way]:.2f} |")
    times = median(found[THEIRS].seconds) / median(found[POLICY].seconds)
    lines += ["", f"Times as fast: rollout {times:.2f}, rollout and update {whole[THEIRS] / whole[POLICY]:.2f}.", ""]
    return "\n".join([f"## `{name}`: rollout", "", *lines])


def step_section(found: Mapping[str, Steps], rows: int) -> str:
    """The quickstart's whole step, and what fission adds to it."""
    lines = [
        "| | step, s | sampled tokens | tokens/s | times TRL's | overhead of fission, us a sampled token | % |",
        "|---|---|---|---|---|---|---|",
    ]
    base = median(found[step.TRL].seconds)
    for title, one in found.items():
        total = sum(one.seconds)
        extra = "| - | - |"
        if title == step.FISSION:
            extra = f"| {1e6 * one.overhead / one.sampled:.0f} | {100 * one.overhead / (total - one.overhead):.2f} |"
        rates = f"{one.sampled:,.0f} | {one.sampled / total:,.0f} | {base / median(one.seconds):.2f}"
        lines.append(f"| {title} | {spread(one.seconds)} | {rates} {extra}")
    return "\n".join(
        [
            "## The quickstart's step",
            "",
            f"Sampling, rewards, update and optimizer of {rows} rows on the bundled policy; the first step of a run is left "
            "out. The overhead is `overhead_seconds` of `metrics.jsonl`, as a share of the rest of the time.",
            "",
            *lines,
            "",
        ]
    )


def _ratio(one: Measured, ours: Measured) -> str:
    return f"{median(one.seconds) / median(ours.seconds):.2f}"


def _memory(one: Measured, ours: Measured) -> str:
    return f"{one.memory / ours.memory:.1f}" if ours.memory else "-"
