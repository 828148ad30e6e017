"""What a report says of a run's simulator: sentences, recovery by kind of error, and where the feedback came from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.reports.alignment import Alignment, Measurement, Refresh
from fission_grpo.reports.progress import duration

MOST_KINDS = 6
"""Kinds of error with a row of their own, the most frequent; the others share one."""
MOST_PERIODS = 8
LEAST_RECOVERIES = 24
"""Recoveries that the median cell should hold: three groups of eight. Measurements are pooled until it does."""
OTHERS = "all others"
_MOST_LISTED = 6


@dataclass(frozen=True)
class RecoveryByKind:
    """Recovery after feedback, by kind of error and period.

    Attributes:
        periods: first and last update of each.
        rows: kind, a ratio for every period, and the ratio of the whole run; the most frequent kind first.
    """

    periods: Sequence[tuple[int, int]]
    rows: Sequence[tuple[str, Sequence[Ratio], Ratio]]


@dataclass(frozen=True)
class SourceRow:
    """What one source of feedback did over the whole run.

    Attributes:
        given: recovery groups with feedback of this source, of all.
        leaked: answers that the leak guard held back.
        asked_again: failures that it was asked a second time about.
        unanswered: failures without a usable answer, by reason.
        failed: failures that were not answered because it could not be reached or broke.
    """

    source: str
    given: Ratio
    leaked: int
    asked_again: int
    unanswered: Mapping[str, int]
    failed: int


def recovery_by_kind(measurements: Sequence[Measurement]) -> RecoveryByKind:
    """Recovery by kind of error over time; no rows where no recovery group was trained."""
    totals = Counter[str]()
    for each in measurements:
        totals.update({kind: ratio.denominator for kind, ratio in each.recovery.items()})
    kinds = [kind for kind, count in totals.most_common() if count]
    own = kinds[:MOST_KINDS] if len(kinds) > MOST_KINDS + 1 else kinds
    groups = [(kind, [kind]) for kind in own] + ([(OTHERS, kinds[len(own) :])] if len(kinds) > len(own) else [])
    pooled = _pooled(measurements, own)
    firsts = [1, *(period[-1].step + 1 for period in pooled)]
    periods = [(first, period[-1].step) for first, period in zip(firsts, pooled, strict=False)]
    rows = [
        (name, [_recovered(period, members) for period in pooled], _recovered(measurements, members))
        for name, members in groups
    ]
    return RecoveryByKind(periods, rows)


def source_rows(steps: Sequence[Mapping[str, Any]]) -> list[SourceRow]:
    """Feedback by source over all updates, the most frequent source first.

    Args:
        steps: the lines of `metrics.jsonl`.
    """
    given, counts = Counter[str](), Counter[str]()
    for step in steps:
        given.update({source: int(count) for source, count in step.get("feedback", {}).items()})
        counts.update({name: int(count) for name, count in step.get("simulator", {}).items()})
    named = dict.fromkeys(source for name in counts for source in name.split("/")[1:2])
    sources = [source for source, _ in given.most_common()]
    return [
        SourceRow(
            source=source,
            given=Ratio(given[source], given.total()),
            leaked=counts[f"leaked/{source}"],
            asked_again=counts[f"asked_again/{source}"],
            unanswered=_unanswered(counts, source),
            failed=counts[f"failed/{source}"],
        )
        for source in [*sources, *sorted(named.keys() - set(sources))]
    ]


def time_note(steps: Sequence[Mapping[str, Any]], alignment: Alignment) -> str:
    """What the simulators cost, in time."""
    diagnosing = sum(float(step.get("simulator_seconds") or 0.0) for step in steps)
    updates = sum(float(step.get("seconds") or 0.0) for step in steps)
    share = f", {100 * diagnosing / updates:.1f}% of the {duration(updates)} of all updates" if updates else ""
    measuring = sum(each.seconds for each in alignment.measurements)
    refreshing = sum(each.seconds for each in alignment.refreshes)
    refreshed = f", refreshes {duration(refreshing)}" if alignment.refreshes else ""
    between = f"Between updates, measuring took {duration(measuring)}{refreshed}."
    return f"Diagnosing took {duration(diagnosing)}{share}. {between}"


def sentences(alignment: Alignment) -> list[str]:
    """In plain words: did it stay above the level, and what became of the refreshes?"""
    return [_level_sentence(alignment), *_refresh_sentences(alignment.refreshes)]


def _level_sentence(alignment: Alignment) -> str:
    measurements = alignment.measurements
    name = measurements[-1].simulator
    if not alignment.claims_kinds:
        return f"The simulator {name!r} claims no kind of failure, so that there is no agreement to measure."
    known = [each for each in measurements if each.shares["sound"].denominator]
    if not known:
        return f"The simulator {name!r} was measured on no failures."
    level, low = f"{known[-1].warn_below:g}", [each for each in known if each.is_low]
    least = min(known, key=lambda each: each.shares["sound"].value or 0.0)
    at = f"at update {least.step}: {least.shares['sound']} sound"
    if not low:
        return f"The simulator {name!r} never fell below {level} in {_measured(len(known))}; lowest {at}."
    fell = f"below {level} at {_updates([str(each.step) for each in low])} ({len(low)} of {_measured(len(known))})"
    return f"The simulator {name!r} fell {fell}; lowest {at}."


def _refresh_sentences(refreshes: Sequence[Refresh]) -> list[str]:
    told = [
        f"Refreshed at update {each.step}: version {each.version} took over, sound on {each.new} of held-out failures, "
        f"the version before on {each.old}."
        for each in refreshes
        if each.used
    ]
    unused = [each for each in refreshes if not each.used]
    for reason in dict.fromkeys(each.reason for each in unused):
        where = [_compared(each) for each in unused if each.reason == reason]
        noun = "Refresh" if len(where) == 1 else "Refreshes"
        told.append(f"{noun} not used, at {_updates(where)}: {reason or 'no reason given'}.")
    return told


def _compared(refresh: Refresh) -> str:
    if refresh.new is None or refresh.old is None:
        return str(refresh.step)
    return f"{refresh.step} (sound on {refresh.new}, the version in use on {refresh.old})"


def _updates(places: Sequence[str]) -> str:
    """`update 10`; `updates 10, 20 and 30`; of many the first ones."""
    shown = [*places[:_MOST_LISTED], *([f"{len(places) - _MOST_LISTED} more"] if len(places) > _MOST_LISTED else [])]
    if len(shown) == 1:
        return f"update {shown[0]}"
    return f"updates {', '.join(shown[:-1])} and {shown[-1]}"


def _measured(count: int) -> str:
    return f"{count} measurement{'' if count == 1 else 's'}"


def _pooled(measurements: Sequence[Measurement], kinds: Sequence[str]) -> list[Sequence[Measurement]]:
    """Consecutive measurements together, equally many, as few as the limits above allow."""
    size = max(1, -(-len(measurements) // MOST_PERIODS))
    while True:
        periods = [measurements[start : start + size] for start in range(0, len(measurements), size)]
        cells = [_recovered(period, [kind]).denominator for period in periods for kind in kinds]
        if len(periods) <= 1 or not cells or median(cells) >= LEAST_RECOVERIES:
            return periods
        size += 1


def _recovered(measurements: Sequence[Measurement], kinds: Sequence[str]) -> Ratio:
    found = (each.recovery.get(kind, Ratio()) for each in measurements for kind in kinds)
    return sum(found, Ratio())


def _unanswered(counts: Mapping[str, int], source: str) -> dict[str, int]:
    """By reason; an answer without a reason of its own counts as `nothing to say`."""
    prefix = f"unanswered/{source}"
    found = {name: count for name, count in counts.items() if name == prefix or name.startswith(f"{prefix}/")}
    return {name[len(prefix) + 1 :].replace("_", " ") or "nothing to say": count for name, count in found.items()}
