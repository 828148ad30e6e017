"""Corrupted and truncated plays of the reference, as entries of an official result file.

An entry is what the official evaluator reads: for every turn a list of raw texts, one a step. Every kind changes the plain
play at one place, so that the verdict hangs on how the evaluator decodes, executes and compares just that.
"""

from collections.abc import Iterator, Sequence

from official_bfcl.calls import Parameters, Row, Style, choose, parse_turns
from official_bfcl.kinds import kinds_of
from official_bfcl.play import Entry, NotApplicable, Play

VARIANTS = 4


def reference(row: Row, ground_truth: Sequence[Sequence[str]], style: Style, parameters: Parameters) -> Entry:
    """The reference, each call in a message of its own and a closing sentence at the end of every turn."""
    return Play(parse_turns(ground_truth, parameters), style, ()).plain()


def corrupted(
    row: Row, ground_truth: Sequence[Sequence[str]], style: Style, parameters: Parameters
) -> Iterator[tuple[str, int, Entry]]:
    """Yields `(kind, variant, entry)` for `VARIANTS` variants; which kinds, is decided by a hash of the id.

    A kind that finds no place in the task gives way to the next one.
    """
    kinds, turns = list(kinds_of(style).items()), parse_turns(ground_truth, parameters)
    for variant in range(VARIANTS):
        key = (row["id"], style, variant)
        start = choose(len(kinds), *key, "kind")
        for name, kind in kinds[start:] + kinds[:start]:
            try:
                entry = kind(Play(turns, style, (*key, name)))
            except NotApplicable:
                continue
            yield name, variant, entry
            break
