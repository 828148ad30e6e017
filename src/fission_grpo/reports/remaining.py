"""Which kinds of failure remain after training, and how that differs from the start."""

from collections.abc import Sequence

from fission_grpo.reports.data import START_TITLE, Evaluation
from fission_grpo.reports.grids import Cell, Grid


def remaining_failures(evaluations: Sequence[Evaluation]) -> Grid | None:
    """Failed messages by kind of every trained policy, the most frequent kind first; None where nothing was counted."""
    start = next((each for each in evaluations if each.label == START_TITLE and each.episodes), None)
    trained = [each for each in evaluations if each.label != START_TITLE and each.episodes]
    kinds = {kind for each in (*trained, *([start] if start else ())) for kind in each.failures}
    if not trained or not kinds:
        return None
    order = sorted(kinds, key=lambda kind: (-sum(_per_100(each, kind) for each in trained), kind))
    rows = [(kind.replace("_", " "), [_cell(each, start, kind) for each in trained]) for kind in order]
    return Grid("kind", [each.label for each in trained], [*rows, ("all kinds", [_cell(each, start) for each in trained])])


def _cell(evaluation: Evaluation, start: Evaluation | None, kind: str | None = None) -> Cell:
    rate, counts = _per_100(evaluation, kind), str(_count(evaluation, kind))
    if start is None:
        return Cell(f"{rate:.1f}", counts)
    before = _count(start, kind)
    return Cell(f"{rate:.1f}", counts, f"{rate - _per_100(start, kind):+.1f} from {before}")


def _per_100(evaluation: Evaluation, kind: str | None) -> float:
    return 100 * _count(evaluation, kind) / evaluation.episodes


def _count(evaluation: Evaluation, kind: str | None) -> int:
    """Failed messages of a kind, or of all."""
    return sum(evaluation.failures.values()) if kind is None else evaluation.failures.get(kind, 0)
