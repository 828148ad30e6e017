"""verl's dataset over a file of `fission tasks convert ... --to verl`: a prompt is rendered with the tools of its own row.

verl renders one list of tools for all rows. Here a row comes with its token ids (`prompt_ids`), which the agent loop feeds
to the rollout engine as they are, and so do corrective contexts, whose failed message must stand in them as sampled.
"""

from typing import Any

from verl.utils.dataset.rl_dataset import RLHFDataset

from fission_grpo.chat.parsing import render_calls
from fission_grpo.environments.replay import CLOSING_TEXT
from fission_grpo.tasks.layouts import VERL
from fission_grpo.tasks.rows import messages_of, reference_of, tools_of
from fission_verl.chat import chat_format


class StepDataset(RLHFDataset):
    """One row a step instance. Adds `prompt_ids` (P,) and, for R_len, `extra_info.reference_tokens`."""

    def __init__(self, data_files: Any, tokenizer: Any, config: Any, processor: Any = None, max_samples: int = -1) -> None:
        self._chat = chat_format(tokenizer, config.get("apply_chat_template_kwargs"))
        super().__init__(data_files, tokenizer, config, processor, max_samples)

    def maybe_filter_out_long_prompts(self, dataframe: Any = None) -> Any:
        """Leaves out rows longer than `data.max_prompt_length`; verl would cut them on the left."""
        kept = [index for index, row in enumerate(dataframe) if len(self._prompt_ids(row)) <= self.max_prompt_length]
        print(f"prompts: {len(kept)} of {len(dataframe)} have at most {self.max_prompt_length} tokens")
        return dataframe.select(kept)

    def __getitem__(self, item: int) -> dict[str, Any]:
        row = super().__getitem__(item)
        row["prompt_ids"] = self._prompt_ids(row)
        reference = reference_of(step_fields(row)) or ()
        row["extra_info"]["reference_tokens"] = len(self._chat.tokenize(render_calls(reference) or CLOSING_TEXT))
        return row

    def _prompt_ids(self, row: dict[str, Any]) -> list[int]:
        fields = step_fields(row)
        return self._chat.render(messages_of(fields), tools_of(fields))


def step_fields(row: dict[str, Any]) -> dict[str, Any]:
    """A row of verl's layout with the columns that fission_grpo reads: prompt, tools, reference, id, scenario."""
    fields = VERL.decode(row, row["extra_info"]["index"])
    return {"prompt": fields["messages"], **{name: fields[name] for name in ("tools", "reference", "id", "scenario")}}
