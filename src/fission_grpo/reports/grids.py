"""Tables of figures that have counts and intervals: filled by what a report is about, drawn by `templates/grid.html`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Cell:
    """One figure of a table.

    Attributes:
        share: length of the bar under it, 0 to 1; None where there is nothing to draw.
        good: whether a long bar is a good one.
        verdict: of a difference, where its interval leaves out zero.
    """

    text: str
    counts: str = ""
    interval: str = ""
    share: float | None = None
    good: bool = True
    verdict: Literal["better", "worse", ""] = ""


@dataclass(frozen=True)
class Grid:
    """A table: rows with a label and a cell under each head; None where nothing was played."""

    corner: str
    heads: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell | None]]]
    title: str = ""
