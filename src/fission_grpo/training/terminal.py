"""What is printed while we train, beside our own progress display."""

import logging
import warnings

from transformers.utils.logging import disable_progress_bar

from fission_grpo.launcher import is_main_process


def _is_no_masked_row(record: logging.LogRecord) -> bool:
    """TRL prints the whole row, and what the model wrote, each time that the infrastructure failed; metrics count it."""
    return "All reward functions returned None" not in record.getMessage()


def quieten() -> None:
    """Leaves the terminal to our own progress display; what every process has to say, the main one says."""
    if not is_main_process():
        logging.getLogger("fission_grpo").setLevel(logging.ERROR)
    logging.getLogger("trl.trainer.grpo_trainer").addFilter(_is_no_masked_row)
    disable_progress_bar()
    warnings.filterwarnings("ignore", message="You are using 'rollout_func'")  # pinned, and held by contract tests
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
