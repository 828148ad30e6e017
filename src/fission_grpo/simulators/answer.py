"""Reads what a language model answered: `{"kind": ..., "message": ...}`, or what is wrong with it.

A model may answer with anything. Whatever is not one short English diagnosis is a fault with a name, so that it can be
counted, and never reaches the policy.
"""

import json
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from fission_grpo.simulators.fixed import fixed_feedback
from fission_grpo.types import Failure, FailureKind, Feedback, FeedbackLevel

LONGEST_ANSWER = 8_000
"""Characters of an answer that are looked at: what comes behind them is no short diagnosis."""
LONGEST_MESSAGE = 400
"""Characters of a message."""
LATIN_SHARE = 0.8
"""Least share of Latin among the letters of a message, where the dialogue itself is in Latin letters."""


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


_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL)
_MARKUP = re.compile(r"<\s*/?\s*[a-zA-Z!][^<>]{0,200}>|<\|[^|<>]{1,40}\|>|&(?:lt|gt|nbsp|amp);")
_SPEAKER = re.compile(r"(?:^|\n|\\n)\s*(?:user|assistant|system|tool|human|runtime)\s*:", re.IGNORECASE)
_IDENTIFIER = re.compile(r"\S*[_\d./\\{}\[\]\"'`=]\S*")
_ENGLISH = frozenset(
    [
        "a",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "been",
        "before",
        "by",
        "call",
        "called",
        "calls",
        "cannot",
        "check",
        "choose",
        "do",
        "does",
        "error",
        "exist",
        "exists",
        "failed",
        "first",
        "found",
        "for",
        "from",
        "give",
        "given",
        "has",
        "have",
        "in",
        "invalid",
        "is",
        "it",
        "its",
        "log",
        "make",
        "message",
        "missing",
        "more",
        "must",
        "need",
        "needed",
        "no",
        "not",
        "of",
        "on",
        "one",
        "or",
        "parameter",
        "read",
        "repeat",
        "request",
        "required",
        "same",
        "should",
        "that",
        "the",
        "there",
        "these",
        "this",
        "to",
        "tool",
        "try",
        "type",
        "unknown",
        "use",
        "value",
        "was",
        "what",
        "which",
        "with",
        "wrong",
        "your",
        "you",
    ]
)


def read_answer(text: str, failure: Failure) -> Answer | AnswerFault:
    """Reads an answer to `failure`.

    Thinking, a code fence or a sentence around the object do no harm; of several objects the first counts.
    """
    text = _THINKING.sub("", text[: 2 * LONGEST_ANSWER]).strip()
    if not text:
        return AnswerFault.EMPTY
    found = _first_object(text[:LONGEST_ANSWER])
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


def _first_object(text: str) -> dict[str, Any] | None:
    decoder = json.JSONDecoder(strict=False)  # a raw newline inside a string is a model's habit, and clear enough
    for start in [match.start() for match in re.finditer(r"\{", text)][:20]:
        try:
            found, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return cast(dict[str, Any], found)
    return None


def _fault(message: str, failure: Failure) -> AnswerFault | None:
    if not any(character.isalpha() for character in message):
        return AnswerFault.EMPTY
    if len(message) > LONGEST_MESSAGE:
        return AnswerFault.TOO_LONG
    if "<tool_call>" in message or _SPEAKER.search(message):
        return AnswerFault.DIALOGUE
    if _MARKUP.search(message) and not _MARKUP.search(failure.text):
        return AnswerFault.MARKUP
    return None if _is_english(message) else AnswerFault.LANGUAGE


def _is_english(message: str) -> bool:
    """Whether a message is in English, as the instruction asks: Latin letters, and a common word among its plain ones."""
    letters = [character for character in message if character.isalpha()]
    latin = sum("LATIN" in unicodedata.name(character, "") for character in letters)
    if latin < LATIN_SHARE * len(letters):
        return False
    words = re.findall(r"[a-z]+", _IDENTIFIER.sub(" ", message).casefold())
    return len(words) < 3 or bool(_ENGLISH.intersection(words))
