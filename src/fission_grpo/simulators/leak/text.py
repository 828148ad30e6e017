"""A feedback as the leak guard reads it: folded, with what its words connect and what its encoded pieces say."""

import base64
import binascii
import html
import re
import unicodedata
from bisect import bisect_left
from functools import cached_property
from urllib.parse import unquote

from fission_grpo.simulators.leak.vocabulary import CONNECTORS, CUES, CUES_BEHIND

Span = tuple[int, int]
"""Start and end in the folded text."""

_MARKS = "\"'`*“”‘’«»\\"
_HOMOGLYPHS = str.maketrans(
    "абвгеёзікмнорстухѕјԁԛԝһӏαβγεικνορτυχωʟıɑɡⅼ⁄−‐‑–—", "abbreesikmhopctyxsjdqwhlabyeiknoptuxwliagl/-----"
)
_SEPARATORS = re.compile(r"[^0-9a-z]+")
_SIGNS = frozenset("=:>-,(){}[].→~≈|<")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{4,}={0,2}")
_HEX = re.compile(r"(?:(?:0x|x)?[0-9a-f]{2}[\s:,]{0,2}){3,}")
_CODES = re.compile(r"(?<!\d)\d{2,3}(?:[\s,;]{1,2}\d{2,3}(?!\d)){2,}")
_SPELLED = re.compile(r"(?<![^\W_])[^\W_](?:[\W_]{1,3}[^\W_](?![^\W_])){2,}")
_ESCAPE = re.compile(r"%[0-9a-fA-F]{2}|&#?\w+;|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}")
_BACKSLASH_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")
_CIPHER_HINT = re.compile(r"revers|backward|mirror|right.to.left|back to front|rot.?13|cipher|caesar|encod|decod|scrambl")


class _Folds(dict[int, str]):
    """What each character becomes, filled as characters turn up: `str.translate` reads it."""

    def __missing__(self, code: int) -> str:
        self[code] = result = _fold_character(chr(code))
        return result


def _fold_character(character: str) -> str:
    if character in _MARKS:
        return ""
    if character.isspace():
        return " "
    folded = unicodedata.normalize("NFKD", character).casefold().translate(_HOMOGLYPHS)
    kept = (each for each in folded if unicodedata.category(each) not in ("Mn", "Cf"))
    return "".join(" " if each.isspace() or unicodedata.category(each) == "Cc" else each for each in kept)


_FOLDS = _Folds()


def fold(text: str) -> str:
    """Text without the differences that make none: case, accents, quotes, Markdown marks, look-alikes, white space."""
    return re.sub(r" {2,}", " ", text.translate(_FOLDS)).strip()


def spaced(text: str) -> str:
    """The letters and digits of a folded text, in words, with one space around each: ` get user id `."""
    return f" {_SEPARATORS.sub(' ', text).strip()} "


def unescape(text: str) -> str:
    """Text without URL, HTML and backslash escapes."""
    if _ESCAPE.search(text) is None:
        return text
    plain = _BACKSLASH_ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)), text)
    return unquote(html.unescape(plain), errors="ignore")


class Text:
    """A folded text. All that is derived from it is made once, when asked for, in time linear in its length.

    Args:
        raw: as written.
    """

    def __init__(self, raw: str) -> None:
        self.raw = raw
        self.folded = fold(raw)

    def find(self, needle: str) -> list[Span]:
        """Every place of a folded string as whole words. A digit behind a point belongs to another number."""
        spans: list[Span] = []
        start = self.folded.find(needle)
        while start >= 0:
            end = start + len(needle)
            if self._is_whole(start, end):
                spans.append((start, end))
            start = self.folded.find(needle, start + 1)
        return spans

    def has(self, needle: str) -> bool:
        return bool(self.find(needle))

    def connects(self, left: int, right: int) -> bool:
        """Whether only connecting words and signs stand between two places."""
        place = bisect_left(self._blockers, left)
        return place == len(self._blockers) or self._blockers[place] >= right

    def written(self, span: Span) -> str:
        """What folded to `span`, as written."""
        start, end = span
        return self.raw[self._origins[start] : self._origins[end - 1] + 1]

    def stands_out(self, span: Span) -> bool:
        """Whether a word is in quotes, or begins with a capital letter though no sentence begins there."""
        start, end = self._origins[span[0]], self._origins[span[1] - 1] + 1
        before, after = self.raw[max(0, start - 1) : start], self.raw[end : end + 1]
        if before and before in _MARKS and after and after in _MARKS:
            return True
        return self.raw[start].isupper() and self.folded[max(0, span[0] - 2) : span[0]][:1] not in ("", ".", "!", "?", ":")

    @cached_property
    def cue_ends(self) -> list[int]:
        """Where cues end, such as `did you mean`."""
        return [found.end() for found in CUES.finditer(self.folded)]

    @cached_property
    def cue_starts(self) -> list[int]:
        """Where cues start that follow a value, such as `is what you need`."""
        return [found.start() for found in CUES_BEHIND.finditer(self.folded)]

    @cached_property
    def hints_at_cipher(self) -> bool:
        """Whether the text says that something is written in another way."""
        return _CIPHER_HINT.search(self.folded) is not None

    @cached_property
    def spaced(self) -> str:
        return spaced(self.folded)

    @cached_property
    def decoded(self) -> list["Text"]:
        """What base64, hex and character codes in it say."""
        pieces = [_decode_base64(found[0]) for found in _BASE64.finditer(self.raw)]
        pieces += [_decode_hex(found[0]) for found in _HEX.finditer(self.folded)]
        pieces += [_decode_codes(found[0]) for found in _CODES.finditer(self.folded)]
        return [Text(piece) for piece in pieces if len(piece.strip()) > 2]

    @cached_property
    def spelled(self) -> list[tuple[Span, str]]:
        """Runs of single characters (`d-o-c-s`), joined."""
        return [(found.span(), _SEPARATORS.sub("", found[0])) for found in _SPELLED.finditer(self.folded)]

    @cached_property
    def _blockers(self) -> list[int]:
        tokens = _TOKEN.finditer(self.folded)
        return [found.start() for found in tokens if found[0] not in CONNECTORS and found[0] not in _SIGNS]

    @cached_property
    def _origins(self) -> list[int]:
        """The index in `raw` of every character of `folded`."""
        origins: list[int] = []
        last = " "
        for index, character in enumerate(self.raw):
            for each in _FOLDS[ord(character)]:
                if each != " " or last != " ":
                    origins.append(index)
                    last = each
        return origins

    def _is_whole(self, start: int, end: int) -> bool:
        before, after = self.folded[max(0, start - 2) : start], self.folded[end : end + 2]
        if before and (is_word(before[-1]) or (before[-1] == "." and before[:-1].isdigit())):
            return False
        return not after or not (is_word(after[0]) or (after[0] == "." and after[1:].isdigit()))


def is_word(character: str) -> bool:
    """Whether a character is one of a word."""
    return character.isalnum() or character == "_"


def _decode_base64(piece: str) -> str:
    body = piece.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return _printable(base64.b64decode(body + "=" * (-len(body) % 4)))
    except (binascii.Error, ValueError):
        return ""


def _decode_hex(piece: str) -> str:
    digits = re.sub(r"0x|[^0-9a-f]", "", piece)
    return _printable(bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _decode_codes(piece: str) -> str:
    codes = [int(code) for code in re.findall(r"\d+", piece)]
    return "".join(map(chr, codes)) if all(32 <= code < 127 for code in codes) else ""


def _printable(data: bytes) -> str:
    """The readable part of bytes: unreadable ones become spaces."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "".join(chr(byte) if 32 <= byte < 127 else " " for byte in data)
    return "".join(each if each.isprintable() else " " for each in text)
