"""Tiny byte-level tokenizers whose templates *behave* like those of real model families; no hub is needed.

The templates are minimal texts of our own: they keep only what matters to token-in, token-out chat.
"""

from functools import cache

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from fission_grpo.chat import render_calls
from fission_grpo.types import ToolCall

_TOOLS = (
    """{%- if tools %}{{- '\n\n# Tools' }}{% for tool in tools %}{{- '\n' + (tool | tojson) }}{% endfor %}{% endif -%}"""
)

_CALLS = """{%- for call in message.tool_calls or [] %}
{%- if not loop.first or message.content %}{{- '\n' }}{% endif %}
{{- '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' + (call.function.arguments | tojson) }}
{{- '}\n</tool_call>' }}
{%- endfor -%}"""

_TOOL_RESULT = """{%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{% endif %}
{{- '\n<tool_response>\n' + message.content + '\n</tool_response>' }}
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\n' }}{% endif -%}"""

QWEN25 = (
    "{%- if messages[0].role != 'system' %}{{- '<|im_start|>system\nYou are helpful.' }}"
    + _TOOLS
    + "{{- '<|im_end|>\n' }}{% endif %}"
    "{%- for message in messages %}{% if message.role == 'tool' %}"
    + _TOOL_RESULT
    + "{%- elif message.role == 'assistant' %}"
    "{{- '<|im_start|>assistant\n' + message.content }}" + _CALLS + "{{- '<|im_end|>\n' }}"
    "{%- else %}{{- '<|im_start|>' + message.role + '\n' + message.content }}"
    "{%- if message.role == 'system' %}" + _TOOLS + "{% endif %}{{- '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif %}"
)

# Thinking stands only behind the last user text, and the last message always carries a (maybe empty) block of it.
QWEN3 = (
    "{%- set ns = namespace(last=0) %}{% for message in messages %}{% if message.role == 'user' %}"
    "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{%- if tools %}{{- '<|im_start|>system' }}" + _TOOLS + "{{- '<|im_end|>\n' }}{% endif %}"
    "{%- for message in messages %}{% if message.role == 'tool' %}"
    + _TOOL_RESULT
    + "{%- elif message.role == 'assistant' %}"
    "{%- set content = message.content.split('</think>')[-1].lstrip('\n') %}"
    "{%- set thought = message.content.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{%- if '</think>' not in message.content %}{% set thought = '' %}{% endif %}"
    "{{- '<|im_start|>assistant\n' }}"
    "{%- if loop.index0 > ns.last and (loop.last or thought) %}"
    "{{- '<think>\n' + thought + '\n</think>\n\n' }}{% endif %}"
    "{{- content }}{% set message = {'content': content, 'tool_calls': message.tool_calls} %}"
    + _CALLS
    + "{{- '<|im_end|>\n' }}"
    "{%- else %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and not enable_thinking %}{{- '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)

# Knows no tools and no tool calls: roles are written as they come, and content is all there is.
SMOLLM2 = (
    "{%- if messages[0].role != 'system' %}{{- '<|im_start|>system\nYou are SmolLM.<|im_end|>\n' }}{% endif %}"
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif %}"
)

TEMPLATES = {"Qwen2.5": QWEN25, "Qwen3": QWEN3, "SmolLM2": SMOLLM2}
_TAGS = ("<tool_call>", "</tool_call>", "<think>", "</think>")


@cache
def tokenizer_like(family: str) -> PreTrainedTokenizerFast:
    """Tags are special tokens (Qwen3), added ones (Qwen2.5) or plain text (SmolLM2, whose padding is its end token)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    corpus = [
        render_calls([ToolCall("cd", {"folder": "docs"})]),
        '\n\n{"name": "',
        '"}}\n',
        "assistant\n",
        "user\n",
        "tool_response",
    ]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        corpus * 4, trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    )
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.add_special_tokens(specials)
    if family != "SmolLM2":
        tokenizer.add_tokens([AddedToken(tag, special=family == "Qwen3", normalized=False) for tag in _TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>" if family == "SmolLM2" else "<|endoftext|>",
        additional_special_tokens=specials,
        chat_template=TEMPLATES[family],
        name_or_path=f"tiny-{family}",
    )
