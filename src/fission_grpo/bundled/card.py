"""The bundled policy's model card."""

from collections.abc import Mapping
from pathlib import Path

from fission_grpo.evaluation.metrics import Ratio

MEANINGS = {
    "solved": "episodes solved",
    "recovery_rate_turn": "turns in which a call erred, all earlier turns being right, that ended right",
    "recovery_rate_task": "episodes in which a call erred that were solved",
    "repeat_rate": "erred calls that were repeated and erred again",
    "hidden_hazards_solved": "episodes solved of those whose hazard the prompt does not show",
    "hazard_free_solved": "episodes solved of those without any hazard",
    "error_rate": "calls that erred",
    "format_error_rate": "messages that could not be read",
}
"""The metrics on the card."""

_CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
tags: [tool-use, function-calling, bfcl]
---
# The bundled policy of fission-grpo

A model of {parameters:.2f} million parameters (Qwen3 architecture, vocabulary of {vocabulary}, context of {context} tokens)
that calls the tools of six BFCL API classes in generated tasks. It exists so that the whole method of this package can be
watched on a laptop: it calls tools well, errs often (many tasks hold a hazard that it walks into) and recovers badly.
That is the starting point which reinforcement learning improves on. It is of no use outside these tasks.

## Training
Supervised only: {updates} updates ({tokens:.1f} million tokens) on demonstrations of {tasks} generated tasks of seed {seed},
a seed that no experiment uses. After a mistake about a third of the demonstrations recover; the others repeat the call or
give up. No data, text or weights from elsewhere went into it. `python -m fission_grpo.bundled.build` rebuilds it from
nothing, tokenizer included, in minutes on one core. The seeds are fixed; the last digits depend on the version of PyTorch.

## Measured
{held_out} held-out tasks (scenarios and names never seen in training), one episode each, sampled at temperature 1 in the
real environment, at most {steps} messages a turn:

| metric | value | share of |
|---|---|---|
{rows}

## Format
Input: the chat template lists each tool as `name(argument, argument)`. Output: Hermes tool calls,
`<tool_call>\\n{{"name": "cat", "arguments": {{"file_name": "x.txt"}}}}\\n</tool_call>`, or `Done.` where a turn is finished.
"""


def write_card(folder: Path, metrics: Mapping[str, Ratio], facts: Mapping[str, int | float]) -> None:
    """Writes `README.md`.

    Args:
        facts: `parameters` (millions), `vocabulary`, `context`, `updates`, `tokens` (millions), `tasks`, `seed`, `steps`.
    """
    rows = "\n".join(f"| `{name}` | {metrics[name]} | {meaning} |" for name, meaning in MEANINGS.items())
    text = _CARD.format(rows=rows, held_out=metrics["solved"].denominator, **facts)
    (folder / "README.md").write_text(text, encoding="utf-8")
