# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch and transformers ship no complete types.
"""Which of some drafted completions a model would have written itself, greedily: one forward pass instead of one a token.

Speculative decoding (Leviathan et al., 2023, arXiv 2211.17192) at temperature 0, where a whole completion is the draft.
"""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel


@torch.inference_mode()
def greedy_matches(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], drafts: Sequence[Sequence[int]], pad_id: int
) -> list[bool]:
    """Whether greedy decoding of each prompt gives exactly its draft, end token included.

    Args:
        prompts: B prompts as token ids.
        drafts: B completions; none is empty.
    """
    rows = [[*prompt, *draft] for prompt, draft in zip(prompts, drafts, strict=True)]
    width, kept = max(map(len, rows)), max(map(len, drafts))
    ids_BT = torch.full((len(rows), width), pad_id)
    mask_BT = torch.zeros(len(rows), width, dtype=torch.long)
    for place, row in enumerate(rows):
        ids_BT[place, width - len(row) :] = torch.tensor(row)
        mask_BT[place, width - len(row) :] = 1
    ids_BT, mask_BT = ids_BT.to(model.device), mask_BT.to(model.device)
    positions_BT = (mask_BT.cumsum(dim=1) - 1).clamp_(min=0)
    output = model(
        input_ids=ids_BT, attention_mask=mask_BT, position_ids=positions_BT, logits_to_keep=kept + 1, use_cache=False
    )
    written_BK = output.logits[:, :-1].argmax(dim=-1)
    agreed_BK = written_BK == ids_BT[:, -kept:]
    return [bool(agreed_BK[place, kept - len(draft) :].all()) for place, draft in enumerate(drafts)]
