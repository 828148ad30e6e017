"""Plays many entries at once on one backend, and keeps each as soon as it is finished."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fission_grpo.errors import InfrastructureError
from fission_grpo.evaluation.asking import NOT_TRIED, ContextExceeded, Outcome, patience
from fission_grpo.evaluation.bfcl.backends import Backend
from fission_grpo.evaluation.bfcl.dialogue import Dialogue
from fission_grpo.evaluation.bfcl.entries import Entry
from fission_grpo.evaluation.bfcl.handlers import Handler
from fission_grpo.evaluation.bfcl.results import ResultFolder

CONTEXT_EXCEEDED = "context exceeded: "
"""Stands in the result of an entry that outgrew the model's context."""


@dataclass
class Played:
    """How playing went.

    Attributes:
        finished: entries that are now in the result files.
        failures: infrastructure errors by entry, entries not tried for them included; a second call plays those.
    """

    finished: int = 0
    failures: dict[str, str] = field(default_factory=dict[str, str])


def play(
    entries: Sequence[Entry],
    handler: Handler,
    backend: Backend,
    folder: ResultFolder,
    on_entry: Callable[[], None] | None = None,
) -> Played:
    """Plays the entries that the folder does not hold yet.

    Args:
        on_entry: called after each entry, whether it was finished or failed, for a progress bar.

    Raises:
        UserError: the endpoint refuses us.
    """
    session = _Session(entries, handler, backend, folder, on_entry or (lambda: None))
    session.run()
    folder.sort()
    return session.played


class _Session:
    """The dialogues under way."""

    def __init__(
        self,
        entries: Sequence[Entry],
        handler: Handler,
        backend: Backend,
        folder: ResultFolder,
        on_entry: Callable[[], None],
    ) -> None:
        finished = folder.finished()
        self.played = Played()
        self._waiting = deque(entry for entry in entries if entry.id not in finished)
        self._handler, self._backend, self._folder = handler, backend, folder
        self._on_entry = on_entry
        self._under_way: dict[int, Dialogue] = {}
        self._started = 0
        self._failures_in_a_row = 0

    def run(self) -> None:
        self._fill()
        while self._under_way:
            for key, outcome in self._backend.collect():
                self._take(key, outcome)
            if self._failures_in_a_row >= patience(self._backend.capacity):
                self._give_up()
            self._fill()

    def _give_up(self) -> None:
        while self._waiting:
            self.played.failures[self._waiting.popleft().id] = NOT_TRIED

    def _fill(self) -> None:
        while self._waiting and len(self._under_way) < self._backend.capacity:
            dialogue = Dialogue(self._waiting.popleft(), self._handler, self._handler.official_name)
            key, self._started = self._started, self._started + 1
            self._under_way[key] = dialogue
            self._go_on(key)

    def _take(self, key: int, outcome: Outcome) -> None:
        dialogue = self._under_way[key]
        if isinstance(outcome, InfrastructureError):
            self.played.failures[dialogue.entry.id] = str(outcome)
            self._failures_in_a_row += 1
            self._leave(key)
            return
        self._failures_in_a_row = 0
        if isinstance(outcome, ContextExceeded):
            dialogue.fail(CONTEXT_EXCEEDED + outcome.detail)
        else:
            dialogue.advance(outcome)
        self._go_on(key)

    def _go_on(self, key: int) -> None:
        dialogue = self._under_way[key]
        if dialogue.request is not None:
            self._backend.submit(key, dialogue.request)
            return
        self._folder.append(dialogue.entry.category, dialogue.result())
        self.played.finished += 1
        self._leave(key)

    def _leave(self, key: int) -> None:
        del self._under_way[key]
        self._on_entry()
