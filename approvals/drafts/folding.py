"""One reading of a text for all rules: width, digits, case and accents evened out, with a way back to the original positions."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from functools import lru_cache

# Stands where a known name, link or number was taken out: no letter, no digit, no space, and never in a reading otherwise. One byte wide, so that
# searching stays fast.
FILL = "\x01"
_PLAIN_MARKS = {
    "ı": "i",
    "’": "'",
    "‘": "'",
    "ʼ": "'",
    "`": "'",
    "´": "'",
    "“": '"',
    "”": '"',
    "„": '"',
    "–": "-",
    "—": "-",
    "‑": "-",
    "‐": "-",
    "−": "-",
    "\u00a0": " ",
    "\u202f": " ",
}
# Letters of scripts written without spaces: beside them a number or a name still stands alone.
UNSPACED = "\u0e00-\u0eff\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af"
# Where a number, a date or a reference may begin and end: not inside a word of a spaced script.
NOT_AFTER_WORD = rf"(?<![^\W{UNSPACED}])"
NOT_BEFORE_WORD = rf"(?![^\W{UNSPACED}])"
# Vowel signs and points that belong to a word and are no letters to the pattern language: Arabic, Hebrew, Devanagari, Thai.
_SIGNS = "\u05b0-\u05c7\u064b-\u0652\u0900-\u0903\u093a-\u094f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
LETTERS = rf"(?:[^\W\d_]|[{_SIGNS}])+"
_COMBINING = re.compile("[\u0300-\u036f]")
_DROPPED = frozenset("\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\u061c\u034f\u180e\u2061\u2062\u2063\u2064")


def _is_dropped(character: str) -> bool:
    return character in _DROPPED or (unicodedata.category(character) in ("Cf", "Cc") and character not in "\n\t\r")


class _Widths(dict[int, str]):
    """Character by character: full width to plain, any script's digit to ASCII, hidden ones to nothing."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if _is_dropped(character):
            result = ""
        elif unicodedata.category(character) == "Nd":
            result = str(unicodedata.digit(character))
        elif "\ue000" <= character <= "\uf8ff":
            result = "?"
        else:
            compatible = unicodedata.normalize("NFKC", character)
            result = compatible if len(compatible) == 1 and character not in "\u00a0\u202f\u2009" else character
        self[code] = result
        return result


class _Folds(dict[int, str]):
    """Character by character: lower case without Latin, Greek or Cyrillic accents, always one for one."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        base = _COMBINING.sub("", unicodedata.normalize("NFD", character))
        base = base if len(base) == 1 else character
        lowered = base.lower()
        result = lowered if len(lowered) == 1 else base
        result = _PLAIN_MARKS.get(result, result)
        self[code] = result
        return result


_WIDTHS = _Widths()
_FOLDS = _Folds()


def fold(text: str) -> str:
    """Lower case, no accents, same length as `text`."""
    return text.lower() if text.isascii() else text.translate(_FOLDS)


@lru_cache(maxsize=2048)
def fold_pattern(text: str) -> str:
    """Fold a name or a pattern as texts are folded, hidden characters and width included."""
    return fold(_compose(text).translate(_WIDTHS))


def _compose(text: str) -> str:
    return text if text.isascii() or unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


class Reading:
    """A part of a message as the rules read it. All positions are in `plain`; `span` leads back to the original text.

    `plain` keeps case and accents; `folded` has neither; `open` and `open_folded` are the same with everything already accounted for
    (names, links, amounts, dates) blanked out by FILL.
    """

    __slots__ = ("_map", "amounts", "folded", "name", "open", "open_folded", "plain", "raw")

    def __init__(self, name: str, raw: str) -> None:
        self.name = name
        self.raw = raw
        self.amounts: list[tuple[int, int, Decimal]] = []  # those of the case, with their places, as the rules about money find them
        if raw.isascii() and "\x7f" not in raw and not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", raw):
            self.plain, self._map = raw, None
        else:
            self.plain, self._map = _read(raw)
        self.folded = fold(self.plain)
        self.open = self.plain
        self.open_folded = self.folded

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The original positions of `plain[start:end]`."""
        if self._map is None:
            return start, end
        if not self._map:
            return 0, len(self.raw)
        last = self._map[min(end, len(self._map)) - 1] if end > start else self._map[min(start, len(self._map) - 1)] - 1
        stop = min(end, len(self._map))
        following = self._map[stop] if stop < len(self._map) else len(self.raw)
        return self._map[min(start, len(self._map) - 1)], max(last + 1, following if following - last <= 2 else last + 1)

    def text(self, start: int, end: int) -> str:
        """The original text at those positions, at most 120 characters of it."""
        first, last = self.span(start, end)
        return self.raw[first:last][:120]

    def blank(self, start: int, end: int) -> None:
        """Account for `plain[start:end]`: later rules no longer see it."""
        filler = FILL * (end - start)
        self.open = self.open[:start] + filler + self.open[end:]
        self.open_folded = self.open_folded[:start] + filler + self.open_folded[end:]


def _read(raw: str) -> tuple[str, list[int] | None]:
    """The plain reading and, where its length differs from the original's, each character's original position."""
    if unicodedata.is_normalized("NFC", raw):
        plain = raw.translate(_WIDTHS)
        if len(plain) == len(raw):
            return plain, None
        positions = [index for index, character in enumerate(raw) if _WIDTHS[ord(character)]]
        return plain, positions
    pieces: list[str] = []
    positions = []
    index = 0
    while index < len(raw):
        end = index + 1
        while end < len(raw) and unicodedata.combining(raw[end]):
            end += 1
        for character in unicodedata.normalize("NFC", raw[index:end]).translate(_WIDTHS):
            pieces.append(character)
            positions.append(index)
        index = end
    return "".join(pieces), positions
