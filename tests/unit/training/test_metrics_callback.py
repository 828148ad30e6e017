"""What the callback does to the trainer's own state."""

from pathlib import Path

from transformers import TrainerControl, TrainerState, TrainingArguments

from fission_grpo.training.metrics import KEPT_LOGS, MetricsCallback


def test_history_of_a_long_run_is_bounded(tmp_path: Path):
    """It stands in memory, and again in the `trainer_state.json` of every checkpoint."""
    state, seen = TrainerState(), []
    callback = MetricsCallback(dict, seen.append)
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    for step in range(3 * KEPT_LOGS):
        logs = {"exploration/rows": 1.0, "exploration/reward_sum": 1.0, "exploration/outcomes": 1.0}
        state.global_step = step
        state.log_history.append({"step": step})
        callback.on_log(args, state, TrainerControl(), logs)
    assert [each["step"] for each in state.log_history] == list(range(2 * KEPT_LOGS, 3 * KEPT_LOGS))
    assert [record["step"] for record in seen] == list(range(3 * KEPT_LOGS))
