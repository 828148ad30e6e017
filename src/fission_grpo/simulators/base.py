"""The Simulator protocol: failures in, feedback out, in batches, for contexts that were just popped from the pool."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

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
