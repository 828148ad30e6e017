"""What a run may run short of, a disk or memory: a sentence that says what is left and what to change."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from fission_grpo.disk import disk_fault
from fission_grpo.errors import UserError
from fission_grpo.rollout.memory_errors import is_out_of_memory
from fission_grpo.training import checkpoint


@contextmanager
def told_in_one_sentence(run: Path) -> Generator[None]:
    """Around an update or a save.

    Raises:
        UserError: the disk is full or fails otherwise, or there is not enough memory for the update. Rows that there is
            no memory to decode together are no shortage: they are decoded in halves.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise UserError(
                "out of memory in the update: lower trainer.per_device_train_batch_size, and raise "
                "trainer.gradient_accumulation_steps by the same factor, which leaves the batch as it is, in "
                f"{run / 'recipe.yaml'}; {checkpoint.how_to_go_on(run)}"
            ) from error
        fault = disk_fault(error, run)
        if fault is None:
            raise
        raise UserError(f"run folder {run}: {fault}; mend that, and {checkpoint.how_to_go_on(run)}") from error
