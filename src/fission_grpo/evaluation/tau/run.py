"""An evaluation in one folder, which can be taken up again after a kill.

`OUT/settings.json`, `OUT/episodes.jsonl` (a line a conversation, as soon as it has ended), `OUT/scores.json`,
`OUT/failures.json` where the infrastructure failed, `OUT/report.html`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fission_grpo.disk import write_whole
from fission_grpo.errors import UserError
from fission_grpo.evaluation.error_analysis import tools_by_turn
from fission_grpo.evaluation.evaluate import record_episode
from fission_grpo.evaluation.records import EpisodeRecord, record_of_json, to_json
from fission_grpo.evaluation.tau.baseline import do_nothing
from fission_grpo.evaluation.tau.benchmarks import Benchmark, scripted
from fission_grpo.evaluation.tau.play import Played, Player, Trial
from fission_grpo.evaluation.tau.summary import TauSummary
from fission_grpo.json_lines import append_json_line, cut_last_line, read_json_lines
from fission_grpo.tasks.task import Task

EPISODES_FILE = "episodes.jsonl"
SCORES_FILE = "scores.json"

OnProgress = Callable[[int], None]
"""Called with the number of conversations, or tasks, that are done."""


@dataclass(frozen=True)
class Run:
    """One evaluation: where it goes and what it plays.

    Attributes:
        settings: what results depend on, as `settings.json` holds it.
        trials: how often each task is played.
    """

    out: Path
    settings: Mapping[str, Any]
    benchmark: Benchmark
    tasks: Sequence[Task]
    trials: int
    player: Player


def unfinished(run: Run) -> list[Trial]:
    """The trials that are still to be played."""
    finished = {(record.task_id, record.sample) for record in finished_records(run.out)}
    wanted = [Trial(task, number) for number in range(run.trials) for task in run.tasks]
    return [trial for trial in wanted if (trial.task.id, trial.number) not in finished]


def play_all(run: Run, on_progress: OnProgress) -> dict[str, str]:
    """Plays what is missing. Returns the infrastructure errors by trial.

    Raises:
        UserError: the endpoint refuses us.
    """
    missing = unfinished(run)
    done_before = len(run.tasks) * run.trials - len(missing)
    on_progress(done_before)
    failures: dict[str, str] = {}
    for done, played in enumerate(run.player(missing, len(finished_records(run.out))), start=done_before + 1):
        if played.trajectory.verdict is None:
            failures[f"trial-{played.trial.number}/{played.trial.task.id}"] = played.trajectory.fault
        else:
            append_json_line(run.out / EPISODES_FILE, _line(run.benchmark, played))
        on_progress(done)
    return failures


def summarise(run: Run, failures: int, on_progress: OnProgress) -> TauSummary:
    """Counts what is finished, plays the baseline, and writes `scores.json`.

    Args:
        failures: conversations in which the infrastructure failed at this time.
    """
    tasks = {task.id for task in run.tasks}
    records = [record for record in finished_records(run.out) if record.task_id in tasks and record.sample < run.trials]
    summary = TauSummary(
        settings=run.settings,
        records=records,
        trials=run.trials,
        missing=len(run.tasks) * run.trials - len(records),
        infrastructure_failures=failures,
        baseline=do_nothing(run.benchmark, run.tasks, on_progress),
    )
    write_whole(run.out / SCORES_FILE, json.dumps(summary.as_json(), indent=1) + "\n")
    return summary


def finished_records(out: Path) -> list[EpisodeRecord]:
    """The conversations that a folder holds. A last line that was cut off by a kill is removed.

    Raises:
        UserError: a broken line, or the same conversation twice.
    """
    path = out / EPISODES_FILE
    if not path.is_file():
        return []
    cut_last_line(path)
    records = read_json_lines(path, "conversations", lambda line: record_of_json(line["record"]), "a conversation")
    if len({(record.task_id, record.sample) for record in records}) < len(records):
        raise UserError(f"conversations {path}: one stands there more than once; remove all but one of its lines")
    return records


def _line(benchmark: Benchmark, played: Played) -> dict[str, Any]:
    """What is kept of a conversation: its counts, why it ended, and what was said, the policy text aside."""
    trial, trajectory, usage = played
    tools = tools_by_turn(scripted(benchmark), trial.task)
    record = record_episode(trajectory, trial.task, trial.number, tools)
    record = replace(record, prefill_tokens=usage.prefill_tokens, sampled_tokens=usage.sampled_tokens)
    said = [message for message in trajectory.messages if message["role"] != "system"]
    detail = trajectory.verdict.detail if trajectory.verdict is not None else ""
    return {"record": to_json(record), "detail": detail, "messages": said}
