"""A play of a task as raw messages, and the place in it that a corruption changes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from official_bfcl.calls import Call, Style, choose, render

Entry = list[list[str]] | str
"""The `result` of an official result file: raw texts a step, a list a turn; or the text of an error at inference."""

CLOSING = "Done."


class NotApplicable(Exception):
    """The task has no place for this kind of corruption."""


@dataclass(frozen=True)
class Play:
    """The reference calls of a task, and seeded choices for one corruption of them.

    Args:
        turns: the reference calls of each turn.
        style: how calls are written.
        key: what the choices depend on.
    """

    turns: Sequence[Sequence[Call]]
    style: Style
    key: tuple[object, ...] = field(repr=False)

    def choose(self, count: int, what: str) -> int:
        """Raises NotApplicable when there is nothing to choose from."""
        if count == 0:
            raise NotApplicable
        return choose(count, *self.key, what)

    def say(self, *calls: Call) -> str:
        return render(calls, self.style)

    def plain(self) -> list[list[str]]:
        return self.written(self.turns)

    def written(self, turns: Sequence[Sequence[Call]]) -> list[list[str]]:
        return [[*(self.say(call) for call in calls), CLOSING] for calls in turns]

    @cached_property
    def busy_turns(self) -> list[int]:
        return [turn for turn, calls in enumerate(self.turns) if calls]

    def busy_turn(self) -> int:
        return self.busy_turns[self.choose(len(self.busy_turns), "turn")]

    def place(self, fits: Callable[[Call], bool] = lambda call: True) -> tuple[int, int]:
        """Turn and index of a call that fits."""
        places = [(turn, index) for turn, calls in enumerate(self.turns) for index, call in enumerate(calls) if fits(call)]
        return places[self.choose(len(places), "place")]

    def replaced(self, place: tuple[int, int], *messages: str) -> list[list[str]]:
        """The plain play with other messages in the place of one call's."""
        turn, index = place
        entry = self.plain()
        entry[turn][index : index + 1] = messages
        return entry

    def argument(self, call: Call, fits: Callable[[object], bool] = lambda value: True) -> str:
        names = [name for name, value in call.arguments.items() if fits(value)]
        return names[self.choose(len(names), "argument")]

    def changed_call(
        self, change: Callable[[Call, str], Call], fits: Callable[[object], bool] = lambda value: True
    ) -> tuple[tuple[int, int], Call]:
        """A place, and its call with one argument (whose value fits) changed."""
        turn, index = self.place(lambda call: any(fits(value) for value in call.arguments.values()))
        call = self.turns[turn][index]
        return (turn, index), change(call, self.argument(call, fits))

    def at(self, place: tuple[int, int]) -> Call:
        return self.turns[place[0]][place[1]]


Kind = Callable[[Play], Entry]
"""One kind of corruption; raises NotApplicable for a task that has no place for it."""
