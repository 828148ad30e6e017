"""The report: one HTML file that needs nothing else. Whatever a policy wrote is escaped by the template engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from fission_grpo.disk import write_whole
from fission_grpo.recipe import dump_recipe
from fission_grpo.reports.alignment_plots import alignment_curve
from fission_grpo.reports.alignment_tables import (
    RecoveryByKind,
    SourceRow,
    recovery_by_kind,
    sentences,
    source_rows,
    time_note,
)
from fission_grpo.reports.data import Evaluation, Run
from fission_grpo.reports.definitions import ALIGNMENT, LEARNING_CURVES, POOL_CURVES, SIGNAL_CURVES, WITHOUT_KIND_TERMS
from fission_grpo.reports.pages import render_page
from fission_grpo.reports.plots import colours_of, failure_bars, learning_curves
from fission_grpo.reports.pool_plots import pool_curves, signal_curves
from fission_grpo.reports.remaining import remaining_failures
from fission_grpo.reports.tables import Comparison
from fission_grpo.reports.trajectories import pack_trajectories

TAIL_MESSAGES = 4
"""Messages of the dialogue shown before the failed one; the rest is folded away."""


@dataclass(frozen=True)
class Report:
    """What a report shows.

    Attributes:
        evaluations: columns of the table, in order.
        runs: drawn as curves; the first with recovery groups gives the example.
        notes: sentences under the table: what was compared, at which budget, with how much noise.
    """

    title: str
    evaluations: Sequence[Evaluation]
    runs: Sequence[Run]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Curves:
    """A section of curves over the updates.

    Attributes:
        drawn: an SVG; empty where there is nothing to draw.
        meanings: what each panel shows.
    """

    title: str
    about: str
    drawn: Markup
    meanings: Mapping[str, str]


@dataclass(frozen=True)
class FitSection:
    """Whether one run's error simulator fits: what the section on it shows.

    Attributes:
        curve: an SVG.
        meanings: the terms used, each with what it means.
    """

    label: str
    sentences: Sequence[str]
    curve: Markup
    recovery: RecoveryByKind
    sources: Sequence[SourceRow]
    time: str
    meanings: Mapping[str, str]


def run_report(runs: Sequence[Run], title: str = "Fission-GRPO: report", notes: Sequence[str] = ()) -> Report:
    """The report of some runs: where they started (once, when all started from the same), then each trained policy."""
    starts = [run.start for run in runs if run.start is not None]
    trained = [run.evaluation for run in runs if run.evaluation is not None]
    return Report(title, [*starts[:1], *trained] if trained else [], runs, notes)


def write_report(report: Report, path: Path, sections: Sequence[Markup] = ()) -> None:
    """Writes the report as one self-contained HTML file. Arguments as in `render_report`."""
    write_whole(path, render_report(report, sections))


def render_report(report: Report, sections: Sequence[Markup] = (), live: str | None = None) -> str:
    """The report as HTML text.

    Args:
        sections: shown before all others, in the place of the table (`pages.render_section` makes them).
        live: version of the logs, where a server goes on to show them (`live.py`).
    """
    labels = [evaluation.label for evaluation in report.evaluations]
    groups = [group for run in report.runs for group in run.recoveries.groups]
    trajectories = pack_trajectories(report.runs)
    # Markup marks as safe what matplotlib drew: it escapes the text that it draws, and labels come from us.
    return render_page(
        "report.html",
        scripts=[*(["browser.js"] if trajectories.shown else []), *(["live.js"] if live else [])],
        connects=live is not None,
        live=live,
        report=report,
        sections=sections,
        comparison=Comparison([] if sections else report.evaluations),
        colours=colours_of(labels),
        curves=[section for section in curve_sections(report.runs) if section.drawn],
        failures=Markup(failure_bars(report.evaluations)),
        remaining=remaining_failures(report.evaluations),
        fits=[fit_section(run) for run in report.runs if run.alignment.measurements],
        group=example_group(groups),
        tail=TAIL_MESSAGES,
        trajectories=trajectories,
        recipes={run.label: dump_recipe(run.recipe) for run in report.runs},
        versions=report.runs[0].versions if report.runs else {},
    )


def curve_sections(runs: Sequence[Run]) -> list[Curves]:
    """What training logged, over the updates."""
    return [
        Curves(
            "Learning curves",
            "Every update thin, a moving average over it. The rollouts that a policy is trained on, not held-out tasks.",
            Markup(learning_curves(runs)),
            LEARNING_CURVES,
        ),
        Curves(
            "Groups without signal",
            "Share of the groups whose outcomes all agree. Where the signal filter is on, nothing of them is trained.",
            Markup(signal_curves(runs)),
            SIGNAL_CURVES,
        ),
        Curves(
            "The pool of failures",
            "What was intercepted and waits to become a recovery group, and what comes of it.",
            Markup(pool_curves(runs)),
            POOL_CURVES,
        ),
    ]


def fit_section(run: Run) -> FitSection:
    """Whether the run's error simulator fits, of a run that measured it."""
    left_out = () if run.alignment.claims_kinds else WITHOUT_KIND_TERMS
    return FitSection(
        label=run.label,
        sentences=sentences(run.alignment),
        curve=Markup(alignment_curve(run.alignment)),  # drawn by matplotlib, which escapes the text that it draws
        recovery=recovery_by_kind(run.alignment.measurements),
        sources=source_rows(run.steps),
        time=time_note(run.steps, run.alignment),
        meanings={term: meaning for term, meaning in ALIGNMENT.items() if term not in left_out},
    )


def example_group(groups: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The recovery group that shows most: answered by a real error, with successes and failures, as evenly as can be; the
    newest of those."""

    def worth(group: Mapping[str, Any]) -> tuple[bool, bool, int, int]:
        outcomes = [bool(recovery["outcome"]) for recovery in group["recoveries"]]
        balance = min(sum(outcomes), len(outcomes) - sum(outcomes))
        return (balance > 0, group["failure"]["kind"] == "runtime_error", balance, int(group["step"]))

    return max(groups, key=worth, default=None)
