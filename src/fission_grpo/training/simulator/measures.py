"""What a simulator's feedback is worth, failure by failure: is it usable, does it leak, does it name the right thing?

Judged is what the simulator itself says, before the leak guard: what the guard holds back says how good the guard is.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fission_grpo.errors import InfrastructureError
from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.evaluation.records import EpisodeRecord
from fission_grpo.failures import CHECKED_KINDS, parameter_at_fault
from fission_grpo.simulators.base import Simulator
from fission_grpo.simulators.chain import check_answers
from fission_grpo.simulators.fixed import fixed_feedback
from fission_grpo.simulators.leak import Leak, LeakForm, leaks
from fission_grpo.types import Failure, Feedback

UNUSABLE = "(unusable)"
NO_KIND = "(none)"
"""What stands in the confusion matrix where no kind was diagnosed: the answer was unusable, or claims no kind."""


@dataclass(frozen=True)
class Judgement:
    """One feedback of one simulator.

    Attributes:
        leak: what the feedback gives away, None where nothing or where it is unusable.
    """

    failure: Failure
    feedback: Feedback
    leak: Leak | None

    @property
    def usable(self) -> bool:
        """The simulator answered, and nothing had to stand in."""
        return self.feedback.replaced is None

    @property
    def message(self) -> str:
        """The simulator's own words, without those of the environment before them."""
        return self.feedback.text.removeprefix(self.failure.error_text or "").strip()

    @property
    def agrees(self) -> bool:
        """The diagnosed kind is the established one."""
        return self.usable and self.feedback.kind is self.failure.kind

    @property
    def sound(self) -> bool:
        """Usable, without a leak, of the established kind: what the alignment monitor counts."""
        return self.agrees and self.leak is None

    @property
    def parameter(self) -> str | None:
        """The parameter at fault, where that is known."""
        return parameter_at_fault(self.failure)

    @property
    def names_parameter(self) -> bool:
        """The message names the parameter at fault; a name of one or two letters only as a parameter: `a` is a word too."""
        name = re.escape(self.parameter or "")
        marked = rf"(?:parameter|argument)s?:? +{name}(?!\w)|['\"`]{name}['\"`]"
        pattern = marked if len(name) <= 2 else rf"(?<!\w){name}(?!\w)"
        return self.usable and re.search(pattern, self.message) is not None


def diagnoses(simulator: Simulator, failures: Sequence[Failure]) -> list[Feedback]:
    """What one simulator says; where it fails altogether, that it could be used for none of them."""
    try:
        feedbacks = simulator.diagnose(failures)
    except InfrastructureError:
        return [fixed_feedback(replaced=simulator.name, reason="failed")] * len(failures)
    check_answers(simulator.name, feedbacks, len(failures))
    return feedbacks


def judge(failures: Sequence[Failure], feedbacks: Sequence[Feedback]) -> list[Judgement]:
    """Judges what a simulator said, in order."""
    return [
        Judgement(failure, feedback, leaks(feedback.text, failure) if feedback.replaced is None else None)
        for failure, feedback in zip(failures, feedbacks, strict=True)
    ]


def _leaked(judgement: Judgement, *forms: LeakForm) -> Ratio:
    found = judgement.leak is not None and judgement.leak.form in forms
    return Ratio(int(found), 1) if judgement.usable else Ratio()


MEASURES: Mapping[str, Callable[[Judgement], Ratio]] = {
    "usable": lambda each: Ratio(int(each.usable), 1),
    "leak_exact": lambda each: _leaked(each, LeakForm.EXACT),
    "leak_normalised": lambda each: _leaked(each, LeakForm.EXACT, LeakForm.NORMALISED),
    "leak": lambda each: _leaked(each, *LeakForm),
    "agreement": lambda each: Ratio(int(each.agrees), 1) if each.failure.kind in CHECKED_KINDS else Ratio(),
    "agreement_all": lambda each: Ratio(int(each.agrees), 1),
    "specificity": lambda each: Ratio(int(each.names_parameter), 1) if each.parameter is not None else Ratio(),
    "sound": lambda each: Ratio(int(each.sound), 1),
}
"""By name, as a ratio per failure; sums of ratios are shares.

`usable`: of all failures. `leak_exact`, `leak_normalised`, `leak`: of the usable answers, each including the stricter ones
before it; the last tolerates paraphrase. `agreement`: of the failures of `CHECKED_KINDS`, an unusable answer counting as
wrong; `agreement_all`: of all. `specificity`: of the failures with a known parameter at fault. `sound`: of all.
"""


def measure(judgements: Sequence[Judgement]) -> dict[str, Ratio]:
    """Every measure over some failures."""
    return {name: sum(map(of_one, judgements), Ratio()) for name, of_one in MEASURES.items()}


def records_of(judgements: Sequence[Judgement]) -> list[EpisodeRecord]:
    """The judgements as records, whose intervals are clustered by scenario."""
    return [
        EpisodeRecord(
            task_id=each.failure.task_id,
            scenario=each.failure.scenario,
            sample=0,
            stop_reason="",
            counts={name: (ratio.numerator, ratio.denominator) for name, ratio in measure([each]).items()},
        )
        for each in judgements
    ]


def confusion(judgements: Sequence[Judgement]) -> dict[str, dict[str, int]]:
    """How often each established kind (outer) was diagnosed as what (inner)."""
    counts: dict[str, Counter[str]] = {}
    for each in judgements:
        said = each.feedback.kind.value if each.feedback.kind else NO_KIND
        counts.setdefault(each.failure.kind.value, Counter())[said if each.usable else UNUSABLE] += 1
    return {kind: dict(inner.most_common()) for kind, inner in sorted(counts.items())}


def majority_agreement(failures: Sequence[Failure]) -> Ratio:
    """The agreement that always saying the most frequent of `CHECKED_KINDS` would have: what any simulator must beat."""
    kinds = Counter(failure.kind for failure in failures if failure.kind in CHECKED_KINDS)
    return Ratio(max(kinds.values(), default=0), kinds.total())


def mean_words(judgements: Sequence[Judgement]) -> float:
    """Mean length of the usable messages in words, the environment's own left aside."""
    lengths = [len(each.message.split()) for each in judgements if each.usable]
    return sum(lengths) / len(lengths) if lengths else 0.0
