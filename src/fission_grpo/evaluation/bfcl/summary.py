"""From judged entries to what is published: accuracy by category, the unweighted mean, recovery, each with its interval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from fission_grpo.environments.bfcl import CATEGORIES
from fission_grpo.evaluation.bfcl.records import ACCURACY, BY_CLASS, BY_KIND, METRICS, slice_name
from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.evaluation.records import EpisodeRecord, pool_metrics
from fission_grpo.evaluation.statistics import Interval, SummaryRow, mean_of_groups, summary

RECOVERY = tuple(metric.__name__ for metric in METRICS)


@dataclass(frozen=True)
class ModelSummary:
    """One model's entries.

    Attributes:
        records: of all samples.
        missing: entries that were asked for and are not there: infrastructure errors.
        context_exceeded: entries that outgrew the model's context; they count as wrong.
        faults: entries that could not be judged, and count nowhere.
        other_answers: logged answers to calls that are not what bfcl-eval answers here: results of another version.
    """

    model: str
    records: Sequence[EpisodeRecord]
    missing: int = 0
    context_exceeded: int = 0
    faults: int = 0
    other_answers: Ratio = field(default_factory=Ratio)

    @cached_property
    def categories(self) -> Mapping[str, Sequence[EpisodeRecord]]:
        """The records of each of the four categories, none for one that was not played."""
        return {category: [record for record in self.records if category in record.tags] for category in CATEGORIES}

    @property
    def absent_categories(self) -> list[str]:
        return [category for category, records in self.categories.items() if not records]

    def rows(self, records: Sequence[EpisodeRecord], metrics: Sequence[str]) -> list[SummaryRow]:
        """Numerators, denominators and intervals of some metrics; scenarios are drawn, samples stay with theirs."""
        return summary([records], metrics)

    @cached_property
    def overall(self) -> tuple[float, Interval]:
        """The official multi-turn score: the unweighted mean of the four categories, one that is absent counting 0."""
        return mean_of_groups(list(self.categories.values()), ACCURACY)

    def slices(self, dimension: str, metric: str) -> dict[str, Ratio]:
        """One metric by API class or by kind of error, most frequent first."""
        head = slice_name(metric, dimension, "")
        found = {
            name.removeprefix(head): ratio for name, ratio in pool_metrics(self.records).items() if name.startswith(head)
        }
        return dict(sorted(found.items(), key=lambda item: -item[1].denominator))

    def as_json(self) -> dict[str, object]:
        """The figures as they are kept in `scores.json`."""
        mean, interval = self.overall
        return {
            "model": self.model,
            "overall": {"accuracy": mean, "interval": _ends(interval), "absent": self.absent_categories},
            "categories": {
                category: _cell(self.rows(records, [ACCURACY])[0])
                for category, records in self.categories.items()
                if records
            },
            "recovery": {row.metric: _cell(row) for row in self.rows(self.records, RECOVERY)},
            "recovery_by_category": {
                category: {row.metric: _cell(row) for row in self.rows(records, RECOVERY)}
                for category, records in self.categories.items()
                if records
            },
            "slices": {
                dimension: {
                    metric: {value: str(ratio) for value, ratio in self.slices(dimension, metric).items()}
                    for metric in ("recovery_rate_turn", "recovery_rate_call", "repeat_rate")
                }
                for dimension in (BY_CLASS, BY_KIND)
            },
            "missing": self.missing,
            "context_exceeded": self.context_exceeded,
            "not_judged": self.faults,
            "other_answers": str(self.other_answers),
        }


def _cell(row: SummaryRow) -> dict[str, object]:
    return {
        "value": row.ratio.value,
        "numerator": row.ratio.numerator,
        "denominator": row.ratio.denominator,
        "interval": _ends(row.interval),
    }


def _ends(interval: Interval) -> list[float] | None:
    """NaN is no JSON."""
    return None if math.isnan(interval.low) else [interval.low, interval.high]
