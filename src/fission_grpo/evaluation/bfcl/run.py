"""`fission eval bfcl`: plays, judges and counts, into one folder that can be taken up again after a kill.

`OUT/settings.json`, `OUT/sample-0/<registered name>/multi_turn/*.json` (official result files), `OUT/records.jsonl`,
`OUT/scores.json`, `OUT/failures.json` where the infrastructure failed, `OUT/report.html`.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from fission_grpo.disk import write_whole
from fission_grpo.errors import UserError
from fission_grpo.evaluation.asking import Decoding
from fission_grpo.evaluation.bfcl.backends import Backend
from fission_grpo.evaluation.bfcl.checking import Job, judge_all
from fission_grpo.evaluation.bfcl.dialogue import INFERENCE_ERROR
from fission_grpo.evaluation.bfcl.entries import Entry
from fission_grpo.evaluation.bfcl.handlers import Handler
from fission_grpo.evaluation.bfcl.play import CONTEXT_EXCEEDED, play
from fission_grpo.evaluation.bfcl.replay import Turns, decode_turns
from fission_grpo.evaluation.bfcl.results import ResultFolder, find_result_folders
from fission_grpo.evaluation.bfcl.summary import ModelSummary
from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.evaluation.out_folder import SETTINGS_FILE, read_settings
from fission_grpo.evaluation.records import save_records

RECORDS_FILE = "records.jsonl"
SCORES_FILE = "scores.json"

OnProgress = Callable[[int], None]
"""Called with the number of entries that are done."""


@dataclass(frozen=True)
class Settings:
    """What a folder of results was made with; a folder is only continued with the same."""

    model: str
    format: str
    temperature: float
    max_new_tokens: int
    seed: int
    samples: int
    bfcl_eval: str


@dataclass(frozen=True)
class Run:
    """One evaluation: where it goes and what it plays.

    Attributes:
        make_backend: a backend for one sample's decoding (seeds differ between samples).
    """

    out: Path
    settings: Settings
    entries: Sequence[Entry]
    handler: Handler
    make_backend: Callable[[Decoding], Backend]

    def folder(self, sample: int) -> ResultFolder:
        return ResultFolder(self.out / f"sample-{sample}" / self.handler.official_name.replace("/", "_"))


def unfinished(run: Run) -> int:
    """How many samples of entries are still to be played."""
    wanted = {entry.id for entry in run.entries}
    return sum(len(wanted - run.folder(sample).finished()) for sample in range(run.settings.samples))


def play_all(run: Run, on_progress: OnProgress) -> dict[str, str]:
    """Plays what is missing, sample by sample. Returns the infrastructure errors by sample and entry."""
    failures: dict[str, str] = {}
    wanted = {entry.id for entry in run.entries}
    done = len(wanted) * run.settings.samples - unfinished(run)
    on_progress(done)
    for sample in range(run.settings.samples):

        def advance() -> None:
            nonlocal done
            done += 1
            on_progress(done)

        if wanted <= run.folder(sample).finished():
            continue
        backend = run.make_backend(
            Decoding(run.settings.temperature, run.settings.max_new_tokens, run.settings.seed + sample)
        )
        try:
            played = play(run.entries, run.handler, backend, run.folder(sample), advance)
        finally:
            backend.close()
        failures |= {f"sample-{sample}/{entry}": reason for entry, reason in played.failures.items()}
    return failures


def summarise_run(run: Run, on_progress: OnProgress) -> ModelSummary:
    """Judges every result of a run, and writes its records and scores."""
    lines = [(sample, line) for sample in range(run.settings.samples) for _, line in run.folder(sample).entries()]
    wanted = {entry.id for entry in run.entries}
    lines = [(sample, line) for sample, line in lines if line["id"] in wanted]
    jobs = [
        Job(line["id"], decode_turns(line["result"], run.handler.decode), run.handler.official_name, sample)
        for sample, line in lines
    ]
    summary = _summary(run.settings.model, jobs, [line for _, line in lines], on_progress)
    missing = len(run.entries) * run.settings.samples - len(lines)
    summary = replace(summary, missing=missing)
    save_records(summary.records, run.out / RECORDS_FILE)
    save_scores([summary], run.out)
    return summary


def summarise_results(root: Path, on_progress: OnProgress) -> list[ModelSummary]:
    """Judges the results of every model below a folder, whoever made them, from the calls in their inference logs.

    Raises:
        UserError: no results, a broken file, or results without inference log.
    """
    summaries: list[ModelSummary] = []
    done = 0
    for (model, _), folders in _by_model(find_result_folders(root)).items():
        found = [(sample, folder, line) for sample, folder in enumerate(folders) for _, line in folder.entries()]
        lines = [line for _, _, line in found]
        jobs = [
            Job(line["id"], logged_turns(line, folder), folder.model, sample, logged_answers(line))
            for sample, folder, line in found
        ]

        def advance(count: int, before: int = done) -> None:
            on_progress(before + count)

        summaries.append(_summary(model, jobs, lines, advance))
        done += len(jobs)
    return summaries


def _by_model(folders: Sequence[ResultFolder]) -> dict[tuple[str, Path], list[ResultFolder]]:
    """Folders by model and place. In a folder of our own, samples belong together, and the settings name the model."""
    groups: dict[tuple[str, Path], list[ResultFolder]] = {}
    for folder in folders:
        out = folder.path.parents[1]
        ours = folder.path.parent.name.startswith("sample-") and (out / SETTINGS_FILE).is_file()
        key = (str(read_settings(out)["model"]), out) if ours else (folder.model, folder.path)
        groups.setdefault(key, []).append(folder)
    return groups


def logged_turns(line: Mapping[str, Any], folder: ResultFolder) -> Turns | None:
    """The calls that an inference log says were executed; None where the entry broke off in inference.

    Raises:
        UserError: there is no inference log, or none of BFCL v4.
    """
    if not isinstance(line["result"], list):
        return None
    log = line.get("inference_log")
    if not isinstance(log, list):
        raise UserError(
            f"results of {folder.model}, entry {line['id']}: found {', '.join(map(str, line))}; expected an inference_log "
            "(bfcl generate of BFCL v3 and v4 writes one)"
        )
    turns = [entry for entry in cast(list[Any], log) if isinstance(entry, dict) and "begin_of_turn_query" in entry]
    if len(turns) != len(line["result"]):
        raise UserError(
            f"results of {folder.model}, entry {line['id']}: found {len(turns)} turns in inference_log and "
            f"{len(line['result'])} in result; expected as many"
        )
    return [_logged_steps(cast(dict[str, Any], turn)) for turn in turns]


def logged_answers(line: Mapping[str, Any]) -> list[str]:
    """What a log says that calls were answered, in order."""
    steps = [step for turn in line.get("inference_log", ()) if isinstance(turn, dict) for step in _steps(turn)]
    return [str(item["content"]) for step in steps for item in step if item.get("role") == "tool"]


def save_scores(summaries: Iterable[ModelSummary], out: Path) -> None:
    """Writes `scores.json`."""
    write_whole(out / SCORES_FILE, json.dumps([summary.as_json() for summary in summaries], indent=1) + "\n")


def count_lines(root: Path) -> int:
    """How many results a folder holds, for a progress bar."""
    return sum(1 for folder in find_result_folders(root) for _ in folder.entries())


def _logged_steps(turn: dict[str, Any]) -> list[list[str]]:
    steps: list[list[str]] = []
    for step in _steps(turn):
        decoded = [entry["model_response_decoded"] for entry in step if "model_response_decoded" in entry]
        # The entry stands twice where the calls are none, and nowhere where the message could not be decoded.
        if len(decoded) == 1 and isinstance(decoded[0], list):
            steps.append([str(call) for call in cast(list[Any], decoded[0])])
    return steps


def _steps(turn: dict[str, Any]) -> list[list[dict[str, Any]]]:
    return [step for name, step in turn.items() if name.startswith("step_") and isinstance(step, list)]


def _summary(model: str, jobs: Sequence[Job], lines: Sequence[Any], on_progress: OnProgress) -> ModelSummary:
    records, faults, other_answers = [], 0, Ratio()
    for count, judged in enumerate(judge_all(jobs), start=1):
        other_answers += judged.other_answers
        if judged.record is None:
            faults += 1
        else:
            records.append(judged.record)
        on_progress(count)
    exceeded = INFERENCE_ERROR + CONTEXT_EXCEEDED
    outgrown = sum(isinstance(line["result"], str) and line["result"].startswith(exceeded) for line in lines)
    return ModelSummary(model, records, context_exceeded=outgrown, faults=faults, other_answers=other_answers)
