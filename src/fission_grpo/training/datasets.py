"""What a data set must be for the trainer, said before anything is trained."""

from typing import cast

from datasets import Dataset
from trl.data_utils import is_conversational

from fission_grpo.errors import UserError
from fission_grpo.tasks.rows import check_references_of, check_tools_of
from fission_grpo.training.config import FissionGRPOConfig


def check_dataset(dataset: object, args: FissionGRPOConfig, *, reads_references: bool) -> None:
    """Says what is wrong with a dataset before anything is trained (streams are left alone).

    TRL leaves out a batch that is not full: with fewer prompts than one batch needs, it would train nothing, silently.

    Args:
        reads_references: failures are diagnosed from a column `reference`; with a `failure_fn` it may hold anything.
    """
    if not isinstance(dataset, Dataset):
        return
    if len(dataset) and not is_conversational(dataset[0]):
        raise UserError(
            "train_dataset, column prompt: plain text found, chat messages allowed "
            '([{"role": "user", "content": ...}]): feedback on a failed call is a message of its own'
        )
    if "tools" in dataset.column_names:
        check_tools_of({"tools": tools} for tools in dataset["tools"])
    if reads_references and "reference" in dataset.column_names:
        check_references_of({"reference": reference} for reference in dataset["reference"])
    needed = cast(int, args.generation_batch_size) // cast(int, args.num_generations)
    if len(dataset) < needed:
        raise UserError(
            f"train_dataset: {len(dataset)} prompts found, at least {needed} allowed: one generation batch of "
            f"{args.generation_batch_size} rows in groups of {args.num_generations} (num_generations)"
        )
