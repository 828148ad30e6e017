"""The figures of a simulator evaluation as tables: a row a measure, a column a simulator."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Literal

from fission_grpo.reports.definitions import DOES, LABELS, SAYS, WORDS, SimulatorMeasure
from fission_grpo.reports.grids import Cell, Grid
from fission_grpo.training.simulator.evaluate import BASELINES, Change, Estimate, Evaluation, SimulatorResult
from fission_grpo.training.simulator.measures import NO_KIND, UNUSABLE
from fission_grpo.types import FailureKind

SAYS_TITLE = "What it says"
DOES_TITLE = "What it does"
CHAIN_TITLE = "What guard and fallback did"
NONE = "–"
_ORDER = (*(kind.value for kind in FailureKind), NO_KIND, UNUSABLE)
_CHAIN_ORDER = ("answered", "asked_again", "leaked", "unanswered", "failed")


@dataclass(frozen=True)
class Confusion:
    """Which kinds one simulator took for which.

    Attributes:
        said: diagnosed kinds, a column each.
        rows: an established kind, its failures by diagnosed kind, in the order of the columns.
    """

    simulator: str
    said: Sequence[str]
    rows: Sequence[tuple[str, Sequence[int]]]


def says_grid(evaluation: Evaluation) -> Grid:
    """What simulators say, before the guard. Labels have a row where there are any."""
    results = evaluation.results
    measures = [*SAYS, *([LABELS] if any(result.labels for result in results) else [])]
    rows: list[tuple[str, Sequence[Cell]]] = [
        (measure.head, [_share(measure, _said(result, measure), result) for result in results]) for measure in measures
    ]
    return _grid(SAYS_TITLE, results, [*rows, (WORDS.head, [Cell(f"{result.words:.1f}") for result in results])])


def does_grid(evaluation: Evaluation) -> Grid:
    """Utility and answer gain, with their differences from the fixed sentence."""
    results = evaluation.results
    return _grid(DOES_TITLE, results, [(each.head, [_done(each, result) for result in results]) for each in DOES])


def chain_grid(evaluation: Evaluation) -> Grid:
    """Counts of guard and fallback, while the simulators gave feedback for the recoveries."""
    results = evaluation.results
    names = sorted({name for result in results for name in result.counts}, key=_chain_place)
    rows = [(_chain_title(name), [Cell(str(result.counts.get(name) or NONE)) for result in results]) for name in names]
    return _grid(CHAIN_TITLE, results, rows)


def confusions(evaluation: Evaluation) -> list[Confusion]:
    """The confusion matrix of every simulator that is no baseline; kinds in the order of the taxonomy."""
    return [_confusion(result) for result in evaluation.results if result.name not in BASELINES]


def notes_of(evaluation: Evaluation) -> list[str]:
    """What a reader must know before believing the figures."""
    told = evaluation.told
    return [
        f"Always saying the most frequent kind would agree on {evaluation.majority}: what a simulator must beat.",
        f"A reader that is told the answer gives it in {told.ratio} {interval(told.low, told.high)}".rstrip()
        + ": the lower, the less an answer gain near zero means.",
        "Intervals are 95%, by bootstrap over scenarios; differences are paired, over the same failures. Where none or all "
        "of n were counted they have no width, and a rate of up to about 3/n would often have looked the same.",
    ]


def settings_of(evaluation: Evaluation) -> str:
    """How the evaluation was made, in one line."""
    return ", ".join(f"{name} {value}" for name, value in evaluation.settings.items())


def interval(low: float, high: float, form: str = ".3f") -> str:
    """Both ends; empty where there is none.

    >>> interval(0.25, 0.5), interval(float("nan"), float("nan"))
    ('[0.250, 0.500]', '')
    """
    return "" if isnan(low) or isnan(high) else f"[{low:{form}}, {high:{form}}]"


def verdict(change: Change, measure: SimulatorMeasure) -> Literal["better", "worse", ""]:
    """Which way a difference goes; empty unless its interval leaves out zero."""
    if not (change.low > 0 or change.high < 0):
        return ""
    return "better" if (change.difference > 0) == (measure.better == "higher") else "worse"


def claims_kind(result: SimulatorResult) -> bool:
    """Whether a simulator says of which kind a failure is; one of which nothing was usable is taken to."""
    said = {kind for inner in result.confusion.values() for kind in inner}
    return NO_KIND not in said or not said <= {NO_KIND, UNUSABLE}


def _grid(title: str, results: Sequence[SimulatorResult], rows: Sequence[tuple[str, Sequence[Cell]]]) -> Grid:
    return Grid("", [result.name for result in results], rows, title)


def _said(result: SimulatorResult, measure: SimulatorMeasure) -> Estimate | None:
    return result.labels if measure is LABELS else result.measures[measure.key]


def _done(measure: SimulatorMeasure, result: SimulatorResult) -> Cell:
    found: Estimate | Change = getattr(result, measure.key)
    return _share(measure, found, result) if isinstance(found, Estimate) else _difference(measure, found)


def _share(measure: SimulatorMeasure, estimate: Estimate | None, result: SimulatorResult) -> Cell:
    if estimate is None:
        return Cell(NONE)
    ratio, counts = estimate.ratio, f"{estimate.numerator}/{estimate.denominator}"
    if measure.needs_kind and not claims_kind(result):
        return Cell(NONE, counts, "claims no kind")
    if ratio.value is None:
        return Cell(NONE, counts)
    bar = ratio.value if measure.better else None
    return Cell(f"{ratio.value:.3f}", counts, interval(estimate.low, estimate.high), bar, measure.better == "higher")


def _difference(measure: SimulatorMeasure, change: Change) -> Cell:
    if isnan(change.difference):
        return Cell(NONE)
    spread = interval(change.low, change.high, "+.3f")
    return Cell(f"{change.difference:+.3f}", interval=spread, verdict=verdict(change, measure))


def _confusion(result: SimulatorResult) -> Confusion:
    kinds = sorted(result.confusion, key=_place)
    diagnosed = {kind for inner in result.confusion.values() for kind in inner}
    said = sorted({*kinds, *diagnosed}, key=_place)
    rows = [(_spaced(kind), [result.confusion[kind].get(each, 0) for each in said]) for kind in kinds]
    return Confusion(result.name, [_spaced(each) for each in said], rows)


def _place(kind: str) -> tuple[int, str]:
    return (_ORDER.index(kind) if kind in _ORDER else len(_ORDER), kind)


def _spaced(kind: str) -> str:
    return kind.replace("_", " ")


def _chain_place(name: str) -> tuple[int, str]:
    verb = name.split("/")[0]
    return (_CHAIN_ORDER.index(verb) if verb in _CHAIN_ORDER else len(_CHAIN_ORDER), name)


def _chain_title(name: str) -> str:
    """A count of the chain in words.

    >>> _chain_title("unanswered/local/no_json")
    'unanswered: local, no json'
    """
    verb, *of = name.split("/")
    return f"{_spaced(verb)}: {', '.join(map(_spaced, of))}"
