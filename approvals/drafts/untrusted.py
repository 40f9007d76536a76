"""Customer-written text on its way to a model or a page: capped, stripped of control characters and markup, marked as data."""

from __future__ import annotations

import re
import unicodedata
from secrets import token_hex

import nh3

NOTE_CAP = 2_000
NAME_CAP = 60

_URL = re.compile(r"(?i)\b(?:[a-z][a-z0-9+.-]{1,9}:(?://|[a-z(])|www\.)\S*|\S+@\S+\.\S+")
# What no first name and no registered company name holds, and what templates, markup, code and chat formats are made of.
_NOT_IN_NAMES = re.compile(r"[<>{}\[\]|\\`=;:\"“”„«»「」『』*#$%^~_\n\r\t]|--|\(\s*\)|https?|\bwww\b")
# Brackets round one plain word and a bare percentage do occur in trading names.
_DECORATION = re.compile(r"[{\[](?=[^\W\d_]{2,20}[}\]])|(?<=\w)[}\]]|(?<=\d)%(?! ?(?:off|discount|rabatt|remise|korting)\b)")
_SENTENCE = re.compile(r"[.!?…。！？]\s+\S.*[\w]|\bAI\b\s*:", re.UNICODE)
_ORDER = re.compile(
    r"(?i)\b(?:ignor\w*|disregard|forget|override:|system\s?prompt|instructions?\b.*\b(?:ignor|repeat|print|reveal)|olvida\w*|oublie\w*"
    r"|vergiss|negeer|zignoruj|dimentica\w*|repeat\s+every|you are now|prompt\b|talimat\w*|instrucciones|istruzioni|anweisungen"
    r"|display\s+system)|忽略|無視|무시|指示を|अनदेखा"
)


def _is_visible(character: str) -> bool:
    category = unicodedata.category(character)
    return character in "\n\t" or category not in ("Cc", "Cf", "Co", "Cs", "Cn")


def clean(text: str, cap: int = NOTE_CAP) -> str:
    """The text without tags, control, format and private characters, at most `cap` characters. Never raises."""
    without_tags = nh3.clean(text[: cap * 4], tags=set(), attributes={}, clean_content_tags={"script", "style"})
    visible = "".join(character for character in without_tags if _is_visible(character))
    return unicodedata.normalize("NFC", visible)[:cap].strip()


def as_data(text: str, label: str, cap: int = NOTE_CAP) -> str:
    """The cleaned text between marks that cannot occur in it, so that a model reads it as data and not as an order."""
    mark = token_hex(8)
    return f'<untrusted name="{label}" mark="{mark}">\n{clean(text, cap)}\n</untrusted mark="{mark}">'


def presentable_name(text: str | None, cap: int = NAME_CAP) -> str | None:
    """A person's or company's name as it may stand in a message, or None when it is not one.

    Refused: links and addresses, markup, quotes, brackets, line breaks, hidden characters, whole sentences, orders to a machine, and anything
    longer than `cap`. The message is then written without a name, which is always possible.
    """
    if text is None:
        return None
    if not all(_is_visible(character) for character in text):
        return None
    name = unicodedata.normalize("NFC", text).strip()
    if not name or len(name) > cap or not any(character.isalpha() or character.isdigit() for character in name):
        return None
    bare = _DECORATION.sub("", name)
    if _URL.search(name) or _NOT_IN_NAMES.search(bare) or _SENTENCE.search(name) or _ORDER.search(name):
        return None
    if "?" in name or _reads_as_a_sentence(name) or any(_mixes_scripts(word) for word in name.split()):
        return None
    return name


_INSIDE_DIGIT = re.compile(r"[^\W\d_]\d+[^\W\d_]|^\d[^\W\d_]{2,}\d")


def _reads_as_a_sentence(name: str) -> bool:
    """Names write their words large; a sentence writes most of them small. Digits in place of letters, word after word, are no name either."""
    words = [word for word in name.split() if any(character.isalpha() for character in word)]
    if len(words) < 4:
        return False
    small = sum(1 for word in words if word[0].islower())
    return small * 2 > len(words) or sum(1 for word in words if _INSIDE_DIGIT.search(word)) >= 3


def _mixes_scripts(word: str) -> bool:
    """Whether one word has letters of Latin and of Cyrillic or Greek, which only look alike."""
    scripts = {unicodedata.name(character, "").split(" ")[0] for character in word if character.isalpha()}
    return "LATIN" in scripts and bool(scripts & {"CYRILLIC", "GREEK"})
