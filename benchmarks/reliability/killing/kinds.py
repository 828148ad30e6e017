"""The kinds of run that are killed: small, and between them with every kind of state that a run has."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from killing.endpoint import Endpoint

RECIPE = Path(__file__).parents[3] / "recipes" / "bfcl_quick.yaml"
_SMALL = (
    "trainer.save_steps=1",
    "trainer.num_generations=4",
    "trainer.per_device_train_batch_size=8",
    "trainer.gradient_accumulation_steps=2",
    "trainer.lr_scheduler_type=linear",
    "fission.recovery_generations=4",
    "rollout.max_new_tokens=32",
    "tasks.train={generate: {count: 4, seed: 5, mix: compact}}",
)
_STATEFUL = (
    "trainer.warmup_steps=3",
    "fission.selection=true",
    "fission.escalation=true",
    "simulator.alignment={every: 2, failures: 6}",
    "evaluation.tasks=2",
)


@dataclass(frozen=True)
class Kind:
    """A recipe.

    Attributes:
        more: settings that are another for every run: where its endpoint is.
    """

    name: str
    updates: int
    settings: tuple[str, ...]
    more: Callable[[str, Endpoint], list[str]] = lambda run, endpoint: []

    def train(self, run: Path, endpoint: Endpoint) -> list[str]:
        """The command that starts a run of it."""
        settings = [*_SMALL, f"trainer.max_steps={self.updates}", *self.settings, *self.more(run.name, endpoint)]
        return ["train", str(RECIPE), *settings, "--run", str(run)]


def _asks(run: str, endpoint: Endpoint) -> list[str]:
    return [f"simulator.endpoint={{base_url: '{endpoint.url(run)}', model: m, concurrency: 2}}"]


STEP = Kind("step", 6, ())
EPISODE = Kind("episode", 6, ("granularity=episode", "trainer.save_steps=2"))
ENDPOINT = Kind("endpoint", 6, ("fission.simulators=[endpoint, rules]", *_STATEFUL), _asks)
LOCAL = Kind(
    "local", 4, ("fission.simulators=[local, rules]", "simulator.local={model: bundled, max_new_tokens: 16}", *_STATEFUL)
)
