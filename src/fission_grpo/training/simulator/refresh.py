"""Refreshing the simulator `local` on the policy's recent failures, while the policy trains [ours].

A refresh is a run of `fission simulator train` in a process of its own, so that nothing of it (random states, accelerator,
memory) can touch the training it interrupts. The new version is measured beside the old one on failures that neither was
trained on, and takes its place only if it is no worse.

    RUN/simulator/version-N/data/     examples of recent failures
    RUN/simulator/version-N/model/    the fine-tuned weights, used or not
"""

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from fission_grpo.recipe import LocalSimulatorSection, RefreshSection
from fission_grpo.simulators.base import Simulator
from fission_grpo.simulators.chain import FallbackChain
from fission_grpo.simulators.corrupted import CorruptedSimulator
from fission_grpo.simulators.local import LocalSimulator
from fission_grpo.training.simulator.examples import (
    Example,
    ExampleFilter,
    Part,
    save_examples,
    split_examples,
    teach,
    teacher_name,
)
from fission_grpo.training.simulator.measures import diagnoses, judge, measure
from fission_grpo.types import Failure

_LOGGER = logging.getLogger(__name__)
SHARES: dict[Part, float] = {"train": 0.7, "validation": 0.1, "test": 0.2}
"""Shares of the scenarios. Old and new are measured on the test part, which had no say in the new one's training."""
LEAST_EXAMPLES = 8
"""Fewer examples of any part are no ground for a refresh: it is put off."""
_LAUNCHERS = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_", "ROLE_", "MASTER_", "TORCHELASTIC_"),
    *("ACCELERATE_", "FSDP_", "DEEPSPEED_"),
)
"""Beginnings of the environment variables of torchrun and accelerate."""
FOLDER = "simulator"
"""In a run folder: all versions of its simulator."""


class Refresher:
    """Makes new versions of a run's local simulator.

    Args:
        run: the run folder.
        local: the simulator that the run started with, version 1.
        teacher: writes the targets; None for the rules.

    Attributes:
        version: the version in use.
    """

    def __init__(
        self, settings: RefreshSection, local: LocalSimulatorSection, run: Path, teacher: Simulator | None = None
    ) -> None:
        self.settings = settings
        self.version = 1
        self._local = local
        self._teacher = teacher
        self._folder = run / FOLDER
        self._made = 1
        self._refreshed_at = 0

    def due(self, step: int, low: bool) -> bool:
        """Whether a refresh is due: every so many updates, or where alignment is low."""
        if self.settings.every:
            return step - self._refreshed_at >= self.settings.every
        return low

    def refresh(self, step: int, failures: Sequence[Failure], chain: FallbackChain) -> dict[str, Any]:
        """Fine-tunes, measures and swaps; returns what happened, for `alignment.jsonl`. A refresh never stops a run."""
        started = time.perf_counter()
        examples = self._examples(failures[-self.settings.failures :])
        parts = split_examples(examples, SHARES)
        sizes = {part: len(held) for part, held in parts.items()}
        record: dict[str, Any] = {"event": "refresh", "step": step, "examples": sizes, "used": False}
        if min(sizes.values()) < LEAST_EXAMPLES:
            return record | {"reason": f"fewer than {LEAST_EXAMPLES} examples in a part"}
        self._refreshed_at = step
        self._made += 1
        record["version"] = self._made
        _LOGGER.warning("update %d: refreshing the simulator on %d recent failures", step, sizes["train"])
        old = _inner(chain)
        problem = self._train(examples, old)
        if problem is not None:
            return record | {"reason": problem}
        held_out = [example.failure for example in parts["test"]]
        new = self._load(self._made)
        sound = {name: _sound(simulator, held_out) for name, simulator in (("old", old), ("new", new))}
        record |= {name: list(pair) for name, pair in sound.items()}
        if sound["new"][0] >= sound["old"][0]:
            self._use(self._made, new, chain)
            record["used"] = True
        else:
            record["reason"] = "it measures worse"
        _LOGGER.warning(
            "update %d: version %d %s (sound on %d of %d held-out failures; before: %d)",
            *(step, self._made, "takes over" if record["used"] else "is not used", *sound["new"], sound["old"][0]),
        )
        return record | {"seconds": round(time.perf_counter() - started, 3)}

    def state_dict(self) -> dict[str, int]:
        """As JSON."""
        return {"version": self.version, "made": self._made, "refreshed_at": self._refreshed_at}

    def load_state_dict(self, state: Mapping[str, int], chain: FallbackChain) -> None:
        """Takes the version of a checkpoint into use; later ones are made again."""
        self._made, self._refreshed_at = state["made"], state["refreshed_at"]
        if state["version"] != self.version:
            self._use(state["version"], self._load(state["version"]), chain)

    def _examples(self, failures: Sequence[Failure]) -> list[Example]:
        kept, name = ExampleFilter(), teacher_name(self._teacher)
        pairs = zip(failures, teach(failures, self._teacher), strict=True)
        return [each for failure, answer in pairs if (each := kept.keep(failure, answer, name)) is not None]

    def _train(self, examples: Sequence[Example], old: LocalSimulator) -> str | None:
        """Runs `fission simulator train` on the version in use; returns what went wrong, or None."""
        folder = self._version(self._made)
        # The training of a run that was killed lives on, and writes: none may find it in its way.
        draft = self._folder / f".version-{self._made}-{os.getpid()}"
        for left in (folder, *self._folder.glob(".version-*")):
            shutil.rmtree(left, ignore_errors=True)
        save_examples(examples, draft / "data", SHARES)
        recipe = {
            "model": old.model,
            "data": str(draft / "data"),
            "instruction": "full" if old.card.instruction else "none",
            "trainer": self.settings.trainer,
        }
        (draft / "refresh.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
        command = [sys.executable, "-m", "fission_grpo", "simulator", "train", str(draft / "refresh.yaml")]
        with (draft / "train.log").open("w", encoding="utf-8") as log:
            status = subprocess.run(
                [*command, "--out", str(draft)], stdout=log, stderr=log, env=_alone(os.environ), check=False
            ).returncode
        draft.rename(folder)
        return None if status == 0 else f"its training ended with status {status}; see {folder / 'train.log'}"

    def _use(self, version: int, simulator: LocalSimulator, chain: FallbackChain) -> None:
        simulator.tokens = _inner(chain).tokens  # one simulator's count, whatever its version
        first = chain.simulators[0]
        if isinstance(first, CorruptedSimulator):
            first.simulator = simulator
        else:
            chain.simulators[0] = simulator
        self.version = version

    def _load(self, version: int) -> LocalSimulator:
        return LocalSimulator(str(self._version(version) / "model"), **self._local.model_dump(exclude={"model"}))

    def _version(self, version: int) -> Path:
        return self._folder / f"version-{version}"


def _alone(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what a launcher told this process: the training would wait for processes that know nothing of it."""
    return {name: value for name, value in environment.items() if not name.startswith(_LAUNCHERS)}


def _inner(chain: FallbackChain) -> LocalSimulator:
    """The simulator `local`, which the recipe puts first where it is refreshed."""
    first = chain.simulators[0]
    inner = first.simulator if isinstance(first, CorruptedSimulator) else first
    assert isinstance(inner, LocalSimulator)
    return inner


def _sound(simulator: Simulator, failures: Sequence[Failure]) -> tuple[int, int]:
    ratio = measure(judge(failures, diagnoses(simulator, failures)))["sound"]
    return ratio.numerator, ratio.denominator
