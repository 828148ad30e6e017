"""What is to fail in a run, and when. Drawn from a seed, so that a run can be repeated."""

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path

ROWS = 8
"""Rows of an update: two groups of four, or one of exploration and one of recoveries."""


@dataclass(frozen=True)
class Plan:
    """A faulty run. Updates are counted from 1; each of those named fails once, however often it is repeated.

    Attributes:
        port: of the simulator's endpoint.
        endpoint_rate: share of the endpoint's questions that are not answered as they should be.
        environment_rate: share of the environment's calls that raise.
        memory: from which update on there is memory for how many rows together.
        kills: updates in the middle of which the process is killed.
        full_saves: updates after which a checkpoint cannot be written to its end.
        full_logs: updates in which a line of a log cannot be written to its end.
        clock: by how many hours the system's clock jumps in an update.
    """

    run: str
    seed: int
    updates: int
    save_steps: int
    port: int
    endpoint_rate: float
    environment_rate: float
    memory: dict[int, int]
    kills: tuple[int, ...]
    full_saves: tuple[int, ...]
    full_logs: tuple[int, ...]
    clock: dict[int, float]

    @property
    def overrides(self) -> list[str]:
        """Settings over `recipes/bfcl_quick.yaml`: small updates, an endpoint for simulator."""
        endpoint = {"base_url": f"http://127.0.0.1:{self.port}/v1", "model": "m", "retries": 0, "timeout": 4.0}
        return [
            *(f"seed={self.seed}", f"trainer.max_steps={self.updates}", f"trainer.save_steps={self.save_steps}"),
            *(f"trainer.per_device_train_batch_size={ROWS}", "trainer.gradient_accumulation_steps=1"),
            *("trainer.num_generations=4", "fission.recovery_generations=4", "rollout.max_new_tokens=32"),
            *("tasks.train={generate: {count: 40, seed: 5, mix: compact}}", "fission.simulators=[endpoint, rules]"),
            f"simulator.endpoint={json.dumps(endpoint | {'concurrency': 1})}",
        ]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")


def draw_plan(run: Path, seed: int, updates: int, port: int, saves: int = 10, stops: int = 2) -> Plan:
    """A plan in which everything happens.

    Args:
        saves: checkpoints of the whole run.
        stops: how many times each: kills, saves and lines of a log that a disk refuses.
    """
    draw = random.Random(f"faults/{seed}")
    save_steps = max(1, updates // saves)
    at_saves = draw.sample(range(save_steps, updates, save_steps), stops)
    others = draw.sample([update for update in range(2, updates) if update not in at_saves], 2 * stops)
    jumps = draw.sample(range(2, updates), max(3, updates // 100))
    return Plan(
        run=str(run),
        seed=seed,
        updates=updates,
        save_steps=save_steps,
        port=port,
        endpoint_rate=0.35,
        environment_rate=0.03,
        memory={updates // 10: 5, updates // 2: 3, 4 * updates // 5: 1},
        kills=tuple(sorted(others[:stops])),
        full_saves=tuple(sorted(at_saves)),
        full_logs=tuple(sorted(others[stops:])),
        clock={update: draw.choice([-30.0, -5.0, -1.0, 1.0, 7.0, 48.0]) for update in sorted(jumps)},
    )


def load_plan(path: Path) -> Plan:
    content = json.loads(path.read_text(encoding="utf-8"))
    for name in ("memory", "clock"):
        content[name] = {int(update): value for update, value in content[name].items()}
    return Plan(**content)
