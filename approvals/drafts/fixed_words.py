"""The words of ours around every message, in the customer's language: the way out under it, and the heads of the list of open invoices.

And what answers a customer's own text message, with the words that one may be.

They are no part of a draft, so none can leave them out and no edit can take them away. The sentences are in `fixed_words.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from approvals.drafts.locales import language_of

_FILE = Path(__file__).resolve().parent / "fixed_words.json"
_LABEL_BREAK = {"ja": "：", "zh": "：", "fr": "\u00a0: "}


@dataclass(frozen=True, slots=True)
class FixedWords:
    """One language's. `language` is the one that they are in: the customer's, or English where we have none."""

    language: str
    mail_opt_out: str
    """What stands before the link out of further mails."""
    mail_opt_out_link: str
    sms_opt_out: str
    """Under a text message: that STOP as an answer ends them."""
    invoice: str
    due: str
    """Before a due date, after `labelled`."""
    amount_due: str
    sms_help: str
    """What answers HELP, with `{vendor}` and `{support}`."""
    sms_stopped: str
    """What confirms STOP, with the same two."""
    stop_words: tuple[str, ...]
    """Further words that, alone in a message, mean STOP; likewise HELP."""
    help_words: tuple[str, ...]


@lru_cache(maxsize=1)
def _all() -> Mapping[str, FixedWords]:
    content: dict[str, dict[str, Any]] = json.loads(_FILE.read_text(encoding="utf-8"))
    found: dict[str, FixedWords] = {}
    for language, words in content.items():
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in words.items()}
        found[language] = FixedWords(language, **values)
    return found


def in_every_language() -> tuple[FixedWords, ...]:
    """All of them."""
    return tuple(_all().values())


def fixed_words(locale: str) -> FixedWords:
    """The words for a customer's locale, English for a language that has none."""
    return _all().get(language_of(locale)) or _all()["en"]


def labelled(label: str, value: str, language: str) -> str:
    """`label: value`, with the colon as the language sets it."""
    return f"{label}{_LABEL_BREAK.get(language, ': ')}{value}"
