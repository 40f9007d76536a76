"""Where a fact can be looked at: what a reason rests on (`invoice:123`), and what a slot of a draft was filled from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.contrib.admin.utils import quote
from django.urls import reverse

from approvals.case_facts import CaseFacts
from approvals.contract import Words
from approvals.drafts.facts import DraftFacts
from approvals.drafts.slots import SLOTS, slots_for, slots_used

if TYPE_CHECKING:
    from approvals.models import Case

_ROWS = {
    "invoice": "invoice",
    "customer": "customer",
    "subscription": "subscription",
    "transaction": "transaction",
    "payment_source": "paymentsource",
}
_PARTS = {
    "score": "score-title", "subscriptions": "subs-title", "invoices": "inv-title", "payments": "pay-title", "reach": "live-title", "health": "health-title",
    "cases": "cases-title", "usage": "use-title", "tickets": "ticket-title", "said": "said-title",
}  # fmt: skip
"""Facts that are several rows: the part of the customer's page that lists them."""


def fact_address(fact: str) -> str:
    """The page of one row (`invoice:123`), or the part of a customer's page (`payments:cus_1`); empty for a fact without a page."""
    kind, _, pk = fact.partition(":")
    if not pk:
        return ""
    if kind in _PARTS:
        return f"{reverse('console:customer', args=[pk])}#{_PARTS[kind]}"
    return reverse(f"admin:facts_{_ROWS[kind]}_change", args=[quote(pk)]) if kind in _ROWS else ""


@dataclass(frozen=True, slots=True)
class SlotSource:
    """One slot of a draft: as it is written, what it shows (empty: no fact in this case), the fact's name and where that can be looked at."""

    raw: str
    shown: str
    source: str
    href: str


def slot_sources(words: Words, facts: DraftFacts, live: CaseFacts, case: Case) -> list[SlotSource]:
    """Every slot that a draft uses, in order, with the fact behind it."""
    values = slots_for(facts, words.channel)
    return [
        SlotSource(f"{{{{ {name} }}}}", values.get(name, "").split("\n")[0], *_source(SLOTS[name].fact.partition(".")[0], live, case))
        for name in slots_used(f"{words.subject}\n{words.body}")
        if name in SLOTS
    ]


def _source(kind: str, live: CaseFacts, case: Case) -> tuple[str, str]:
    customer_id, invoice_id = case.chargebee_customer_id, case.chargebee_invoice_id
    card_id = live.customer.primary_payment_source_id
    rows = {
        "invoice": (f"invoice {invoice_id}", f"invoice:{invoice_id}"),
        "other_invoices": ("open invoices", f"invoices:{customer_id}"),
        "customer": (f"customer {customer_id}, asked of Chargebee now", f"reach:{customer_id}"),
        "card": (f"card {card_id}", f"payment_source:{card_id}"),
    }
    if kind in rows:
        said, fact = rows[kind]
        return said, fact_address(fact)
    if kind == "sender_name":
        return "house style", reverse("console:brand")
    if kind == "retry_date":
        return "the retry planned in this case", "#cal-title"
    return {
        "vendor": "our settings",
        "support_email": "our settings",
        "payment_link": "made for this invoice when the message goes out",
        "update_card_link": "made for this customer when the message goes out",
        "opt_out_link": "made for this customer when the message goes out",
        "service_impact": "what is planned for the service",
        "allowed_offers": "the offers that this case allows",
    }[kind], ""
