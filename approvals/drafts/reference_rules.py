"""Invoice numbers: this invoice's, character for character."""

from __future__ import annotations

import re

from approvals.drafts.case import Case, finding
from approvals.drafts.findings import Finding
from approvals.drafts.folding import NOT_AFTER_WORD, NOT_BEFORE_WORD, UNSPACED, Reading

_LETTER = rf"[^\W_{UNSPACED}]"
_WRITTEN = rf"{_LETTER}(?:(?:{_LETTER}|[_/\-–.#])*{_LETTER})?"
_SHAPE = re.compile(
    NOT_AFTER_WORD
    + r"(?<!/)(?:[A-Za-z\u0370-\u04ff]{1,8}[-–/#_]{1,2}(?:\d[A-Za-z0-9\-–/]*[A-Za-z0-9]|\d)|[A-Z]{1,6}\d{3,}[A-Za-z0-9-]*|\d{2,}(?:[-/]\d+)+[A-Za-z0-9-]*|(?:inv|in|cn)_\w+)"
    + NOT_BEFORE_WORD
)
_MAY_BEGIN = re.compile(rf"{NOT_AFTER_WORD}(?<!/)(?<![A-Za-z0-9]-)")
_MAY_END = re.compile(rf"{NOT_BEFORE_WORD}(?![-/–][A-Za-z0-9])")
_SPACED = re.compile(r"(?<!\w)[A-Z]{1,6} \d{3,}(?![\w.,]*\d)(?! ?[%€$£])")
_IDIOMS = re.compile(
    r"(?i)^(?:24[-/]7|3-?d(?:-?secure)?|covid-19|iso-?\d+|b2b|b2c|mp\d|h\d|a4|utf-8|psd2|24/365|9-to-5|web\d|office365|microsoft365|ipv[46])$"
)
# Letters and digits that pass for one another on a screen.
_LOOKALIKE = str.maketrans({"O": "0", "o": "0", "О": "0", "о": "0", "I": "1", "l": "1", "і": "1", "І": "1", "|": "1", "Ι": "1", "S": "5", "Ѕ": "5", "B": "8", "В": "8", "–": "-", "—": "-", "‑": "-", "−": "-", "‐": "-",
                            "А": "A", "а": "a", "С": "C", "с": "c", "Е": "E", "е": "e", "Н": "H", "К": "K", "М": "M", "Р": "P", "р": "p", "Т": "T", "Х": "X", "х": "x", "Ν": "N", "Ρ": "P", "Α": "A", "Ε": "E", "Τ": "T", "Ɩ": "1", "Ӏ": "1"})  # fmt: skip


def skeleton(text: str) -> str:
    """What a reader sees: look-alike letters, digits and dashes made one, without separators, in capitals."""
    return re.sub(r"[\s\-_/.#]", "", text.translate(_LOOKALIKE)).upper()


def take_out_known(reading: Reading, case: Case) -> None:
    """Blank out this invoice's own number, byte for byte as the facts have it and standing alone."""
    for number in case.invoice_numbers:
        position = reading.raw.find(number)
        if position < 0:
            continue
        # No pattern with the number in it: putting one together for each invoice took longer than all the rules.
        text, at = reading.open, 0
        while (begins := text.find(number, at)) >= 0:
            first, last = begins, begins + len(number)
            if begins > at and text[begins - 1] == "#" and _MAY_BEGIN.match(text, begins - 1):
                first = begins - 1
            if not _MAY_END.match(text, last) or (first == begins and not _MAY_BEGIN.match(text, begins)):
                at = begins + 1
                continue
            at = last
            start, end = reading.span(first, last)
            if reading.raw[start:end] in (number, f"#{number}"):
                reading.blank(first, last)


def check_references(reading: Reading, case: Case) -> list[Finding]:
    """wrong_invoice over everything shaped like an invoice number, everything that follows the word for it, and every look-alike."""
    findings: list[Finding] = []
    expected = case.facts.invoice.number
    known = {skeleton(number) for number in case.invoice_numbers}
    seen: list[tuple[int, int]] = []

    def refuse(start: int, end: int) -> None:
        if not any(start < last and first < end for first, last in seen):
            seen.append((start, end))
            findings.append(finding("wrong_invoice", reading, start, end, expected))

    text = reading.open
    for found in re.finditer(_WRITTEN, text):
        token = found.group(0)
        if any(character.isdigit() or ord(character) > 127 for character in token) and skeleton(token) in known and len(token) >= 3:
            refuse(*found.span())
    for found in _SHAPE.finditer(text):
        if not _IDIOMS.match(found.group(0)):
            refuse(*found.span())
    for words in case.lexicons:
        nouns = words.any_of("invoice")
        if nouns is None:
            continue
        for noun in nouns.finditer(reading.open_folded):
            gap = r"\s*(?:(?:no|nr|num(?:ero)?|number|nummer|n|id|ref|sayili|nolu|番号|号|号码|번호)[.:°º]{0,2}\s*)?[:#№＃]?\s*"
            follows = re.match(gap + r"(" + _WRITTEN + ")", text[noun.end() : noun.end() + 60], re.IGNORECASE)
            if follows is None:
                continue
            token = follows.group(1)
            if re.search(r"\d", token) and not re.fullmatch(r"\d{1,2}", token):
                refuse(noun.end() + follows.start(1), noun.end() + follows.end(1))
    for found in _SPACED.finditer(text):
        if skeleton(found.group(0))[:2] == skeleton(expected)[:2]:
            refuse(*found.span())
    for start, end in seen:
        reading.blank(start, end)
    return findings
