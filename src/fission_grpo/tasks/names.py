"""Invented names from syllables, different in every split: a policy meets names at test time that it has never seen."""

import zlib
from collections.abc import Iterable
from random import Random

from fission_grpo.tasks.task import Split

CONSONANTS = "bdfgklmnprstvz"
VOWELS = "aeiou"
EXTENSIONS = ("txt", "md", "csv")

_BUCKETS: dict[Split, range] = {"train": range(0, 6), "validation": range(6, 7), "test": range(7, 8)}
"""Each name belongs to one of 8 buckets by its checksum, and each split owns some: their names cannot overlap."""

_WORDS = frozenset(
    {"base", "code", "copy", "data", "date", "delete", "dosage", "file", "gone", "here", "kilo", "late", "like", "live"}
    | {"love", "made", "make", "male", "mile", "mode", "more", "move", "name", "none", "note", "rate", "remove", "rename"}
    | {"resume", "same", "save", "side", "size", "take", "time", "title", "tone", "value", "zero"}
)
"""English words that the wordings use (or might): a name that is one of them could be read as part of the sentence."""


def split_of(name: str) -> Split:
    """The only split whose tasks may hold this name."""
    bucket = zlib.crc32(name.encode()) % 8
    return next(split for split, buckets in _BUCKETS.items() if bucket in buckets)


class Names:
    """Draws names, file names and numbers that are unique within one task.

    Args:
        rng: where randomness comes from.
        split: whose names to draw.
        taken: what the task holds already.
    """

    def __init__(self, rng: Random, split: Split, taken: Iterable[str] = ()) -> None:
        self._rng = rng
        self._split: Split = split
        self._taken = set(taken)

    @property
    def taken(self) -> frozenset[str]:
        """All names and numbers drawn so far."""
        return frozenset(self._taken)

    def name(self) -> str:
        """Two or three syllables, such as `talomi`."""
        while True:
            syllables = self._rng.choice((2, 3, 3))
            name = "".join(self._rng.choice(CONSONANTS) + self._rng.choice(VOWELS) for _ in range(syllables))
            if name not in self._taken and name not in _WORDS and split_of(name) == self._split:
                self._taken.add(name)
                return name

    def file(self) -> str:
        """A file name, such as `talomi.txt`."""
        return f"{self.name()}.{self._rng.choice(EXTENSIONS)}"

    def phrase(self) -> str:
        """Two invented words: the content of a message, a note or a title."""
        return f"{self.name()} {self.name()}"

    def number(self, low: int, high: int) -> int:
        """A whole number in `[low, high]` that the task does not hold yet."""
        while True:
            number = self._rng.randint(low, high)
            if str(number) not in self._taken:
                self._taken.add(str(number))
                return number
