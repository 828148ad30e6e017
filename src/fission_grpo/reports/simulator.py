"""The report of a simulator evaluation, three ways: tables for a terminal, Markdown, and one HTML file.

A simulator's name may be any path or name of a model: it is shown as it is, and never read as markup.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from markupsafe import Markup
from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from fission_grpo.disk import write_whole
from fission_grpo.reports.benchmark_tables import fold
from fission_grpo.reports.definitions import DOES, LABELS, SAYS, WORDS, SimulatorMeasure
from fission_grpo.reports.grids import Cell, Grid
from fission_grpo.reports.pages import render_page
from fission_grpo.reports.simulator_plots import utility_chart
from fission_grpo.reports.simulator_tables import (
    Confusion,
    chain_grid,
    confusions,
    does_grid,
    notes_of,
    says_grid,
    settings_of,
)
from fission_grpo.training.simulator.evaluate import Evaluation

WIDTH = 100
"""Columns of a terminal, where nobody says how many it has."""
TITLE = "Error simulators: leaks, agreement, utility"
_NAME_WIDTH = 16
_GAP = 2
_STYLES = {"better": "bold green", "worse": "bold red", "": "bold"}


def rich_tables(evaluation: Evaluation, width: int = WIDTH) -> list[Table]:
    """What simulators say, then what they do; a difference whose interval leaves out zero is green or red.

    Args:
        width: columns of the terminal; simulators that do not fit beside the others go to a further table.
    """
    return [table for grid in (says_grid(evaluation), does_grid(evaluation)) for table in _rich(grid, width)]


def markdown(evaluation: Evaluation) -> str:
    """The report as Markdown; a difference whose interval leaves out zero is bold."""
    parts = [
        f"# {TITLE}",
        _escaped(settings_of(evaluation)),
        "\n".join(f"- {note}" for note in notes_of(evaluation)),
        *(_markdown_grid(grid(evaluation)) for grid in (says_grid, does_grid, chain_grid)),
        *map(_markdown_confusion, confusions(evaluation)),
        "## What the measures mean",
        "\n".join(f"- **{measure.title}**: {measure.meaning}." for measure in _measures(evaluation)),
    ]
    return "\n\n".join(parts) + "\n"


def write_simulator_report(evaluation: Evaluation, path: Path) -> None:
    """Writes the report as one self-contained HTML file."""
    write_whole(path, render_simulator_report(evaluation))


def render_simulator_report(evaluation: Evaluation) -> str:
    """The report as HTML text."""
    return render_page(
        "simulator.html",
        title=TITLE,
        settings=settings_of(evaluation),
        notes=notes_of(evaluation),
        says=_folded(says_grid(evaluation)),
        does=_folded(does_grid(evaluation)),
        chain=_folded(chain_grid(evaluation)),
        chart=Markup(utility_chart(evaluation)),  # drawn by matplotlib, which escapes the text that it draws
        confusions=confusions(evaluation),
        measures=_measures(evaluation),
    )


def _measures(evaluation: Evaluation) -> list[SimulatorMeasure]:
    labelled = any(result.labels for result in evaluation.results)
    return [*SAYS, *([LABELS] if labelled else []), WORDS, *DOES]


def _rich(grid: Grid, width: int) -> Iterator[Table]:
    labels = max(cell_len(label) for label, _ in grid.rows)
    for part, places in enumerate(_that_fit(grid, width - labels)):
        title = f"{grid.title}, continued" if part else grid.title
        table = Table(
            title=title, title_style="bold", title_justify="left", box=box.SIMPLE_HEAD, header_style="bold",
            show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0),
        )  # fmt: skip
        table.add_column("", no_wrap=True)
        for place in places:
            table.add_column(Text("\n".join(_head(grid, place))), justify="right", no_wrap=True, vertical="top")
        for label, cells in grid.rows:
            table.add_row(Text(label), *(_text(cells[place]) for place in places))
        yield table


def _that_fit(grid: Grid, width: int) -> list[list[int]]:
    """Columns by table, as many in each as its width holds."""
    tables: list[list[int]] = [[]]
    left = width
    for place in range(len(grid.heads)):
        texts = [*_head(grid, place), *(line for _, cells in grid.rows for line in _text(cells[place]).plain.splitlines())]
        taken = max(map(cell_len, texts)) + _GAP
        if taken > left and tables[-1]:
            tables.append([])
            left = width
        tables[-1].append(place)
        left -= taken
    return tables


def _folded(grid: Grid) -> Grid:
    """With names that break where a reader would break them."""
    return replace(grid, heads=["\n".join(_head(grid, place)) for place in range(len(grid.heads))])


def _head(grid: Grid, place: int) -> list[str]:
    return fold(grid.heads[place], _NAME_WIDTH)


def _text(cell: Cell | None) -> Text:
    """The figure beside its counts, its interval below them."""
    if cell is None:
        return Text("")
    counts = f" {cell.counts}" if cell.counts else ""
    below = f"\n{cell.interval}" if cell.interval else ""
    return Text.assemble((cell.text, _STYLES[cell.verdict]), (counts + below, "dim"))


def _markdown_grid(grid: Grid) -> str:
    rows = [(_escaped(label), [_markdown_cell(cell) for cell in cells]) for label, cells in grid.rows]
    return f"## {grid.title}\n\n{_markdown_table('', [_escaped(head) for head in grid.heads], rows)}"


def _markdown_cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    text = " ".join(filter(None, (cell.text, f"({cell.counts})" if cell.counts else "", cell.interval)))
    return f"**{text}**" if cell.verdict else text


def _markdown_confusion(confusion: Confusion) -> str:
    rows = [(kind, [str(count) for count in counts]) for kind, counts in confusion.rows]
    table = _markdown_table("established / diagnosed", [_escaped(kind) for kind in confusion.said], rows)
    return f"## Which kind it took for which: {_escaped(confusion.simulator)}\n\n{table}"


def _markdown_table(corner: str, heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    lines = [f"| {' | '.join([corner, *heads])} |", "|---|" + "--:|" * len(heads)]
    return "\n".join([*lines, *(f"| {' | '.join([label, *cells])} |" for label, cells in rows)])


def _escaped(text: str) -> str:
    """Text that stays one cell of one line, and is read as text.

    >>> print(_escaped("a|b <i>_c_"))
    a\\|b &lt;i>\\_c\\_
    """
    return re.sub(r"([\\`*_|\[\]])", r"\\\1", " ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;")
