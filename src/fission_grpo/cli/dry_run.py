"""How `fission train --dry-run` shows what it found."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from fission_grpo.recipe import Recipe
    from fission_grpo.training.dry_run import DryRun


_PARTS = {
    "weights": "weights",
    "optimizer": "optimizer",
    "update: gradients": "gradients",
    "update: activations": "activations",
    "update: working space": "working",
    "sampling: cache": "cache",
    "peak": "peak",
}
"""Title -> attribute of `MemoryEstimate`."""


def show_dry_run(console: Console, recipe: "Recipe", found: "DryRun") -> None:
    """Prints tables of lengths, updates and memory, then the problems."""
    if found.lengths:
        console.print(_lengths(found))
    console.print(_updates(recipe, found))
    if found.size is not None:
        console.print(_memory(found))
    for problem in found.problems:
        console.print(f"[bold red]Problem:[/] {problem}", highlight=False, soft_wrap=True)


def _lengths(found: "DryRun") -> Table:
    table = Table("tokens", "count", "median", "p95", "longest", "allowed", "longer", title="Lengths")
    for row in found.lengths:
        bound = f"{row.bound:,} ({row.setting})"
        numbers = [f"{number:,}" for number in (row.count, row.median, row.p95, row.longest)]
        table.add_row(row.name, *numbers, bound, f"[yellow]{row.over}[/]" if row.over else "0")
    return table


def _updates(recipe: "Recipe", found: "DryRun") -> Table:
    plan = found.plan
    table = Table("", "", title="Updates", show_header=False)
    fitting = "step instances that fit" if found.lengths else "step instances (without a tokenizer, lengths are unknown)"
    kind = fitting if recipe.granularity == "step" else "tasks"
    table.add_row("training set", f"{found.tasks} tasks, {found.instances} {kind}")
    table.add_row("rows of a batch", f"{plan.rows} = {plan.rows // plan.group} prompts x {plan.group} rollouts")
    if plan.recoveries:
        contexts, rest = plan.recoveries // plan.siblings, (plan.rows - plan.recoveries) // plan.group
        table.add_row(
            "where recovery triggers",
            f"{plan.recoveries} = {contexts} failures x {plan.siblings} recoveries, and {rest} prompts x {plan.group}",
        )
    per_epoch = plan.updates_per_epoch(found.instances)
    table.add_row("updates an epoch", f"{per_epoch}, fewer prompts each where recovery triggers")
    if found.max_steps > 0 and per_epoch:
        table.add_row("updates of the run", f"{found.max_steps}, {found.max_steps / per_epoch:.1f} epochs if none triggers")
    return table


def _memory(found: "DryRun") -> Table:
    size = found.size
    assert size is not None
    work = found.work
    how = f"{work.device.upper()}, {'mixed precision' if work.mixed else 'float32'}"
    how += ", activations recomputed" if work.checkpointing else ""
    caption = (
        f"One process, {size.parameters / 1e6:,.1f} million parameters, {how}. An update: {work.rows} rows of up to "
        f"{work.tokens:,} tokens at once. Sampling: {work.decoded or 'by vLLM, not counted'}{' rows' * bool(work.decoded)}."
    )
    table = Table("", *found.memory, title="Memory", caption=caption)
    for title, name in _PARTS.items():
        style = "bold" if name == "peak" else ""
        table.add_row(title, *(_gigabytes(getattr(each, name)) for each in found.memory.values()), style=style)
    return table


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
