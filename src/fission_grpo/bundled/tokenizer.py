"""The bundled policy's tokenizer: byte-level BPE whose vocabulary is read off its own demonstrations.

What the policy must do with a name it never saw is copy it, so a name has to be the same tokens wherever it stands:

- words that many demonstrations share (tool names, arguments, English) are one token each, with or without a leading space;
- all other letter runs fall into merges of two letters (syllables), which never include the space before them;
- digits stand alone, and the fixed JSON of a tool call is a handful of tokens.

Words need no chain of intermediate merges (`ignore_merges`), which keeps the vocabulary, and so the model, small.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END = "<|end|>"
PAD = "<|pad|>"
SPECIAL_TOKENS = (PAD, END, "<|tools|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
"""Control tokens: left out when a completion is decoded with `skip_special_tokens=True`."""
CALL_TOKENS = ("<tool_call>", "</tool_call>", '\n{"name": "', '", "arguments": {"', '", "arguments": {}}\n')
"""Pieces of a Hermes tool call that are one token each, and ordinary text when decoded."""
CONTEXT_LENGTH = 2048
MAX_NAME_MERGE = 2
"""Longest merge, in letters, inside a word that is not shared by many demonstrations: a syllable."""

# A word may take the one space before it; runs of anything else leave that space to the word that follows.
_WORD = r" ?[A-Za-z]+(?:_[A-Za-z]+)*"
_PIECES = rf"{_WORD}|\d|[^A-Za-z\d]+?(?= [A-Za-z])|[^A-Za-z\d]+"
_CONTROL = re.compile("|".join(re.escape(token) for token in (*SPECIAL_TOKENS, *CALL_TOKENS)))


@cache
def chat_template() -> str:
    """The chat template: `tool(argument, argument)` one a line, then the messages. Prefix-stable."""
    return resources.files("fission_grpo.bundled").joinpath("chat_template.jinja").read_text(encoding="utf-8")


def train_tokenizer(texts: Sequence[str], vocab_size: int = 1024, merges: int = 240) -> PreTrainedTokenizerFast:
    """Builds the tokenizer from rendered demonstrations. Deterministic in `texts`.

    Args:
        texts: demonstrations as rendered by the chat template.
        vocab_size: size of the vocabulary with bytes, control tokens, merges and shared words.
        merges: how many of its entries are merges for the letters of unseen names.
    """
    pieces = Counter(piece for text in texts for piece in set(_pieces(text)))
    room = vocab_size - len(SPECIAL_TOKENS) - len(CALL_TOKENS) - 256 - merges
    # At least one demonstration in 200: below that it is a name, and a name has to be spelled to be copied.
    shared = [piece for piece, count in _ranked(pieces) if len(piece) > 1 and count * 200 >= len(texts)][:room]
    names = {
        piece.strip(): count for piece, count in _ranked(pieces) if piece not in set(shared) and piece.strip().isalpha()
    }
    vocab, rules = _name_merges(names, merges)
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for piece in shared:
        vocab.setdefault(to_bytes.pre_tokenize_str(piece)[0][0], len(vocab))
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=rules, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(_PIECES), "isolated"), to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in CALL_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=[token for token in SPECIAL_TOKENS if token not in (END, PAD)],
        chat_template=chat_template(),
        model_max_length=CONTEXT_LENGTH,
        clean_up_tokenization_spaces=False,
    )


def pad_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """The id of the padding token."""
    return tokenizer.get_vocab()[PAD]


def _pieces(text: str) -> Iterable[str]:
    """What the pre-tokenizer will see: the text between control tokens, cut into words, digits and runs of signs."""
    for part in _CONTROL.split(text):
        yield from re.findall(_PIECES, part)


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    """Most frequent first, ties by spelling."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _name_merges(names: dict[str, int], count: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """All 256 bytes and up to `count` short merges learnt from `names`: vocabulary and merge rules of a BPE model."""
    tokenizer = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=256 + count,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        max_token_length=MAX_NAME_MERGE,
        show_progress=False,
    )
    tokenizer.train_from_iterator([name for name, times in names.items() for _ in range(times)], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [(left, right) for left, right in model["merges"]]
