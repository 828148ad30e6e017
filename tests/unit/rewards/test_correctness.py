"""R_corr against a brute-force reading of its definition."""

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.rewards.correctness import CorrectnessReward, correctness, match_calls
from fission_grpo.types import Tool, ToolCall

VALUES = st.one_of(
    st.integers(0, 2), st.booleans(), st.sampled_from(["a", "b", 1.0, None]), st.lists(st.integers(0, 1), max_size=2)
)
CALLS = st.builds(ToolCall, st.sampled_from(["f", "g"]), st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=3))
MESSAGES = st.lists(CALLS, max_size=4)


def tool(name: str, **properties: dict[str, Any]) -> Tool:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties}}}


def same_json(first: Any, second: Any) -> bool:
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same_json, first, second))
    return first == second


def f1(call: ToolCall, reference: ToolCall) -> float:
    if not call.arguments and not reference.arguments:
        return 1.0
    shared = sum(
        key in reference.arguments and same_json(value, reference.arguments[key]) for key, value in call.arguments.items()
    )
    return 2 * shared / (len(call.arguments) + len(reference.arguments))


def best_sum(calls: list[ToolCall], reference: list[ToolCall], ordered: bool) -> float:
    """The largest sum of F1 over every possible matching."""
    size = max(len(calls), len(reference))
    slots: list[int | None] = [*range(len(reference)), *[None] * (size - len(reference))]
    totals = [0.0]
    for count in range(min(len(calls), len(reference)) + 1):
        for rows in itertools.combinations(range(len(calls)), count):
            for columns in itertools.permutations([slot for slot in slots if slot is not None], count):
                if ordered and list(columns) != sorted(columns):
                    continue
                pairs = [(calls[i], reference[j]) for i, j in zip(rows, columns, strict=True)]
                if all(call.name == target.name for call, target in pairs):
                    totals.append(sum(f1(call, target) for call, target in pairs))
    return max(totals)


@given(MESSAGES, MESSAGES, st.booleans(), st.floats(0, 1))
def test_equals_its_definition(calls: list[ToolCall], reference: list[ToolCall], ordered: bool, alpha: float) -> None:
    if not calls or not reference:
        expected = float(not calls and not reference)
    else:
        names, wanted = [call.name for call in calls], [call.name for call in reference]
        same = names == wanted if ordered else sorted(names) == sorted(wanted)
        largest = max(len(calls), len(reference))
        expected = alpha * same + (1 - alpha) * best_sum(calls, reference, ordered) / largest
    found = correctness(calls, reference, [], alpha=alpha, ordered=ordered)
    assert abs(found - expected) < 1e-9


@given(MESSAGES.flatmap(lambda calls: st.tuples(st.just(calls), st.permutations(calls))))
def test_any_order_of_the_reference_calls_is_fully_right(pair: tuple[list[ToolCall], list[ToolCall]]) -> None:
    calls, shuffled = pair
    assert correctness(shuffled, calls, []) == 1.0
    assert correctness(calls, calls, [], ordered=True) == 1.0


@given(MESSAGES, MESSAGES, st.booleans())
def test_matches_are_one_to_one_and_of_equal_name(calls: list[ToolCall], reference: list[ToolCall], ordered: bool) -> None:
    matches = match_calls(calls, reference, [], ordered=ordered)
    rows, columns = [match.call_index for match in matches], [match.reference_index for match in matches]
    assert rows == sorted(set(rows))
    assert len(set(columns)) == len(columns)
    assert not ordered or columns == sorted(columns)
    assert all(calls[match.call_index].name == reference[match.reference_index].name for match in matches)


def test_a_schema_default_may_be_left_out() -> None:
    ls = tool("ls", a={"type": "boolean", "default": False})
    assert correctness([ToolCall("ls", {})], [ToolCall("ls", {"a": False})], [ls]) == 1.0
    assert correctness([ToolCall("ls", {})], [ToolCall("ls", {"a": True})], [ls]) == 0.5


def test_values_are_compared_as_json() -> None:
    def score(value: Any, target: Any) -> float:
        return correctness([ToolCall("f", {"x": value})], [ToolCall("f", {"x": target})], [])

    assert score(1, 1.0) == score({"a": 1, "b": [2.0]}, {"b": [2], "a": 1.0}) == 1.0
    assert score(True, 1) == score("1", 1) == score([1, 2], [2, 1]) == 0.5


def test_the_term_passes_its_settings_on() -> None:
    from fission_grpo.rewards import ScoredStep

    calls = (ToolCall("f", {}), ToolCall("g", {}))
    step = ScoredStep("", calls, None, 5, calls[::-1], None, ())
    assert CorrectnessReward()(step, 0) == 1.0
    assert CorrectnessReward(alpha=0.2, ordered=True)(step, 0) == 0.4
