"""What is printed while we train, beside our own progress display."""

import logging
import warnings

from transformers.utils.logging import disable_progress_bar

from fission_grpo.launcher import is_main_process


def quieten() -> None:
    """Leaves the terminal to our own progress display; what every process has to say, the main one says."""
    if not is_main_process():
        logging.getLogger("fission_grpo").setLevel(logging.ERROR)
    disable_progress_bar()
    warnings.filterwarnings("ignore", message="You are using 'rollout_func'")  # pinned, and held by contract tests
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
