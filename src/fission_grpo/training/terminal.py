"""What other libraries print while we train."""

import warnings

from transformers.utils.logging import disable_progress_bar


def quieten() -> None:
    """Leaves the terminal to our own progress display."""
    disable_progress_bar()
    warnings.filterwarnings("ignore", message="You are using 'rollout_func'")  # pinned, and held by contract tests
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
