"""R_corr: how close are the calls to the reference calls?

`alpha * 1[N = N*] + (1 - alpha) * (sum of F1 over matched calls) / max(n, n*)`, where only calls of equal name are matched,
one to one, so that the sum is the largest possible.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from scipy.optimize import linear_sum_assignment  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from fission_grpo.chat.schema import canonical, normalise_arguments
from fission_grpo.rewards.base import ScoredStep
from fission_grpo.types import Tool, ToolCall

_Pairs = frozenset[tuple[str, Hashable]]


@dataclass(frozen=True)
class Match:
    """A call and the reference call it stands for: their positions, and the F1 of their arguments."""

    call_index: int
    reference_index: int
    f1: float


@dataclass(frozen=True)
class CorrectnessReward:
    """R_corr with its two choices.

    Attributes:
        alpha: weight of the names; the arguments weigh `1 - alpha`.
        ordered: the order of the calls counts too; by default it does not.
    """

    alpha: float = 0.5
    ordered: bool = False

    def __call__(self, step: ScoredStep, training_step: int) -> float:
        return correctness(step.calls, step.reference, step.tools, alpha=self.alpha, ordered=self.ordered)


def correctness(
    calls: Sequence[ToolCall],
    reference: Sequence[ToolCall],
    tools: Sequence[Tool],
    *,
    alpha: float = 0.5,
    ordered: bool = False,
) -> float:
    """R_corr in [0, 1]. No calls on either side is 1, on exactly one side 0.

    >>> cd, ls = ToolCall("cd", {"folder": "docs"}), ToolCall("ls", {})
    >>> correctness([ls, cd], [cd, ls], [])
    1.0
    >>> correctness([ls, cd], [cd, ls], [], ordered=True)  # names out of order; one of the two still matches
    0.25
    >>> correctness([ToolCall("cd", {"folder": "tmp"})], [cd], [])  # right tool, wrong folder
    0.5
    >>> correctness([cd], [cd, ls], [])  # one of two calls, so the names differ
    0.25
    >>> correctness([], [], []), correctness([], [cd], []), correctness([cd], [], [])
    (1.0, 0.0, 0.0)
    """
    if not calls or not reference:
        return float(not calls and not reference)
    names, reference_names = [call.name for call in calls], [call.name for call in reference]
    same_names = names == reference_names if ordered else sorted(names) == sorted(reference_names)
    total = sum(match.f1 for match in match_calls(calls, reference, tools, ordered=ordered))
    return alpha * same_names + (1 - alpha) * total / max(len(calls), len(reference))


def match_calls(
    calls: Sequence[ToolCall], reference: Sequence[ToolCall], tools: Sequence[Tool], *, ordered: bool = False
) -> list[Match]:
    """The one-to-one matching of calls of equal name with the largest sum of F1, in the order of `calls`.

    With `ordered`, matched calls must also follow one another in the same order on both sides.

    >>> a, b = ToolCall("cd", {"folder": "a"}), ToolCall("cd", {"folder": "b"})
    >>> [(match.call_index, match.reference_index, match.f1) for match in match_calls([b, a], [a, b], [])]
    [(0, 1, 1.0), (1, 0, 1.0)]
    """
    pairs, reference_pairs = _argument_pairs(calls, tools), _argument_pairs(reference, tools)
    if ordered:
        return _match_in_order(calls, reference, pairs, reference_pairs)
    positions: defaultdict[str, list[int]] = defaultdict(list)
    for index, call in enumerate(calls):
        positions[call.name].append(index)
    reference_positions: defaultdict[str, list[int]] = defaultdict(list)
    for index, call in enumerate(reference):
        reference_positions[call.name].append(index)
    matches: list[Match] = []
    for name, rows in positions.items():
        columns = reference_positions.get(name, [])
        if len(rows) == len(columns) == 1:  # nearly always: no assignment problem to solve
            matches.append(Match(rows[0], columns[0], argument_f1(pairs[rows[0]], reference_pairs[columns[0]])))
        elif columns:
            matches += _assign(rows, columns, pairs, reference_pairs)
    return sorted(matches, key=lambda match: match.call_index)


def argument_f1(arguments: _Pairs, reference: _Pairs) -> float:
    """F1 over key/value pairs: 1 when both are empty.

    >>> argument_f1(frozenset({("a", 1), ("b", 2)}), frozenset({("a", 1), ("b", 3)}))
    0.5
    >>> argument_f1(frozenset(), frozenset())
    1.0
    """
    if not arguments and not reference:
        return 1.0
    return 2 * len(arguments & reference) / (len(arguments) + len(reference))


def _argument_pairs(calls: Sequence[ToolCall], tools: Sequence[Tool]) -> list[_Pairs]:
    return [frozenset((key, canonical(value)) for key, value in normalise_arguments(call, tools).items()) for call in calls]


def _assign(
    rows: Sequence[int], columns: Sequence[int], pairs: Sequence[_Pairs], reference_pairs: Sequence[_Pairs]
) -> list[Match]:
    scores = np.array([[argument_f1(pairs[row], reference_pairs[column]) for column in columns] for row in rows])
    solve = cast(Any, linear_sum_assignment)
    chosen = cast(Iterable[tuple[int, int]], np.transpose(solve(scores, maximize=True)))
    return [Match(rows[i], columns[j], float(scores[i, j])) for i, j in chosen]


def _match_in_order(
    calls: Sequence[ToolCall],
    reference: Sequence[ToolCall],
    pairs: Sequence[_Pairs],
    reference_pairs: Sequence[_Pairs],
) -> list[Match]:
    """The largest-sum alignment that keeps both orders (as in the longest common subsequence)."""
    # best[i][j]: the largest sum with the first i calls and the first j reference calls; of equal sums, more matches.
    best = [[(0.0, 0)] * (len(reference) + 1) for _ in range(len(calls) + 1)]
    for i, call in enumerate(calls):
        for j, target in enumerate(reference):
            best[i + 1][j + 1] = max(best[i][j + 1], best[i + 1][j])
            if call.name == target.name:
                total, count = best[i][j]
                paired = (total + argument_f1(pairs[i], reference_pairs[j]), count + 1)
                best[i + 1][j + 1] = max(best[i + 1][j + 1], paired)
    matches: list[Match] = []
    i, j = len(calls), len(reference)
    while i and j:
        if best[i][j] == best[i - 1][j]:
            i -= 1
        elif best[i][j] == best[i][j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            matches.append(Match(i, j, argument_f1(pairs[i], reference_pairs[j])))
    return matches[::-1]
