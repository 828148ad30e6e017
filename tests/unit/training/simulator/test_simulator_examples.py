"""Training examples: what the filters hold back, how scenarios are split, and what the files hold."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from datasets import load_dataset
from failing import failure
from failure_strategies import erring, malformed, without_pattern
from hypothesis import given
from hypothesis import strategies as st
from trl.data_utils import is_conversational

from fission_grpo.errors import InfrastructureError, UserError
from fission_grpo.simulators.answer import Answer, read_answer
from fission_grpo.training.simulator.examples import (
    PARTS,
    Example,
    ExampleFilter,
    load_examples,
    part_of,
    save_examples,
    teach,
)
from fission_grpo.types import Failure, FailureKind, Feedback, FeedbackLevel

HONEST = Answer(FailureKind.SCHEMA_VIOLATION, "missing parameter: find needs `pattern`.")


def examples(count: int) -> list[Example]:
    failures = [erring(number) for number in range(count)]
    pairs = zip(failures, teach(failures, None), strict=True)
    return [Example(each, answer, "rules") for each, answer in pairs if answer is not None]


@pytest.mark.parametrize(
    ("reason", "held", "answer"),
    [
        ("format", malformed(), Answer(FailureKind.MALFORMED_CALL, "the call is not valid JSON.")),
        ("unanswered", without_pattern(), None),
        ("leak", without_pattern(), replace(HONEST, message="pattern must be 'budget'.")),
        ("kind", without_pattern(), replace(HONEST, kind=FailureKind.WRONG_TOOL)),
        ("length", without_pattern(), replace(HONEST, message="wrong.")),
    ],
)
def test_each_filter_holds_back_and_counts(reason: str, held: Failure, answer: Answer | None) -> None:
    kept = ExampleFilter()
    assert kept.keep(held, answer, "t") is None
    assert kept.counts == {reason: 1}
    assert kept.keep(without_pattern(), HONEST, "t") == Example(without_pattern(), HONEST, "t")
    assert kept.counts == {reason: 1, "kept": 1}


def test_an_equal_case_is_kept_once_whatever_tokens_made_it() -> None:
    kept = ExampleFilter()
    first = without_pattern()
    assert kept.keep(first, HONEST, "t") is not None
    assert kept.keep(replace(first, prompt_ids=(1, 2), update=7, attempt=1), HONEST, "t") is None
    assert kept.keep(replace(first, messages=({"role": "user", "content": "other"},)), HONEST, "t") is not None
    assert kept.counts == {"kept": 2, "duplicate": 1}


def test_a_case_that_was_held_back_does_not_make_the_next_a_duplicate() -> None:
    kept = ExampleFilter()
    kept.keep(without_pattern(), None, "t")
    assert kept.keep(without_pattern(), HONEST, "t") is not None


class Teacher:
    """Says what it is told to; `None` in `said` means that it has no usable answer."""

    name = "endpoint"

    def __init__(self, said: Sequence[Feedback]) -> None:
        self._said = said

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        if not self._said:
            raise InfrastructureError("down")
        return list(self._said)


def test_a_teachers_words_are_the_target_without_the_environments() -> None:
    erred, silent = failure("a"), without_pattern()
    said = [
        Feedback(
            f"{erred.error_text}\nNo such file. Look first.", "endpoint", FeedbackLevel.FULL, FailureKind.RUNTIME_ERROR
        ),
        Feedback("fixed", "fixed", FeedbackLevel.RAW, replaced="endpoint"),
    ]
    assert teach([erred, silent], Teacher(said)) == [Answer(FailureKind.RUNTIME_ERROR, "No such file. Look first."), None]


def test_a_teacher_that_is_down_teaches_nothing_and_stops_nothing() -> None:
    assert teach([failure("a"), failure("b")], Teacher([])) == [None, None]


def test_the_rules_targets_are_answers_that_pass_every_filter() -> None:
    kept, failures = ExampleFilter(), [without_pattern(), *(erring(number) for number in range(5))]
    for each, answer in zip(failures, teach(failures, None), strict=True):
        example = kept.keep(each, answer, "rules")
        assert example is not None
        assert read_answer(example.row()["completion"][0]["content"], each) == answer
    assert kept.counts == {"kept": 6}


@given(st.text(max_size=20))
def test_a_scenario_has_one_part_and_it_does_not_depend_on_anything(scenario: str) -> None:
    assert part_of(scenario) == part_of(scenario)
    assert part_of(scenario, {"train": 1.0}) == "train"
    if part_of(scenario) == "train":
        assert part_of(scenario, {"train": 0.9, "validation": 0.1}) == "train"


def test_the_parts_have_their_shares() -> None:
    parts = Counter(part_of(f"scenario-{number}") for number in range(4000))
    assert abs(parts["train"] - 3200) < 120
    assert abs(parts["validation"] - 400) < 80


def test_no_scenario_stands_in_two_files(tmp_path: Path) -> None:
    made = examples(60)
    again = [replace(each, failure=replace(each.failure, text="other")) for each in made]
    sizes = save_examples([*made, *again], tmp_path)
    read = {part: load_examples(tmp_path, part) for part in PARTS}
    assert {part: len(each) for part, each in read.items()} == sizes
    assert sum(sizes.values()) == 120
    scenarios = [{each.failure.scenario for each in read[part]} for part in PARTS]
    assert all(scenarios)
    assert sum(map(len, scenarios)) == len(set.union(*scenarios)) == 60


def test_fractions_contain_each_other_and_leave_the_other_parts_whole(tmp_path: Path) -> None:
    save_examples(examples(300), tmp_path)
    names = [{each.failure.task_id for each in load_examples(tmp_path, "train", share)} for share in (0.1, 0.25, 0.5, 1.0)]
    assert all(small < large for small, large in pairwise(names))
    for share, found in zip((0.1, 0.25, 0.5), names, strict=False):
        assert abs(len(found) / len(names[-1]) - share) < 0.1
    for part in ("validation", "test"):
        assert load_examples(tmp_path, part, 0.1) == load_examples(tmp_path, part)


def test_rows_are_conversational_prompts_and_completions_for_trl(tmp_path: Path) -> None:
    folder, cache = tmp_path / "data", tmp_path / "cache"
    strange = replace(without_pattern("scenario-1"), text="a\u2028b")
    save_examples([*examples(20), Example(strange, HONEST, "t")], folder)
    rows = load_dataset("json", data_files=str(folder / "train.jsonl"), split="train", cache_dir=str(cache))
    assert len(rows) == len(load_examples(folder, "train")) > 10
    for row in cast(list[dict[str, Any]], list(rows)):
        assert is_conversational(row)
        assert [message["role"] for message in row["prompt"]] == ["system", "user"]
        (answer,) = row["completion"]
        assert set(json.loads(answer["content"])) == {"kind", "message"}


def test_examples_are_read_as_they_were_written(tmp_path: Path) -> None:
    strange = replace(without_pattern(), text="a\u2028b\x85c\nd")
    save_examples([Example(strange, HONEST, "t")], tmp_path, {"train": 1.0})
    (back,) = load_examples(tmp_path, "train")
    assert back == Example(replace(strange, prompt_ids=(), completion_ids=()), HONEST, "t")


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"completion": [], "failure": {}}', "null"])
def test_a_broken_line_of_the_data_is_named(tmp_path: Path, line: str) -> None:
    save_examples(examples(3), tmp_path, {"train": 1.0})
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=r"train\.jsonl, line 4: not readable as an example") as error:
        load_examples(tmp_path, "train")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"no validation\.jsonl in it; `fission simulator collect"):
        load_examples(tmp_path, "validation")
