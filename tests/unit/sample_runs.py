"""Run folders as a training run leaves them, small and made up."""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fission_grpo.evaluation.records import EpisodeRecord, save_records
from fission_grpo.recipe import dump_recipe
from fission_grpo.recipe.loading import check_recipe
from fission_grpo.reports.data import EVALUATION_FILE, START_FILE, Evaluation
from fission_grpo.training.run_folder import GROUP_LOGS

KINDS = ("runtime_error", "wrong_arguments", "malformed_call", "schema_violation", "missing_call", "repeated_failing_call")


KEY = "0123456789abcdef"
CAT = '<tool_call>\n{"name": "cat", "arguments": {"file_name": "may.txt"}}\n</tool_call>'
FIND = '<tool_call>\n{"name": "find", "arguments": {"name": "may.txt"}}\n</tool_call>'


def exploration_group(
    step: int = 11, rights: int = 5, key: str = KEY, episode: bool = False, **changes: Any
) -> dict[str, Any]:
    """An exploration group as the trainer records it: eight rollouts, of which the first `rights` are right. The last one's
    infrastructure failed, and the others erred; they said the same, and so share their failure's key.

    Args:
        episode: rollouts are whole episodes, with an advantage for every message.
    """
    answer = '<|im_start|>tool\n{"matches": ["./archive/may.txt"]}<|im_end|>\n<|im_start|>assistant\n'
    failure = {"key": key, "kind": "runtime_error", "error_kind": "not_found", "turn": 0}

    def rollout(index: int) -> dict[str, Any]:
        right, masked = index < rights, index == 7
        segments = [[FIND if right else CAT, True]]
        advantage: float | list[float] = 0.75 if right else -1.25
        if episode:
            segments, advantage = [*segments, [answer, False], ["It is in the archive.", True]], [advantage, advantage / 5]
        return {
            "segments": segments,
            "reward": None if masked else 1.6 if right else 0.75,
            "outcome": right and not masked,
            "advantage": 0.0 if masked else advantage,
            "failure": None if right or masked else failure,
        }

    return {
        "step": step,
        "task_id": "gfs-wrong-directory-000017",
        "scenario": "gfs-wrong-directory",
        "messages": [
            {"role": "system", "content": "You may call these tools."},
            {"role": "user", "content": "Show me what is in the report of last May."},
        ],
        "rollouts": [rollout(index) for index in range(8)],
    } | changes


def recovery_group(step: int = 12, rights: int = 3, text: str = "rm {}", key: str = KEY) -> dict[str, Any]:
    """A recovery group as the trainer records it; the first `rights` of its eight recoveries are right."""
    return {
        "step": step,
        "key": key,
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
            "text": CAT,
            "results": [{"content": '{"error": "cat: may.txt: No such file or directory"}', "is_error": True}],
        },
        "feedback": {"text": "cat found no such file here: look where it is first.", "source": "rules", "level": 3},
        "recoveries": [
            {
                "text": text if index else FIND,
                "segments": [[text if index else FIND, True]],
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
    return write_lines(run / "alignment.jsonl", lines).parent


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


def update_metrics(step: int, rng: random.Random, method: str = "fission", gain: float = 0.35) -> dict[str, Any]:
    """A line of `metrics.jsonl` of a run that learns."""
    learned = gain * step / 60
    line: dict[str, Any] = {
        "step": step,
        "reward": 1.0 + learned + rng.gauss(0, 0.05),
        "outcome_rate": 0.4 + learned + rng.gauss(0, 0.05),
        "error_rate": 0.3 - learned / 2 + rng.gauss(0, 0.03),
        "exploration_groups": 8.0,
        "exploration_groups_with_signal": float(rng.randint(3, 6)),
        "recovery_rate": None,
        "recovery_groups": 0.0,
        "groups_with_signal": 0.0,
        "failures": {"runtime_error": 12},
        "seconds": 1.5,
    }
    if method != "fission":
        return line
    return line | {
        "recovery_rate": 0.1 + learned + rng.gauss(0, 0.05),
        "recovery_rows": 64,
        "recovery_groups": 8.0,
        "groups_with_signal": float(rng.randint(2, 5)),
        "pool_size": 40,
        "pool": {
            "size": 30 + rng.randint(0, 20),
            "mean_age": 2.0 + 6 * rng.random(),
            "popped": 8,
            "duplicates": 4,
            "expired": 1,
            "evicted": 0,
        },
        "feedback": {"local": 6.0, "rules": 2.0},
        "simulator": {
            "answered/local": 6.0,
            "answered/rules": 2.0,
            "leaked/local": 1.0,
            "asked_again/local": 3.0,
            "unanswered/local/no_json": 2.0,
        },
        "simulator_seconds": 0.25,
    }


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> Path:
    """Writes a log, and returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def write_run(folder: Path, method: str = "fission", groups: int = 2, steps: int = 60, seed: int = 0) -> Path:
    """Writes a run folder, and returns it.

    Args:
        groups: of recoveries (none with another method), and of explorations: one an update.
    """
    (folder / "trajectories").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(dump_recipe(check_recipe({"method": method, "seed": seed})))
    (folder / "versions.json").write_text(json.dumps({"python": "3.11.7", "torch": "2.13.0"}))
    rng = random.Random(folder.name)
    gain = 0.35 if method == "fission" else 0.2
    write_lines(folder / "metrics.jsonl", (update_metrics(step, rng, method, gain) for step in range(1, steps + 1)))
    keys = [f"{index:016x}" for index in range(groups)]
    write_lines(
        folder / GROUP_LOGS["exploration"], (exploration_group(index + 1, key=key) for index, key in enumerate(keys))
    )
    recoveries = [recovery_group(index + 2, key=key) for index, key in enumerate(keys)]
    write_lines(folder / GROUP_LOGS["recovery"], recoveries if method == "fission" else [])
    save_records(evaluation("Start", 0.6, 0.1).records, folder / START_FILE)
    save_records(evaluation(method, 0.8, gain).records, folder / EVALUATION_FILE)
    return folder
