"""The kinds of run that are killed: small, and between them with every kind of state that a run has."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.tasks.generate import SplitShares, generate_tasks
from fission_grpo.tasks.mix import Mix
from fission_grpo.tasks.task import save_tasks
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
        tasks = run.parent / "tasks.jsonl"
        if not tasks.exists():  # once for all runs of a folder: each would check them for contamination again
            save_tasks(generate_tasks(4, 5, BFCLEnvironment(), mix=Mix.COMPACT, shares=SplitShares(1.0, 0.0, 0.0)), tasks)
        size = [f"tasks.train={tasks}", f"trainer.max_steps={self.updates}"]
        settings = [*_SMALL, *size, *self.settings, *self.more(run.name, endpoint)]
        return ["train", str(RECIPE), *settings, "--run", str(run)]


def _asks(run: str, endpoint: Endpoint) -> list[str]:
    return [f"simulator.endpoint={{base_url: '{endpoint.url(run)}', model: m, concurrency: 2}}"]


STEP = Kind("step", 6, ())
EPISODE = Kind("episode", 6, ("granularity=episode", "trainer.save_steps=2"))
ENDPOINT = Kind("endpoint", 6, ("fission.simulators=[endpoint, rules]", *_STATEFUL), _asks)
LOCAL = Kind(
    "local", 4, ("fission.simulators=[local, rules]", "simulator.local={model: bundled, max_new_tokens: 16}", *_STATEFUL)
)
