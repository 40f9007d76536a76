"""What was taken out of a text and what was put in, word by word."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Literal

_WORD = re.compile(r"\s+|[^\s]+")

Piece = tuple[Literal["same", "out", "in"], str]


def word_difference(before: str, after: str) -> list[Piece]:
    """The later text in pieces, with what the earlier one had in their place."""
    old, new = _WORD.findall(before), _WORD.findall(after)
    pieces: list[Piece] = []
    for step, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if step == "equal":
            pieces.append(("same", "".join(old[a:b])))
            continue
        if b > a:
            pieces.append(("out", "".join(old[a:b])))
        if d > c:
            pieces.append(("in", "".join(new[c:d])))
    return pieces
