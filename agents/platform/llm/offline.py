"""The provider that needs no model: messages that a courteous colleague would send, put together from template files, with slots for every fact.

It is registered with litellm as `offline/…` and answers the same prompt with the same JSON as any other model. The gateway also calls `compose`
itself when no model could serve. The sentences are in `offline_templates/<language>.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

PROVIDER = "offline"
_TEMPLATES = Path(__file__).resolve().parent / "offline_templates"

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


_FENCED = re.compile(r"```json\n(.*?)\n```", re.DOTALL)


def answer(messages: Sequence[Mapping[str, Any]]) -> str:
    """The answer, as text, to the messages that any model gets: the case is the first fenced JSON of the user's message.

    Raises ValueError when there is none, or no template fits.
    """
    case_text = next((str(message["content"]) for message in messages if message.get("role") == "user"), "")
    found = _FENCED.search(case_text)
    if found is None:
        raise ValueError("no case in the message")
    case = json.loads(found.group(1))
    missing = {"language", "channel", "tone", "stage", "reason_category", "allowed_slots"} - case.keys()
    if missing:
        raise ValueError(f"the case lacks {', '.join(sorted(missing))}")
    return json.dumps(compose(case), ensure_ascii=False)
