"""How this vendor writes: who signs, what messages do and do not say. Values of the rule `draft.brand`, changed by leads like any other rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from approvals.policy import rules
from billing_ai.kernel import clock

KEY = "draft.brand"
_LONGEST_NAME, _LONGEST_LINE, _MOST_LINES = 60, 120, 5


@dataclass(frozen=True, slots=True)
class Brand:
    """`sender_name` signs (empty: the vendor's name); `signature` is one more line under it in mails. `do` and `do_not` go to a model as wishes;
    `forbidden_words` are found by the verifier, whoever wrote."""

    sender_name: str = ""
    signature: str = ""
    do: tuple[str, ...] = ()
    do_not: tuple[str, ...] = ()
    forbidden_words: tuple[str, ...] = ()

    @property
    def wishes(self) -> str:
        """What a model is told about house style, in one line; empty when nothing is set."""
        parts = [f"{head}: {'; '.join(lines)}." for head, lines in (("Do", self.do), ("Do not", self.do_not)) if lines]
        return f"House style. {' '.join(parts)}" if parts else ""


def of(params: Mapping[str, Any]) -> Brand:
    """The brand in a rule's values. What is missing or of another kind is left out; what is too long is cut."""

    def line(key: str, longest: int) -> str:
        value = params.get(key)
        return " ".join(value.split())[:longest] if isinstance(value, str) else ""

    def lines(key: str, most: int) -> tuple[str, ...]:
        value = params.get(key)
        texts = [" ".join(text.split())[:_LONGEST_LINE] for text in value if isinstance(text, str)] if isinstance(value, list) else []
        return tuple(text.rstrip(".") for text in texts if text)[:most]

    return Brand(
        line("sender_name", _LONGEST_NAME),
        line("signature", _LONGEST_LINE),
        lines("do", _MOST_LINES),
        lines("do_not", _MOST_LINES),
        lines("forbidden_words", 200),
    )


def current() -> Brand:
    """The brand in force, as this thread read it in the last seconds; an empty one where the rule is off or missing."""
    rule = rules.recent(clock.now()).policies.get(KEY)
    return of(rule.params) if rule is not None and rule.is_enabled else Brand()
