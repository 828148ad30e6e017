"""The table of a comparison: rates of every arm, differences from the baseline, tests, and what each run spent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.evaluation.probe import PROBE_METRICS
from fission_grpo.evaluation.records import EpisodeRecord
from fission_grpo.evaluation.significance import SignFlip, holm, permutation_test, sign_flip_test
from fission_grpo.evaluation.statistics import Difference, SummaryRow, paired_difference, summary
from fission_grpo.recipe.nesting import differences
from fission_grpo.reports.comparison_folder import ArmRuns, ComparedRuns, SeedRun
from fission_grpo.reports.definitions import METRICS, PROBE, MetricDefinition

COMPARED: tuple[MetricDefinition, ...] = (*METRICS[:3], *PROBE, *METRICS[3:])
ELSEWHERE = tuple(metric for metric in METRICS if metric.key in ("solved", "recovery_rate_task", "repeat_rate"))
"""What is said of other benchmarks."""
PRIMARY = ("solved", "probe_recovery", "recovery_rate_turn")
"""What is tested; all other metrics have intervals alone."""


@dataclass(frozen=True)
class ArmRow:
    """One arm over all its finished seeds.

    Attributes:
        cells: by metric.
        differs: the settings in which its recipe differs from its baseline's, with its value.
    """

    arm: ArmRuns
    cells: Mapping[str, SummaryRow]
    differs: Mapping[str, object]

    @property
    def runs(self) -> list[SeedRun]:
        return list(self.arm.runs.values())

    @property
    def updates(self) -> float:
        """Mean over runs, as are `seconds` and `tokens`."""
        return _mean([len(run.steps) for run in self.runs])

    @property
    def seconds(self) -> float:
        return _mean([run.seconds for run in self.runs])

    @property
    def tokens(self) -> dict[str, float]:
        kinds = dict.fromkeys(kind for run in self.runs for kind in run.tokens)
        return {kind: _mean([run.tokens.get(kind, 0.0) for run in self.runs]) for kind in kinds}


@dataclass(frozen=True)
class DifferenceRow:
    """One metric of an arm minus the same of its baseline, over the seeds that both have.

    Attributes:
        p: of the permutation test, and `corrected` by Holm; None of a metric that is not tested.
        sign_flip: the exact test over seeds, None with a single seed.
    """

    arm: str
    baseline: str
    metric: MetricDefinition
    seeds: tuple[int, ...]
    difference: Difference
    p: float | None = None
    corrected: float | None = None
    sign_flip: SignFlip | None = None

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.difference.interval.low > 0 or self.difference.interval.high < 0

    @property
    def is_better(self) -> bool:
        return (self.difference.difference > 0) == (self.metric.better == "higher")


@dataclass(frozen=True)
class OtherTable:
    """What all policies make of another benchmark.

    Attributes:
        cells: by arm, then by metric.
        differences: by arm, then by metric; none is tested.
        doing_nothing: what an agent solves that calls nothing; None where that is not known.
    """

    name: str
    cells: Mapping[str, Mapping[str, SummaryRow]]
    differences: Sequence[DifferenceRow]
    doing_nothing: Ratio | None


@dataclass(frozen=True)
class ComparisonTable:
    """What is published of a comparison.

    Attributes:
        rows: the start policy, then the arms; those without a finished run are left out.
        differences: by arm, then by metric.
        tests: how many p-values were corrected together.
        others: benchmarks that nothing was trained on.
    """

    compared: ComparedRuns
    rows: Sequence[ArmRow]
    differences: Sequence[DifferenceRow]
    tests: int
    others: Sequence[OtherTable] = ()

    def differences_of(self, metric: str) -> list[DifferenceRow]:
        """One an arm."""
        return [row for row in self.differences if row.metric.key == metric]


def comparison_table(compared: ComparedRuns) -> ComparisonTable:
    """Computes the table of what is finished."""
    by_name = {arm.name: arm for arm in compared.arms}
    arms = [arm for arm in (compared.start, *compared.arms) if arm.runs]
    others = list(compared.shared["evaluation"].get("also", {}))
    found: list[DifferenceRow] = []
    for arm in arms:
        baseline = by_name.get(arm.baseline or "")
        if baseline is not None:
            found += _differences(arm, baseline)
    corrected = holm([row.p for row in found])
    rows = [replace(row, corrected=p) for row, p in zip(found, corrected, strict=True)]
    return ComparisonTable(
        compared=compared,
        rows=[ArmRow(arm, _cells(arm), _differs(arm, by_name.get(arm.baseline or ""))) for arm in arms],
        differences=rows,
        tests=sum(row.p is not None for row in rows),
        others=[_other(name, arms, compared.doing_nothing.get(name)) for name in others],
    )


def notes_of(table: ComparisonTable) -> list[str]:
    """What has to be said under the table: what was measured, at which budget, with how much noise."""
    compared = table.compared
    evaluation, probe = compared.shared["evaluation"], compared.shared["probe"]
    notes = [
        f"{compared.sizes.get('test.jsonl', evaluation['tasks'])} held-out tasks x {evaluation['samples']} and "
        f"{compared.sizes.get('probe.jsonl', 0)} probe contexts x {probe['samples']} for every policy, at temperature "
        f"{evaluation['temperature']:g}; seeds 0 to {compared.seeds - 1}, the same for all arms. "
        "Rates are ratios of sums, with numerator and denominator.",
        f"Budget: every run ends at its first update past {compared.budget:,} tokens processed: read (prefill), sampled and "
        "trained by the policy, and those of a simulator in this process, weighted by its size. Evaluation is not counted. "
        "Tokens, updates and wall time are means over runs; the time depends on what else ran.",
        "Intervals: 95%, by bootstrap over scenarios and seeds; in a difference both arms are seen on the same draws.",
        f"p: two-sided permutation test, the two arms swapped within scenarios, all seeds together; of {table.tests} tests "
        "(arms x solved, probe recovery and recovery (turn)), corrected by Holm. It speaks of these trained policies; other "
        "metrics are not tested.",
    ]
    flips = [row.sign_flip for row in table.differences if row.sign_flip is not None]
    if flips:
        smallest = max(flip.smallest for flip in flips)
        notes.append(
            "Seeds: exact sign-flip test over the seeds' differences, which asks whether training again would show it, "
            f"uncorrected; with so few seeds it cannot be below {smallest:.3g}."
        )
    elif table.differences:
        notes.append("One seed: nothing is known of how much training again would change.")
    return [*notes, *(map(_note_on_other, table.others)), *_notes_on_arms(table)]


def _note_on_other(other: OtherTable) -> str:
    nothing = other.doing_nothing
    baseline = "" if nothing is None else f" Doing nothing solves {nothing} of its tasks: hold every rate against that."
    return f"`{other.name}`: nothing was trained on it; its differences are not tested.{baseline}"


def filters_differ(table: ComparisonTable) -> bool:
    """Whether the arms zero different groups, which is no part of a method."""
    return len({row.arm.recipe.fission.signal_filter for row in table.rows if row.arm.recipe is not None}) > 1


def _notes_on_arms(table: ComparisonTable) -> list[str]:
    compared = table.compared
    notes = [
        f"`{arm.name}` was added: GRPO at the same granularity is always in the table." for arm in compared.arms if arm.added
    ]
    if filters_differ(table):
        notes.append("The arms have different signal filters (`fission.signal_filter`), which is part of their differences.")
    if any(arm.recipe is not None and arm.recipe.granularity == "step" for arm in compared.arms):
        notes.append(
            "At step granularity plain GRPO never trains on an error context, so part of a gap in recovery is built in."
        )
    for arm in (compared.start, *compared.arms):
        if len(arm.runs) < compared.seeds:
            notes.append(f"Not finished: `{arm.name}` has {len(arm.runs)} of {compared.seeds} seeds.")
    episodes = [record for row in table.rows for run in row.runs for record in run.episodes]
    masked = sum(record.masked for record in episodes)
    if masked:
        notes.append(f"{masked} of {len(episodes)} episodes are left out: the infrastructure failed in them.")
    return notes


def _other(name: str, arms: Sequence[ArmRuns], doing_nothing: Ratio | None) -> OtherTable:
    by_name = {arm.name: arm for arm in arms}
    records = {arm.name: {seed: run.also[name] for seed, run in arm.runs.items()} for arm in arms}
    cells = {
        arm: {metric.key: summary(list(runs.values()), [metric.key])[0] for metric in ELSEWHERE}
        for arm, runs in records.items()
    }
    found: list[DifferenceRow] = []
    for arm in arms:
        baseline = by_name.get(arm.baseline or "")
        seeds = () if baseline is None else tuple(sorted(set(arm.runs) & set(baseline.runs)))
        if baseline is None or not seeds:
            continue
        pair = [[records[each.name][seed] for seed in seeds] for each in (arm, baseline)]
        found += [
            DifferenceRow(arm.name, baseline.name, metric, seeds, paired_difference(pair[0], pair[1], metric.key))
            for metric in ELSEWHERE
        ]
    return OtherTable(name, cells, found, doing_nothing)


def _cells(arm: ArmRuns) -> dict[str, SummaryRow]:
    runs = list(arm.runs.values())
    return {metric.key: summary(_records(runs, metric.key), [metric.key])[0] for metric in COMPARED}


def _differences(arm: ArmRuns, baseline: ArmRuns) -> list[DifferenceRow]:
    seeds = tuple(sorted(set(arm.runs) & set(baseline.runs)))
    if not seeds:
        return []
    rows: list[DifferenceRow] = []
    for metric in COMPARED:
        pair = [_records([runs.runs[seed] for seed in seeds], metric.key) for runs in (arm, baseline)]
        difference = paired_difference(pair[0], pair[1], metric.key)
        row = DifferenceRow(arm.name, baseline.name, metric, seeds, difference)
        if metric.key in PRIMARY:
            p = permutation_test(pair[0], pair[1], metric.key)
            row = replace(row, p=p, sign_flip=sign_flip_test(difference.by_seed))
        rows.append(row)
    return rows


def _records(runs: Sequence[SeedRun], metric: str) -> list[Sequence[EpisodeRecord]]:
    return [run.probe if metric in PROBE_METRICS else run.evaluation for run in runs]


def _differs(arm: ArmRuns, baseline: ArmRuns | None) -> dict[str, object]:
    if arm.recipe is None or baseline is None or baseline.recipe is None:
        return {}
    first, second = (each.model_dump(mode="json", exclude_none=True) for each in (baseline.recipe, arm.recipe))
    return {key: values[1] for key, values in differences(first, second).items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
