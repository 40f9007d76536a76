"""The built-in texts: messages that a courteous colleague would send, put together from template files, with slots for every fact. Pure.

The sentences are in `built_in_texts/<language>.json`. They stand here and not with the writers, because the last look before sending composes a
text again to see whether a message is one of them (`approvals.policy.words_origin`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

_TEMPLATES = Path(__file__).with_name("built_in_texts")

# What to ask for, by decline category. Categories that are not here, known or not, get the plain request.
GROUPS: dict[str, str] = {
    **dict.fromkeys(("insufficient_funds", "limit_exceeded"), "funds"),
    **dict.fromkeys(("expired_card", "invalid_card", "updated_card_available", "no_payment_method"), "card"),
    # Nothing here may hint at theft or suspicion: only that this means of payment does not work.
    **dict.fromkeys(("lost_stolen", "fraud", "restricted_card", "not_permitted", "pin"), "other_method"),
    "auth_required": "authentication",
    "do_not_honor": "bank",
    **dict.fromkeys(("mandate", "revocation", "closed_account", "cancelled"), "account"),
    **dict.fromkeys(("processor_error", "config_error", "invalid_transaction", "duplicate", "network_limit"), "ours"),
}
CHECK_IN = "check_in"
"""The stage of a message about no invoice, which asks how it is going."""
RETRY_GROUPS = frozenset({"funds", "ours", "bank", "generic"})


class NoTemplate(ValueError):
    """There is no template file for a language."""


@lru_cache(maxsize=1)
def languages() -> Mapping[str, Mapping[str, Any]]:
    """The templates by ISO 639 language."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(_TEMPLATES.glob("*.json"))}


@lru_cache(maxsize=64)
def vocabulary(language: str) -> str:
    """All the words of the built-in texts in a language, and of the English ones."""
    wanted = {"en", language.replace("_", "-").split("-")[0].lower()}
    return json.dumps([words for name, words in languages().items() if name in wanted], ensure_ascii=False)


def group_of(category: str) -> str:
    """What a message asks for, given why the payment failed."""
    return GROUPS.get(category, "generic")


def _lines(*parts: str | None) -> str:
    return "\n\n".join(part for part in parts if part)


def _link(ask: Mapping[str, str], words: Mapping[str, Any], allowed: frozenset[str]) -> str:
    """The link that an ask is about, as a labelled button; the other one when that is not to be had in this case."""
    other = {"links.pay": "links.update_card", "links.update_card": "links.pay"}[ask["link"]]
    if ask["link"] in allowed or other not in allowed:
        return f"[{ask['label']}]({{{{ {ask['link']} }}}})"
    return f"[{words['labels'][other]}]({{{{ {other} }}}})"


def _mail(words: Mapping[str, Any], case: Mapping[str, Any], group: str, allowed: frozenset[str]) -> tuple[str, str]:
    stage, tone = case["stage"], case["tone"]
    ask = words["ask"][group]
    several = int(case.get("open_invoices") or 1) > 1 and "invoices.open_list" in allowed
    can_retry = "retry.date" in allowed and group in RETRY_GROUPS
    greeting = words["greeting"]["named" if "customer.first_name" in allowed else "plain"]
    body = _lines(
        greeting,
        words["opening"][stage][tone],
        f"{words['open_list']}\n{{{{ invoices.open_list }}}}" if several else None,
        ask["text"],
        _link(ask, words, allowed),
        words["retry"] if can_retry else None,
        words["last_notice"] if stage == "last_notice" else None,
        words["personal"] if case.get("value") == "high" else None,
        words["closing"][tone],
        f"{words['sign_off'][tone]}\n{{{{ sender.name }}}}\n{{{{ vendor.name }}}}",
    )
    return words["subject"][stage], body


def _check_in(words: Mapping[str, Any], case: Mapping[str, Any], allowed: frozenset[str]) -> tuple[str, str]:
    """A message about no invoice: how is it going, and whom to write to."""
    texts = words["check_in"]
    if case["channel"] == "sms":
        return "", str(texts["sms"])
    greeting = words["greeting"]["named" if "customer.first_name" in allowed else "plain"]
    tone = case["tone"] if case["tone"] in words["sign_off"] else "warm"
    body = _lines(
        greeting,
        texts["opening"],
        texts["ask"],
        f"{words['sign_off'][tone]}\n{{{{ sender.name }}}}\n{{{{ vendor.name }}}}",
    )
    return str(texts["subject"]), body


def _sms(words: Mapping[str, Any], case: Mapping[str, Any], group: str, allowed: frozenset[str]) -> str:
    texts = words["sms"]
    about_card = words["ask"][group]["link"] == "links.update_card" and "links.update_card" in allowed
    stage = case["stage"]
    if stage == "apology":
        return str(texts["apology"])
    if stage in ("reminder", "last_notice"):
        return str(texts[f"{stage}_card" if about_card else stage])
    if "retry.date" in allowed and group in RETRY_GROUPS:
        return str(texts["retry"])
    return str(texts[group if about_card or words["ask"][group]["link"] == "links.pay" else "generic"])


def regional(text: str, words: Mapping[str, Any], language: str) -> str:
    """The text as the tag's region writes it (`pt-BR`, `de-CH`); words only, slots have no such spellings."""
    region = language.rpartition("-")[2].upper()
    for usual, there in words["regional"].get(region, {}).items():
        text = text.replace(usual, there)
    return text


def compose(case: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a case: subject, body, channel, tone, language, reasons. Raises NoTemplate for a language without a file.

    `case` has language, channel, tone, stage, reason_category, allowed_slots, and may have value and open_invoices.
    """
    language = str(case["language"]).replace("_", "-")
    words = languages().get(language.split("-")[0].lower())
    if words is None:
        raise NoTemplate(f"no template in {language}")
    case = {
        **case,
        "stage": case["stage"] if case["stage"] in words["opening"] or case["stage"] == CHECK_IN else "first_notice",
        "tone": case["tone"] if case["tone"] in words["closing"] else "neutral",
    }
    group = group_of(str(case["reason_category"]))
    allowed = frozenset(case["allowed_slots"])
    if case["stage"] == CHECK_IN:
        subject, body = _check_in(words, case, allowed)
    elif case["channel"] == "sms":
        subject, body = "", _sms(words, case, group, allowed)
    else:
        subject, body = _mail(words, case, group, allowed)
    return {
        "subject": regional(subject, words, language),
        "body": regional(body, words, language),
        "channel": case["channel"],
        "tone": case["tone"],
        "language": language,
        "reasons": ["Built-in text that asks how it is going."]
        if case["stage"] == CHECK_IN
        else [f"Built-in text for {case['stage'].replace('_', ' ')}, {group.replace('_', ' ')}, in a {case['tone']} tone."],
    }
