"""Whose words a message is written in, as the text itself shows, and whether they may go out with no person having read them. Pure.

Nothing here believes what a row says of its text. A message is a built-in text when composing that text again gives the same characters; a second
model has passed a message when its answer names the hash of exactly these words. What was changed since is somebody else's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from approvals.contract import Check, Words
from approvals.drafts import built_in
from approvals.drafts.locales import language_of
from approvals.drafts.words import has_full_lists
from billing_ai.kernel.ids import content_hash

RULE = "words.origin"
KEY = "origin"
"""Where a payload says what its words were composed for, and what the second model said: `{"composed_for": {…}, "judge": {…}}`."""
COMPOSED_FOR = ("language", "channel", "tone", "stage", "reason_category", "allowed_slots", "value", "open_invoices")
"""What a built-in text depends on: the values that `built_in.compose` reads."""


@dataclass(frozen=True, slots=True)
class Origin:
    """`built_in` names the built-in text that the words are, character by character; empty: somebody else's words. `lacks` is what these would
    still need to go out by themselves where leads allow it; never empty for what a person has edited."""

    built_in: str = ""
    lacks: tuple[str, ...] = ()


UNREADABLE = Origin(lacks=("the words cannot be read",))


def of(words: Words | None, payload: Mapping[str, Any], *, is_edited: bool, has_findings: bool, judge_model: str) -> Origin:
    """The origin of a revision's words. `has_findings`: the verifier found something of any severity, then or now. `judge_model`: the second
    model that is configured now, or empty. Never raises, whatever the payload holds."""
    if words is None:
        return UNREADABLE
    claimed = payload.get(KEY)
    claimed = claimed if isinstance(claimed, Mapping) else {}
    text = _composed(claimed.get("composed_for"))
    if text is not None and (text["channel"], text["language"], text["subject"], text["body"]) == (
        words.channel,
        words.language.replace("_", "-"),
        words.subject,
        words.body,
    ):
        return Origin(built_in=str(text["reasons"][0]))
    lacks = []
    if is_edited:
        lacks.append("a person has edited it")
    if has_findings:
        lacks.append("the verifier found something in it")
    if not _is_passed(claimed.get("judge"), words, judge_model):
        lacks.append("no second model has passed exactly these words")
    if not has_full_lists(language_of(words.language)):
        lacks.append("there are no full word lists for its language")
    return Origin(lacks=tuple(lacks))


def kept(composed_for: Mapping[str, Any], words: Words, judge_model: str, judge_says: str) -> dict[str, Any]:
    """What a payload keeps of where its words come from, for `of` to prove."""
    case = {name: composed_for[name] for name in COMPOSED_FOR if name in composed_for}
    case["allowed_slots"] = sorted(case.get("allowed_slots", ()))
    judge = {"model": judge_model, "says": judge_says, "words": _mark(words)} if judge_says != "none" else None
    return {KEY: {"composed_for": case, "judge": judge}}


def check(origin: Origin | None, *, others_may_go: bool) -> Check:
    """The gate's answer. `others_may_go`: two leads let a model's words go out by themselves for this agent and segment."""
    origin = origin or UNREADABLE
    data = {"built_in": bool(origin.built_in), "lacks": list(origin.lacks)}
    if origin.built_in:
        return Check("words.origin", "allow", f"{origin.built_in} Composed again, it is the same to the character.", data=data)
    if not others_may_go:
        return Check("words.origin", "person", "These words are no built-in text, so a person reads them before they go out.", data=data)
    if origin.lacks:
        return Check(
            "words.origin", "person", f"These words are no built-in text, and {' and '.join(origin.lacks)}: a person reads them.", data=data
        )
    sentence = "A model's words: two leads let them go out here, the verifier found nothing and the second model passed exactly these."
    return Check("words.origin", "allow", sentence, data=data)


def would_go(stored: Mapping[str, Any], *, others_may_go: bool) -> bool:
    """Whether a proposal whose stored check this is would pass the rule under another setting of the switch."""
    data = stored.get("data") or {}
    return bool(data.get("built_in")) or (others_may_go and data.get("lacks") == [])


def _composed(case: Any) -> dict[str, Any] | None:
    if not isinstance(case, Mapping):
        return None
    try:
        return built_in.compose(case)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None  # a language without texts, or values that no built-in text was ever composed for


def _is_passed(judge: Any, words: Words, judge_model: str) -> bool:
    passed = {"model": judge_model, "says": "pass", "words": _mark(words)}
    return bool(judge_model) and isinstance(judge, Mapping) and dict(judge) == passed


def _mark(words: Words) -> str:
    return content_hash([words.channel, words.language, words.subject, words.body])
