"""What a launcher of several processes (torchrun, accelerate) tells each of them; to be known before torch is imported."""

import os


def launched_processes() -> int:
    """Processes of the run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this process speaks for the run; the others are quiet."""
    return os.environ.get("RANK", "0") == "0"
