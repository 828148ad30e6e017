"""Run folders as a training run leaves them, small and made up."""

import json
import random
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
