"""Training examples of a simulator: a failure, and the diagnosis that a teacher wrote and the filters let pass."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from fission_grpo.errors import UserError
from fission_grpo.failure_files import failure_from_json, failure_to_json
from fission_grpo.json_lines import read_json_lines
from fission_grpo.simulators.answer import Answer, answer_text
from fission_grpo.simulators.base import Simulator
from fission_grpo.simulators.leak import leaks
from fission_grpo.simulators.prompt import case_id, diagnosis_prompt
from fission_grpo.simulators.rules import RulesSimulator, diagnosis_text
from fission_grpo.training.simulator.measures import diagnoses
from fission_grpo.types import Failure, FailureKind, FeedbackLevel

SHORTEST_MESSAGE = 10
"""Characters: below them a message diagnoses nothing."""
Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
SHARES: Mapping[Part, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}
"""Shares of the scenarios."""


@dataclass(frozen=True)
class Example:
    """A failure and its target diagnosis."""

    failure: Failure
    answer: Answer
    teacher: str

    def row(self) -> dict[str, Any]:
        """In TRL's conversational prompt-completion format, with the failure itself beside it."""
        completion = {"role": "assistant", "content": answer_text(self.answer.kind, self.answer.message)}
        return {
            "prompt": diagnosis_prompt(self.failure),
            "completion": [completion],
            "teacher": self.teacher,
            "failure": failure_to_json(self.failure),
        }


class ExampleFilter:
    """Lets pass what a simulator may learn from, and counts what it keeps back.

    Attributes:
        counts: `kept`, and by reason: `format` (the message could not be read: its feedback is deterministic), `unanswered`
            (the teacher said nothing usable), `leak`, `kind` (the teacher's kind is not the established one), `length`,
            `duplicate` (an equal case was kept before).
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._seen: set[str] = set()

    def keep(self, failure: Failure, answer: Answer | None, teacher: str) -> Example | None:
        """The example, or None where a filter holds it back."""
        reason = self._reason(failure, answer)
        self.counts[reason or "kept"] += 1
        if reason is not None or answer is None:
            return None
        self._seen.add(case_id(failure))
        return Example(failure, answer, teacher)

    def _reason(self, failure: Failure, answer: Answer | None) -> str | None:
        if failure.format_error is not None:
            return "format"
        if answer is None:
            return "unanswered"
        if leaks(answer.message, failure) is not None:
            return "leak"
        if answer.kind is not failure.kind:
            return "kind"
        if len(answer.message) < SHORTEST_MESSAGE:  # what is too long is no answer at all
            return "length"
        return "duplicate" if case_id(failure) in self._seen else None


def teacher_name(teacher: Simulator | None) -> str:
    """Who writes the targets: without an endpoint, the rules."""
    return RulesSimulator.name if teacher is None else teacher.name


def teach(failures: Sequence[Failure], teacher: Simulator | None) -> list[Answer | None]:
    """The target diagnoses: those of an endpoint, or without one the rules' full diagnosis. None where it cannot say.

    The environment's own words are no part of a target: where it spoke, they stand before the simulator's message anyway.
    """
    if teacher is None:
        return [Answer(failure.kind, diagnosis_text(failure, FeedbackLevel.FULL)) for failure in failures]
    answers: list[Answer | None] = []
    for failure, feedback in zip(failures, diagnoses(teacher, failures), strict=True):
        usable = feedback.replaced is None and feedback.kind is not None
        message = feedback.text.removeprefix(f"{failure.error_text}\n")
        answers.append(Answer(feedback.kind or failure.kind, message) if usable else None)
    return answers


def part_of(scenario: str, shares: Mapping[Part, float] = SHARES) -> Part:
    """Which part a scenario belongs to, whatever else was collected."""
    place, reached = position(scenario), 0.0
    for part, share in shares.items():
        reached += share
        if place < reached:
            return part
    return "train"


def position(scenario: str) -> float:
    """A number in [0, 1) that a scenario keeps: shares that grow contain each other."""
    return int.from_bytes(sha256(scenario.encode()).digest()[:6], "big") / 2**48


def split_examples(examples: Sequence[Example], shares: Mapping[Part, float] = SHARES) -> dict[Part, list[Example]]:
    """The examples by part; no scenario is in two."""
    parts: dict[Part, list[Example]] = {part: [] for part in shares}
    for example in examples:
        parts[part_of(example.failure.scenario, shares)].append(example)
    return parts


def save_examples(examples: Sequence[Example], folder: Path, shares: Mapping[Part, float] = SHARES) -> dict[Part, int]:
    """Writes `train.jsonl`, `validation.jsonl` and `test.jsonl`; returns how many each holds."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = split_examples(examples, shares)
    for part, held in parts.items():
        text = "".join(json.dumps(example.row(), ensure_ascii=False) + "\n" for example in held)
        (folder / f"{part}.jsonl").write_text(text, encoding="utf-8")
    return {part: len(held) for part, held in parts.items()}


def load_examples(folder: Path, part: Part, fraction: float = 1.0) -> list[Example]:
    """Reads one part; of `train`, with `fraction` below 1, the examples of that share of its scenarios.

    Raises:
        UserError: no such file, or a broken line.
    """
    path = folder / f"{part}.jsonl"
    if not path.is_file():
        raise UserError(
            f"simulator data {folder}: no {path.name} in it; "
            f"`fission simulator collect recipes/bfcl_quick.yaml --out {folder}` makes one"
        )
    examples = read_json_lines(path, "simulator data", _example, "an example")
    if part != "train" or fraction >= 1:
        return examples
    reach = SHARES["train"] * fraction
    return [each for each in examples if position(each.failure.scenario) < reach]


def _example(row: Mapping[str, Any]) -> Example:
    answer = json.loads(row["completion"][0]["content"])
    return Example(
        failure_from_json(row["failure"]), Answer(FailureKind(answer["kind"]), str(answer["message"])), str(row["teacher"])
    )
