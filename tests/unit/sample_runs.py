"""Run folders as a training run leaves them, small and made up."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fission_grpo.evaluation.records import EpisodeRecord, save_records
from fission_grpo.recipe import dump_recipe
from fission_grpo.recipe.loading import check_recipe
from fission_grpo.reports.data import EVALUATION_FILE, START_FILE, Evaluation

KINDS = ("runtime_error", "wrong_arguments", "malformed_call", "schema_violation", "missing_call", "repeated_failing_call")


def recovery_group(step: int = 12, rights: int = 3, text: str = "rm {}") -> dict[str, Any]:
    """A recovery group as the trainer records it; the first `rights` of its eight recoveries are right."""
    return {
        "step": step,
        "failure": {
            "task_id": "gfs-wrong-directory-000017",
            "kind": "runtime_error",
            "error_kind": "not_found",
            "attempt": 0,
            "level": 3,
            "messages": [
                {"role": "system", "content": "You may call these tools."},
                {"role": "user", "content": "Show me what is in the report of last May."},
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"type": "function", "function": {"name": "ls", "arguments": {}}}],
                },
                {"role": "tool", "content": '{"current_directory_content": ["archive"]}'},
                {"role": "user", "content": "Go on, it must be there."},
            ],
            "text": '<tool_call>\n{"name": "cat", "arguments": {"file_name": "may.txt"}}\n</tool_call>',
            "results": [{"content": '{"error": "cat: may.txt: No such file or directory"}', "is_error": True}],
        },
        "feedback": {"text": "cat found no such file here: look where it is first.", "source": "rules", "level": 3},
        "recoveries": [
            {
                "text": text if index else '<tool_call>\n{"name": "find", "arguments": {"name": "may.txt"}}\n</tool_call>',
                "reward": 1.6 if index < rights else 0.75,
                "outcome": index < rights,
                "advantage": 1.2 if index < rights else -0.72,
            }
            for index in range(8)
        ],
    }


def measurement(step: int, sound: int = 58, simulator: str = "local", **changes: Any) -> dict[str, Any]:
    """A line of `alignment.jsonl`; of 64 failures `sound` were diagnosed soundly."""
    return {
        "event": "measurement",
        "step": step,
        "simulator": simulator,
        "version": 1,
        "failures": 64,
        "usable": [min(64, sound + 4), 64],
        "leak": [1, min(64, sound + 4)],
        "agreement": [min(50, max(0, sound - 10)), 50],
        "agreement_all": [min(64, sound + 1), 64],
        "sound": [sound, 64],
        "sources": {simulator: 30, "rules": 10},
        "fallback": [10, 40],
        "recovery": {"not_found": [40, 160], "wrong_arguments": [60, 120], "invalid_value": [3, 8]},
        "warn_below": 0.8,
        "seconds": 2.0,
    } | changes


def refresh(step: int, used: bool = True, **changes: Any) -> dict[str, Any]:
    """A line of `alignment.jsonl`: version 2 measured beside version 1 on 40 failures."""
    sizes = {"train": 300, "validation": 40, "test": 80}
    old, new = ([28, 40], [36, 40]) if used else ([30, 40], [27, 40])
    record: dict[str, Any] = {"event": "refresh", "step": step, "version": 2, "examples": sizes, "old": old, "new": new}
    return record | {"used": used, "seconds": 60.0} | ({} if used else {"reason": "it measures worse"}) | changes


def write_alignment(run: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    """Writes what the alignment monitor of a run logged, and returns the run folder."""
    (run / "alignment.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def evaluation(label: str, solved: float, recovered: float, episodes: int = 300) -> Evaluation:
    """A policy that solves and recovers at these rates; one episode in two holds a hidden hazard and errs."""
    rng = random.Random(label)
    return Evaluation(label, [_episode(rng, index, solved, recovered) for index in range(episodes)])


def _episode(rng: random.Random, index: int, solved: float, recovered: float) -> EpisodeRecord:
    hazard = index % 2 == 0
    right = int(rng.random() < (recovered if hazard else solved))
    counts = {
        "solved": (right, 1),
        "hidden_hazards_solved": (right, 1) if hazard else (0, 0),
        "hazard_free_solved": (0, 0) if hazard else (right, 1),
        "recovery_rate_turn": (right, 1) if hazard else (0, 0),
        "recovery_rate_task": (right, 1) if hazard else (0, 0),
        "recovery_rate_call": (right, 1) if hazard else (0, 0),
        "repeat_rate": (1 - right, 1) if hazard else (0, 0),
        "error_rate": (int(hazard), 3),
    }
    failures = {} if right else {rng.choice(KINDS): 1}
    return EpisodeRecord(f"task-{index}", f"scenario-{index}", 0, "completed", counts, failures=failures)


def write_run(folder: Path, method: str = "fission", groups: int = 2, steps: int = 60) -> Path:
    """Writes a run folder, and returns it."""
    (folder / "trajectories").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(dump_recipe(check_recipe({"method": method})))
    (folder / "versions.json").write_text(json.dumps({"python": "3.11.7", "torch": "2.13.0"}))
    rng = random.Random(folder.name)
    gain = 0.35 if method == "fission" else 0.2
    lines = [
        {
            "step": step,
            "reward": 1.0 + gain * step / 60 + rng.gauss(0, 0.05),
            "outcome_rate": 0.4 + gain * step / 60 + rng.gauss(0, 0.05),
            "error_rate": 0.3 - gain * step / 120 + rng.gauss(0, 0.03),
            "recovery_rate": 0.1 + gain * step / 60 + rng.gauss(0, 0.05) if method == "fission" else None,
            "pool_size": 40,
            "recovery_rows": 64,
            "failures": {"runtime_error": 12},
            "feedback": {"local": 6.0, "rules": 2.0},
            "simulator": {
                "answered/local": 6.0,
                "answered/rules": 2.0,
                "leaked/local": 1.0,
                "asked_again/local": 3.0,
                "unanswered/local/no_json": 2.0,
            },
            "simulator_seconds": 0.25,
            "seconds": 1.5,
        }
        for step in range(1, steps + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    groups_file = folder / "trajectories" / "fission_groups.jsonl"
    groups_file.write_text("".join(json.dumps(recovery_group(step)) + "\n" for step in range(groups)))
    save_records(evaluation("Start", 0.6, 0.1).records, folder / START_FILE)
    save_records(evaluation(method, 0.8, gain).records, folder / EVALUATION_FILE)
    return folder
