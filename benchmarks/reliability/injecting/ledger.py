"""What was injected, a line each, beside the run. Injections of updates that a resume did away with are told apart."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any


class Ledger:
    """Appends; what a process has written survives its being killed.

    Attributes:
        update: the update under way, counted from 1; 0 between updates, and then nothing is injected.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.update = 0

    def resumed(self, at: int) -> None:
        """A process begins after update `at`: what was injected later is done anew."""
        self._add({"resumed": at})

    def injected(self, kind: str) -> None:
        self._add({"kind": kind, "update": self.update})

    def happened(self, kind: str, update: int) -> bool:
        """Whether a fault was injected, in whatever process."""
        return {"kind": kind, "update": update} in self._lines()

    def counts(self) -> tuple[Counter[str], Counter[str]]:
        """Injections by kind: all, and those in the updates that stand in the run's metrics."""
        every: Counter[str] = Counter()
        standing: list[dict[str, Any]] = []
        for line in self._lines():
            if "resumed" in line:
                standing = [each for each in standing if each["update"] <= line["resumed"]]
            else:
                every[line["kind"]] += 1
                standing.append(line)
        return every, Counter(line["kind"] for line in standing)

    def _lines(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        return [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()]

    def _add(self, line: dict[str, Any]) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, (json.dumps(line) + "\n").encode())
        finally:
            os.close(descriptor)
