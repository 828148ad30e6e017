"""The Simulator protocol: failures in, feedback out, in batches, for contexts that were just popped from the pool."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from fission_grpo.types import Failure, Feedback


class Simulator(Protocol):
    """Writes what an API would answer to a failed call: short, diagnostic, never the answer (METHOD 4)."""

    name: str

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        """One feedback a failure, in order, each at its failure's `level` (simulators without levels ignore it).

        Raises:
            InfrastructureError: no feedback could be made; the fallback chain takes the next simulator.
        """
        ...


@runtime_checkable
class Regenerating(Simulator, Protocol):
    """A simulator that draws: asked again, it may say something else."""

    def diagnose_again(self, failures: Sequence[Failure]) -> list[Feedback]:
        """A second attempt at failures whose first feedback leaked or could not be used. As `diagnose` otherwise."""
        ...


@runtime_checkable
class Stateful(Protocol):
    """A simulator that keeps count over a run, such as of a budget."""

    name: str

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


@runtime_checkable
class Metered(Protocol):
    """A simulator that counts the tokens it takes: `tokens`, so far, by what was done with them."""

    tokens: Counter[str]


@runtime_checkable
class Counting(Protocol):
    """A simulator that counts by itself what became of its questions; `counts`, so far, go into the metrics."""

    name: str
    counts: Counter[str]


@runtime_checkable
class Weighted(Metered, Protocol):
    """A simulator that is a model in this process: its tokens count beside the policy's, by its size (METHOD 8.2)."""

    parameters: int
