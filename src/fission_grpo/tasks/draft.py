"""What a task family writes: a draft, which becomes a task once it is proven."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any, Literal

from fission_grpo.tasks.names import Names
from fission_grpo.tasks.task import Split
from fission_grpo.types import ToolCall

Kind = Literal["hidden", "open", "plain"]
"""Whether a hazard is there, and whether the prompt shows it."""


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
    EXPIRED_TOKEN = "expired_token"
    """The access token has expired."""
    UNLOCKED_DOOR = "unlocked_door"
    """A door has to be locked first."""
    RELEASED_BRAKE = "released_brake"
    """The brake pedal has to be pressed first."""
    STOPPED_ENGINE = "stopped_engine"
    """The engine has to run first."""
    SERVICE_DOWN = "service_down"
    """The service asked for does not answer, another one does."""
    FULL_TANK = "full_tank"
    """The tank does not hold the amount."""


@dataclass(frozen=True)
class Unsaid:
    """The same request with a needed value left out.

    Attributes:
        text: what the user says at first.
        answer: what the user says then, supplying the value.
    """

    text: str
    answer: str


@dataclass(frozen=True)
class DraftTurn:
    """One user turn of a draft: the reference makes one call a message.

    Attributes:
        text: what the user says.
        calls: the reference calls, free of errors.
        careless: the call that errs here, None where no hazard is.
        careless_step: index of the reference call that it comes before.
        unsaid: how the turn sounds with a value left out, where it can be said so.
    """

    text: str
    calls: tuple[ToolCall, ...]
    careless: ToolCall | None = None
    careless_step: int = 0
    unsaid: Unsaid | None = None


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

    def __init__(self, rng: Random, split: Split, hazard: bool, taken: Iterable[str] = ()) -> None:
        self.rng = rng
        self.names = Names(rng, split, taken)
        self.hazard = hazard

    def say(self, *parts: Sequence[str], **slots: object) -> str:
        """One wording of each part, joined and filled in."""
        return " ".join(self.rng.choice(part) for part in parts).format(**slots)

    def ask(
        self,
        says: Sequence[str],
        *calls: ToolCall,
        left_out: tuple[Sequence[str], Sequence[str]] | None = None,
        **slots: object,
    ) -> DraftTurn:
        """A turn without a hazard.

        Args:
            says: wordings.
            calls: the reference.
            left_out: wordings without one needed value, and wordings that supply it. No value but a newly invented one may
                be left out: an existing one could be looked up.
            slots: what wordings are filled in with.
        """
        text = self.say(says, **slots)
        unsaid = Unsaid(*(self.say(wordings, **slots) for wordings in left_out)) if left_out else None
        return DraftTurn(text, calls, unsaid=unsaid)

    def attempt(self, text: str, first: ToolCall, *recovery: ToolCall, before: tuple[ToolCall, ...] = ()) -> DraftTurn:
        """A turn where `first` is right without the hazard and errs with it, and `recovery` is right then.

        `before` are the calls that come first in either case.
        """
        if self.hazard:
            return DraftTurn(text, (*before, *recovery), careless=first, careless_step=len(before))
        return DraftTurn(text, (*before, first))


LAST = "last"
"""Owned by a family that leaves the current folder or signs out: its draft comes last of its class."""


@dataclass(frozen=True)
class Family:
    """A kind of task.

    Attributes:
        name: unique over all families.
        api: the API class that its tasks play on.
        write: draws one draft.
        hazard: what a careless call falls into, None in a plain family.
        hidden: the hazard is invisible in the prompt and present in half of the tasks; else it is always there.
        owns: what of its API class the family needs for itself: keys of the configuration, or `LAST`. Where drafts are
            put together, only one may own a thing, and the common configuration takes the key's value from it.
        long_context: whether its promises hold in bfcl-eval's long-context state, too.
    """

    name: str
    api: str
    write: Callable[[Scene], Draft]
    hazard: Hazard | None = None
    hidden: bool = False
    owns: tuple[str, ...] = ()
    long_context: bool = True

    @property
    def kind(self) -> Kind:
        """Which of the three kinds the family's tasks are."""
        if self.hazard is None:
            return "plain"
        return "hidden" if self.hidden else "open"


@dataclass(frozen=True)
class Slot:
    """A place in the output that a task is made for."""

    index: int
    seed: int
    split: Split


def call(name: str, /, **arguments: Any) -> ToolCall:
    """`call("cd", folder="docs")`."""
    return ToolCall(name, arguments)
