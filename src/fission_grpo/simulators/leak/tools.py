"""Does a text name a tool?"""

import codecs
import re
from collections import Counter

from fission_grpo.simulators.leak.forms import CIPHER_LENGTH, LeakForm, name_parts
from fission_grpo.simulators.leak.text import Text, spaced
from fission_grpo.simulators.leak.vocabulary import EVERYDAY
from fission_grpo.types import Failure

_MARK_NAMES = "call use using try tool function command run invoke method api operation endpoint execute"
_MARK = tuple(_MARK_NAMES.split())
_BEFORE = rf"\b(?:{'|'.join(_MARK)})(?: the| a| to)? "
_BEHIND = rf"(?: (?:{'|'.join(_MARK)})\b| ?\()"


def tool_form(text: Text, name: str, failure: Failure) -> LeakForm | None:
    """The form in which `text` names the tool, or None. Names that it is only a part of are left out."""
    parts = name_parts(name)
    if not parts:
        return None
    words = _without_longer_names(text.spaced, parts, failure)
    if _is_named(text, words, parts):
        return LeakForm.EXACT if name in text.raw else LeakForm.NORMALISED
    if _is_shuffled(words, parts) or _is_encoded(text, words, parts):
        return LeakForm.PARAPHRASED
    return None


def _is_named(text: Text, words: str, parts: tuple[str, ...]) -> bool:
    if len(parts) == 1 and parts[0] in EVERYDAY:
        return _is_marked(text, parts[0])
    return f" {' '.join(parts)} " in words or f" {''.join(parts)} " in words


def _is_marked(text: Text, word: str) -> bool:
    """Whether an everyday word is used as the name of a tool."""
    quoted = any(f"{mark}{word}{mark}" in text.raw.lower() for mark in "`'\"")
    pattern = rf"{_BEFORE}{re.escape(word)}(?!\w)|(?<!\w){re.escape(word)}{_BEHIND}"
    return quoted or re.search(pattern, text.folded) is not None


def _is_shuffled(words: str, parts: tuple[str, ...]) -> bool:
    """All parts side by side in another order; two parts are too few to tell, unless marked as a tool."""
    if len(parts) < 2 or not all(f" {part} " in words for part in parts):
        return False
    tokens, wanted = words.split(), Counter(parts)
    for start in range(len(tokens) - len(parts) + 1):
        if tokens[start] in wanted and Counter(tokens[start : start + len(parts)]) == wanted:
            around = tokens[max(0, start - 1) : start] + tokens[start + len(parts) : start + len(parts) + 1]
            if len(parts) > 2 or any(token in _MARK for token in around):
                return True
    return False


def _is_encoded(text: Text, words: str, parts: tuple[str, ...]) -> bool:
    joined, underscored = "".join(parts), " ".join(parts)
    if len(joined) < 3:
        return False
    if any(f" {underscored} " in piece.spaced or f" {joined} " in piece.spaced for piece in text.decoded):
        return True
    if any(joined in letters for _, letters in text.spelled):
        return True
    ciphers = {joined[::-1], underscored[::-1], codecs.encode(joined, "rot13"), codecs.encode(underscored, "rot13")}
    if len(joined) < CIPHER_LENGTH and not text.hints_at_cipher:
        return False
    return any(f" {cipher} " in words for cipher in ciphers - {joined, underscored})


def _without_longer_names(words: str, parts: tuple[str, ...], failure: Failure) -> str:
    """The words without the names of other tools and parameters in which this one is a part (`send_message_to`)."""
    short = f" {' '.join(parts)} "
    if short not in words:
        return words
    functions = [tool.get("function", {}) for tool in failure.tools]
    names = {call.name for call in failure.calls} | {str(function.get("name", "")) for function in functions}
    names |= {name for function in functions for name in function.get("parameters", {}).get("properties", {})}
    for longer in sorted({spaced(" ".join(name_parts(name))) for name in names}, key=len, reverse=True):
        if short in longer and longer != short:
            words = words.replace(longer, " . ")
    return words
