"""R_fmt: can the message be executed as it stands?"""

from fission_grpo.chat.schema import check_call
from fission_grpo.rewards.base import ScoredStep


def format_reward(step: ScoredStep, training_step: int) -> float:
    """1 when every call parses, names a known tool and has schema-valid arguments, else 0. Plain text is 1.

    >>> from fission_grpo.types import ToolCall
    >>> parameters = {"type": "object", "properties": {"folder": {"type": "string"}}, "required": ["folder"]}
    >>> cd = {"type": "function", "function": {"name": "cd", "description": "", "parameters": parameters}}
    >>> def message(*calls):
    ...     return ScoredStep("", calls, None, 9, (), None, (cd,))
    >>> format_reward(message(ToolCall("cd", {"folder": "docs"})), 0)
    1.0
    >>> format_reward(message(ToolCall("cd", {"folder": 3})), 0)
    0.0
    >>> format_reward(message(ToolCall("chdir", {"folder": "docs"})), 0)
    0.0
    >>> format_reward(message(), 0)
    1.0
    """
    if step.format_error is not None:
        return 0.0
    return float(all(check_call(call, step.tools) is None for call in step.calls))
