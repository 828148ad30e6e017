"""Chat templates that leave out tools, such as SmolLM2-135M's: a policy under one would have to call what it never saw."""

from importlib import resources

from fission_grpo.chat.template import ChatTokenizer

_PROBE = "a_tool_that_a_template_must_show"


def shows_tools(tokenizer: ChatTokenizer) -> bool:
    """Whether the tokenizer's chat template writes the names of the tools that are offered."""
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    tool = {"type": "function", "function": {"name": _PROBE, "description": "", "parameters": schema}}
    dialogue = [{"role": "user", "content": "?"}]
    return _PROBE in tokenizer.apply_chat_template(dialogue, tools=[tool], add_generation_prompt=True, tokenize=False)


def complete_template(tokenizer: ChatTokenizer) -> bool:
    """Gives a ChatML tokenizer whose template leaves out tools one that shows tools, calls and results, in Hermes form.

    Returns:
        whether the template was replaced. Other tokenizers are left as they are.
    """
    if shows_tools(tokenizer) or "<|im_start|>" not in str(tokenizer.chat_template):
        return False
    tokenizer.chat_template = resources.files("fission_grpo.chat").joinpath("chatml_tools.jinja").read_text(encoding="utf-8")
    return True
