"""Reads what a language model answered: `{"kind": ..., "message": ...}`, or what is wrong with it.

A model may answer with anything. Whatever is not one short English diagnosis is a fault with a name, so that it can be
counted, and never reaches the policy.
"""

import json
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, cast

from fission_grpo.chat.parsing import without_thinking
from fission_grpo.simulators.fixed import fixed_feedback
from fission_grpo.types import Failure, FailureKind, Feedback, FeedbackLevel

LONGEST_ANSWER = 8_000
"""Characters of an answer that are looked at, its thinking left out: what comes behind them is no short diagnosis."""
LONGEST_MESSAGE = 400
"""Characters of a message."""
LATIN_SHARE = 0.8
"""Least share of Latin among the letters of a message, what it quotes left out."""


class AnswerFault(StrEnum):
    """Each way in which an answer is unusable."""

    EMPTY = "empty"
    """Nothing, or a message without a word."""
    TOO_LONG = "too_long"
    """A message, or an answer around it, that is no short diagnosis."""
    NO_JSON = "no_json"
    """No JSON object in it, or one that was cut."""
    NO_MESSAGE = "no_message"
    """The object has no text under `message`."""
    UNKNOWN_KIND = "unknown_kind"
    """`kind` is missing or none of `FailureKind`."""
    INVALID_TEXT = "invalid_text"
    """Control characters or half of a surrogate pair, which no chat template can carry."""
    MARKUP = "markup"
    """HTML or control tokens of a chat format."""
    DIALOGUE = "dialogue"
    """The message goes on with turns of other speakers, or makes calls itself."""
    LANGUAGE = "language"
    """The message is in another language."""


@dataclass(frozen=True)
class Answer:
    """A diagnosis: the kind it claims, and what the policy may read."""

    kind: FailureKind
    message: str


# A tag is told from a placeholder (`<folder name>`) by its name, an attribute, or the slash of a closing one. `<tool_call>`
# alone is neither: what is wrong with a malformed call cannot be said without naming it.
_HTML_NAMES = (
    "html|head|body|title|script|style|meta|link|div|span|p|br|hr|h[1-6]|a|b|i|u|em|strong|code|pre|ul|ol|li|table|tr|td|th"
    "|img|form|input|button|center|font|svg"
)
_HTML = re.compile(
    rf"<!|<(?:{_HTML_NAMES})\s*/?>|<[a-z][^<>=]{{0,100}}=[^<>]{{0,100}}>|</(?!tool_call>)[a-z]|&(?:lt|gt|nbsp|amp|quot|#\d+);",
    re.IGNORECASE,
)
_CONTROL_TOKEN = re.compile(
    r"<[|｜][^<>]{1,40}[|｜]>|</?s>|<(?:bos|eos|pad|unk|start_of_turn|end_of_turn)>|\[/?INST\]|</?(?:think|tool_response)>"
)
_SPEAKER = re.compile(
    r"(?:^|\n|\\n)\s*(?:(?:user|assistant|system|human)\s*:|(?:tool|runtime)\s*:\s*[\[{\"])|<tool_call>\s*\{",
    re.IGNORECASE,
)
_QUOTATION = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`|“[^”\n]*”|«[^»\n]*»")
_IDENTIFIER = re.compile(r"\S*[_\d/\\{}\[\]\"'`=]\S*|\S*\.\S+")
_ENGLISH_WORDS = (
    "again allowed already and another any argument arguments because been before call called calls cannot check"
    " choose couldn does doesn either empty enough exactly exist exists expected failed field first found from given"
    " have incorrect instead insufficient invalid isn it its leave logged look make malformed match matches mismatch"
    " missing more must needed needs not nothing only out permitted possible previous provided read repeat repeated"
    " request requested required requires same should still takes that the them then there these they this too tried"
    " try twice unable under unexpected unknown unneeded unsupported until using value values wait wasn what when"
    " where which while who with without would wrong you your"
)
"""Words of diagnoses that other languages do not share (as they do `error`, `no`, `in` and `parameter`)."""


def read_answer(text: str, failure: Failure) -> Answer | AnswerFault:
    """Reads an answer to `failure`, in time linear in its length.

    Thinking, a code fence or a sentence around the object do no harm; of several objects the first with a message counts.
    """
    text = without_thinking(text)
    if not text:
        return AnswerFault.EMPTY
    found = _diagnosis_in(text[:LONGEST_ANSWER])
    if found is None:
        return AnswerFault.TOO_LONG if len(text) > LONGEST_ANSWER else AnswerFault.NO_JSON
    message = found.get("message")
    if not isinstance(message, str):
        return AnswerFault.NO_MESSAGE
    if found.get("kind") not in tuple(FailureKind):
        return AnswerFault.UNKNOWN_KIND
    return _fault(message, failure) or Answer(FailureKind(found["kind"]), " ".join(message.split()))


def answer_text(kind: FailureKind, message: str) -> str:
    """The answer that `read_answer` reads, as a model is trained to write it."""
    return json.dumps({"kind": kind.value, "message": message}, ensure_ascii=False)


def feedback_of(text: str, failure: Failure, source: str) -> Feedback:
    """The feedback that a model's answer makes; the environment's own words, where there are any, stand before it.

    Where the answer is unusable the fixed sentence stands in, and `reason` names the fault.
    """
    answer = read_answer(text, failure)
    if isinstance(answer, AnswerFault):
        return fixed_feedback(replaced=source, reason=answer.value)
    spoken = answer.message if failure.error_text is None else f"{failure.error_text}\n{answer.message}"
    return Feedback(spoken, source, FeedbackLevel.FULL, answer.kind)


def _diagnosis_in(text: str) -> dict[str, Any] | None:
    """The first JSON object with a message, else the first object."""
    decoder = json.JSONDecoder(strict=False)  # a raw newline inside a string is a model's habit, and clear enough
    first: dict[str, Any] | None = None
    for match in islice(re.finditer(r"\{", text), 20):
        try:
            found = cast(dict[str, Any], decoder.raw_decode(text, match.start())[0])
        except (ValueError, RecursionError):
            continue
        if "message" in found:
            return found
        first = first or found
    return first


def _fault(message: str, failure: Failure) -> AnswerFault | None:
    if not any(character.isalpha() for character in message):
        return AnswerFault.EMPTY
    if len(message) > LONGEST_MESSAGE:
        return AnswerFault.TOO_LONG
    if any(unicodedata.category(character) in ("Cc", "Cs", "Cn", "Co") and not character.isspace() for character in message):
        return AnswerFault.INVALID_TEXT
    if _SPEAKER.search(message):
        return AnswerFault.DIALOGUE
    own = f"{failure.text}\n{failure.error_text}"
    if _CONTROL_TOKEN.search(message) or any(tag.group() not in own for tag in _HTML.finditer(message)):
        return AnswerFault.MARKUP
    return None if _is_english(message) else AnswerFault.LANGUAGE


def _is_english(message: str) -> bool:
    """Whether a message is in English, as the instruction asks: Latin letters, and a common word among its plain ones."""
    plain = _IDENTIFIER.sub(" ", _QUOTATION.sub(" ", message))
    letters = [character for character in plain if character.isalpha()]
    if not letters:  # all of it is quoted
        plain, letters = message, [character for character in message if character.isalpha()]
    latin = sum("LATIN" in unicodedata.name(character, "") for character in letters)
    if latin < LATIN_SHARE * len(letters):
        return False
    words = re.findall(r"[^\W\d_]+", plain.casefold())
    return len(words) < 3 or not set(_ENGLISH_WORDS.split()).isdisjoint(words)
