"""The chosen places: those where a kill could do harm. Random times, which know of none, stand beside them."""

import random

from killing.kinds import ENDPOINT, EPISODE, LOCAL, STEP, Kind
from killing.points import Moment, Point
from killing.trials import Trial

BEFORE, AFTER, TORN = Moment.BEFORE, Moment.AFTER, Moment.TORN
_CHECKPOINT = "fission_grpo.training.checkpoint"
_TRAINER = "transformers.trainer:Trainer"
_RUN_FOLDER = "fission_grpo.training.run_folder:RunFolder"
_RECOVERIES = "trajectories/fission_groups.jsonl"
_EXPLORATION = "trajectories/exploration_groups.jsonl"
_DRAFT = ".model.partial"

SAMPLING = Point("fission_grpo.rollout.transformers_policy:TransformersPolicy._forward", BEFORE, 120)
FIRST_TOKENS = Point("fission_grpo.rollout.transformers_policy:TransformersPolicy._forward", BEFORE, 10)
BEFORE_SEAL = Point(f"{_CHECKPOINT}:seal", BEFORE, 3)
IN_ROTATION = Point("os:unlink", BEFORE, naming="rng_state.pth")
RENAME_MODEL = Point("pathlib:Path.rename", BEFORE, naming=_DRAFT)
METRICS_LINE = Point(f"{_RUN_FOLDER}.append", TORN, 3, "metrics.jsonl", "metrics.jsonl")
REPLY_LINE = Point("fission_grpo.simulators.cache:_append", TORN, 5, "", "simulator_cache.jsonl")


def _saving(before: str) -> Point:
    return Point(f"{_TRAINER}.{before}", BEFORE, naming="checkpoint-3")


def _line(log: str, entry: int) -> Point:
    return Point(f"{_RUN_FOLDER}.append", TORN, entry, log, log)


_IN_UPDATES = {
    "sampling, before anything was saved": [FIRST_TOKENS],
    "sampling": [SAMPLING],
    "contexts popped, not yet trained": [Point("fission_grpo.fission.engine:FissionEngine.pop", AFTER, 4)],
    "outcomes on their way to selection": [Point("fission_grpo.fission.engine:FissionEngine.record", BEFORE, 4)],
    "interception, the pool half updated": [Point("fission_grpo.fission.pool:CorrectivePool.add", BEFORE, 12)],
    "gradients of half an update": [Point("accelerate:Accelerator.backward", AFTER, 5)],
    "before the optimizer's step": [Point("accelerate.optimizer:AcceleratedOptimizer.step", BEFORE, 3)],
    "behind the optimizer's step": [Point("accelerate.optimizer:AcceleratedOptimizer.step", AFTER, 4)],
    "half a line of metrics.jsonl": [METRICS_LINE],
    "half a line of the exploration log": [_line(_EXPLORATION, 9)],
    "half a line of the recovery log": [_line(_RECOVERIES, 4)],
}
_IN_SAVES = {
    "half a weights file": [
        Point("transformers.modeling_utils:safe_save_file", TORN, 3, "", "checkpoint-3/model.safetensors")
    ],
    "weights saved, no optimizer": [_saving("_save_optimizer_and_scheduler")],
    "half an optimizer file": [Point("torch:save", TORN, 1, "checkpoint-3/optimizer.pt", "checkpoint-3/optimizer.pt")],
    "optimizer saved, no random states": [_saving("_save_rng_state")],
    "no trainer state": [
        Point("transformers.trainer_callback:TrainerState.save_to_json", naming="checkpoint-3/trainer_state.json")
    ],
    "between TRL's files and ours": [Point(f"{_CHECKPOINT}:save_state", BEFORE, 3)],
    "half of our state": [Point(f"{_CHECKPOINT}:save_state", TORN, 3, "", "checkpoint-3/fission_state.pkl")],
    "all files, not sealed": [BEFORE_SEAL],
    "COMPLETE written, not renamed": [Point("pathlib:Path.rename", BEFORE, naming="checkpoint-3/.COMPLETE.partial")],
    "sealed, old ones not yet deleted": [Point(f"{_CHECKPOINT}:rotate", BEFORE, 3)],
    "an old checkpoint half deleted": [IN_ROTATION],
    "save done": [Point(f"{_CHECKPOINT}:rotate", AFTER, 3)],
    "half of the trained policy": [
        Point("transformers.modeling_utils:safe_save_file", TORN, 7, "", f"{_DRAFT}/model.safetensors")
    ],
    "trained policy saved, not in its place": [RENAME_MODEL],
}
_IN_RESUMES = {
    "reading the checkpoint": [BEFORE_SEAL, Point(f"{_CHECKPOINT}:load_state", AFTER)],
    "logs cut back": [METRICS_LINE, Point(f"{_RUN_FOLDER}.cut_back", AFTER)],
    "loading the weights": [SAMPLING, Point(f"{_TRAINER}._load_from_checkpoint")],
    "loading the optimizer": [SAMPLING, Point(f"{_TRAINER}._load_optimizer_and_scheduler")],
    "the first tokens behind a resume": [SAMPLING, FIRST_TOKENS],
    "the same save, twice": [BEFORE_SEAL, Point(f"{_CHECKPOINT}:seal", BEFORE, 1)],
    "deleting, then the next save": [IN_ROTATION, Point(f"{_CHECKPOINT}:seal", BEFORE, 1)],
    "deleting, twice": [IN_ROTATION, IN_ROTATION],
    "before a checkpoint, twice": [FIRST_TOKENS, SAMPLING],
    "saving the trained policy, twice": [RENAME_MODEL, RENAME_MODEL],
}
_IN_EPISODES = {
    "sampling in an episode": [SAMPLING],
    "interception": [Point("fission_grpo.fission.pool:CorrectivePool.add", BEFORE, 12)],
    "half a line of the recovery log": [_line(_RECOVERIES, 4)],
    "all files, not sealed": [Point(f"{_CHECKPOINT}:seal", BEFORE, 2)],
    "an update from the checkpoint, then sampling": [
        Point("accelerate.optimizer:AcceleratedOptimizer.step", AFTER, 4),
        SAMPLING,
    ],
}
_WITH_ENDPOINT = {
    "questions under way": [Point("fission_grpo.simulators.chat_endpoint:ChatEndpoint._once", BEFORE, 6)],
    "reply heard, not yet kept": [Point("fission_grpo.simulators.cache:ReplyCache.put", BEFORE, 6)],
    "half a line of the reply cache": [REPLY_LINE],
    "feedback given, not yet trained": [Point("fission_grpo.simulators.chain:FallbackChain.diagnose", AFTER, 4)],
    "escalation": [Point("fission_grpo.fission.escalation:Escalation.after_group", AFTER, 4)],
    "measuring alignment": [Point("fission_grpo.training.simulator.alignment:diagnoses", BEFORE, 2)],
    "half a line of alignment.jsonl": [_line("alignment.jsonl", 2)],
    "a reply's line, then the next save": [REPLY_LINE, Point(f"{_CHECKPOINT}:seal", BEFORE, 1)],
    "evaluation of the trained policy": [Point("fission_grpo.evaluation.models:save_records", BEFORE, 2)],
}
_WITH_LOCAL_SIMULATOR = {
    "a simulator that writes": [Point("fission_grpo.simulators.local:LocalSimulator._generate", AFTER, 4)],
    "feedback given, then the next save": [
        Point("fission_grpo.simulators.chain:FallbackChain.diagnose", AFTER, 2),
        Point(f"{_CHECKPOINT}:seal", BEFORE, 1),
    ],
}
CHOSEN = [
    Trial(name, kind, kills)
    for kind, places in (
        (STEP, _IN_UPDATES | _IN_SAVES | _IN_RESUMES),
        (EPISODE, _IN_EPISODES),
        (ENDPOINT, _WITH_ENDPOINT),
        (LOCAL, _WITH_LOCAL_SIMULATOR),
    )
    for name, kills in places.items()
]


def at_random_times(kind: Kind, count: int, seconds: float) -> list[Trial]:
    """Kills at times drawn with a fixed seed from the length of a whole run, every second one again in its resume."""
    trials: list[Trial] = []
    for index in range(count):
        drawn = random.Random(f"{kind.name}/{index}")
        kills = [drawn.uniform(0.0, seconds) for _ in range(1 + index % 2)]
        trials.append(Trial("random times, twice" if index % 2 else "a random time", kind, kills))
    return trials
