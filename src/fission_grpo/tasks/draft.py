"""What a task family writes: a draft, which becomes a task once it is proven."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any

from fission_grpo.tasks.names import Names
from fission_grpo.tasks.task import Split
from fission_grpo.types import ToolCall


class Hazard(StrEnum):
    """Why a careless first call errs."""

    WRONG_DIRECTORY = "wrong_directory"
    """The file is in another folder."""
    MISSING_FILE = "missing_file"
    """The file has to be created first."""
    NAME_TAKEN = "name_taken"
    """The name asked for exists already."""
    NOT_EMPTY = "not_empty"
    """The folder to be removed holds something."""
    PATH_GIVEN = "path_given"
    """The user writes a path where the tool takes one name."""
    MISSING_LOGIN = "missing_login"
    """Nobody is logged in."""
    UNKNOWN_ID = "unknown_id"
    """The id asked for does not exist."""
    NAME_FOR_ID = "name_for_id"
    """The user gives a name where the tool takes an id, which has to be looked up."""
    ALREADY_DONE = "already_done"
    """What is asked for was done before."""
    INVALID_FIELD = "invalid_field"
    """The user's word is not the field's name."""
    WRONG_UNIT = "wrong_unit"
    """The user's word is not the unit's symbol."""
    WRONG_TYPE = "wrong_type"
    """The user's word stands for a number."""
    INSUFFICIENT_FUNDS = "insufficient_funds"
    """The account does not hold the amount."""


@dataclass(frozen=True)
class DraftTurn:
    """One user turn of a draft: the reference makes one call a message.

    Attributes:
        text: what the user says.
        calls: the reference calls, free of errors.
        careless: the call that errs here, None where no hazard is.
        careless_step: index of the reference call that it comes before.
    """

    text: str
    calls: tuple[ToolCall, ...]
    careless: ToolCall | None = None
    careless_step: int = 0


@dataclass(frozen=True)
class Draft:
    """Initial configuration of the family's API class, and the turns."""

    config: dict[str, Any]
    turns: tuple[DraftTurn, ...]


class Scene:
    """What a family draws from.

    A family words what the user says before it looks at `hazard`, so that the twins with and without a hidden hazard
    differ in the configuration alone (`proof.prove_twins` checks it).

    Attributes:
        rng: where randomness comes from.
        names: names and numbers, unique within the task.
        hazard: whether the hidden hazard is present; families without one leave it unread.
    """

    def __init__(self, rng: Random, split: Split, hazard: bool) -> None:
        self.rng = rng
        self.names = Names(rng, split)
        self.hazard = hazard

    def say(self, *parts: Sequence[str], **slots: object) -> str:
        """One wording of each part, joined and filled in."""
        return " ".join(self.rng.choice(part) for part in parts).format(**slots)

    def attempt(self, text: str, first: ToolCall, *recovery: ToolCall, before: tuple[ToolCall, ...] = ()) -> DraftTurn:
        """A turn where `first` is right without the hazard and errs with it, and `recovery` is right then.

        `before` are the calls that come first in either case.
        """
        if self.hazard:
            return DraftTurn(text, (*before, *recovery), careless=first, careless_step=len(before))
        return DraftTurn(text, (*before, first))


@dataclass(frozen=True)
class Family:
    """A kind of task.

    Attributes:
        name: unique over all families.
        api: the API class that its tasks play on.
        write: draws one draft.
        hazard: what a careless call falls into, None in a plain family.
        hidden: the hazard is invisible in the prompt and present in half of the tasks; else it is always there.
    """

    name: str
    api: str
    write: Callable[[Scene], Draft]
    hazard: Hazard | None = None
    hidden: bool = False


def call(name: str, /, **arguments: Any) -> ToolCall:
    """`call("cd", folder="docs")`."""
    return ToolCall(name, arguments)
