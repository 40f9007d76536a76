"""The last look at what leaves for a model: no mail address, phone number, card-like digits, name or key.

Derived variables are refused (something upstream is wrong); text that people wrote is masked (it is theirs, and the case goes on).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from agents.platform.prompts import PromptValue


class PersonalDataRefused(ValueError):
    """A variable holds what must not leave; `variable` is its name. The value is nowhere in the message."""

    def __init__(self, variable: str, kind: str) -> None:
        super().__init__(f"variable {variable!r} holds {kind}")
        self.variable = variable
        self.kind = kind


_MAIL = re.compile(r"[\w.+%'-]+\s?(?:@|＠)\s?[\w-]+(?:\.[\w-]+)+")
_SEPARATED = r"[\s.\-/()\u00a0\u2010-\u2015·]*"
_LONG_DIGITS = re.compile(rf"(?<!\w)\+?\(?\d(?:{_SEPARATED}\d){{6,}}(?!\w)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:\s?[A-Z0-9]{2,4}){3,8}\b")
_KEY = re.compile(r"\b(?:sk|pk|rk|live|test|key|ghp|xox[abp])[-_][A-Za-z0-9_-]{8,}|\bBearer\s+\S{8,}|\bAKIA[0-9A-Z]{16}\b")

_KINDS = (
    ("a mail address", _MAIL, "[mail]"),
    ("a key", _KEY, "[key]"),
    ("an account number", _IBAN, "[account]"),
    ("a phone or card number", _LONG_DIGITS, "[number]"),
)


def _given(never_send: Iterable[str]) -> list[re.Pattern[str]]:
    """One pattern a string; whole words, in any case. Strings of a single character say too little to look for."""
    patterns = []
    for text in sorted({text.strip() for text in never_send}, key=len, reverse=True):
        if len(text) >= 2:
            edge_start = r"(?<!\w)" if text[0].isascii() else ""
            edge_end = r"(?!\w)" if text[-1].isascii() else ""
            patterns.append(re.compile(edge_start + re.escape(text) + edge_end, re.IGNORECASE))
    return patterns


def mask(text: str, never_send: Iterable[str] = ()) -> str:
    """The text with mail addresses, long numbers, keys and the given strings replaced by what they were."""
    for pattern in _given(never_send):
        text = pattern.sub("[name]", text)
    for _, pattern, mark in _KINDS:
        text = pattern.sub(mark, text)
    return text


def check(values: Mapping[str, PromptValue], never_send: Iterable[str] = ()) -> None:
    """Raises PersonalDataRefused, naming the first variable (by name order) that may not leave."""
    given = _given(never_send)
    for name in sorted(values):
        value = values[name]
        for text in value if isinstance(value, tuple) else (str(value),):
            for kind, pattern, _ in _KINDS:
                if pattern.search(text):
                    raise PersonalDataRefused(name, kind)
            if any(pattern.search(text) for pattern in given):
                raise PersonalDataRefused(name, "a name or key")
