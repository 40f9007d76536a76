"""The slot grammar: `{{ name.path }}` and nothing else. The only way for a fact to enter a message."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from approvals.drafts.facts import Channel, DraftFacts
from approvals.drafts.fixed_words import fixed_words, labelled
from approvals.drafts.locales import date_text, money_text, number_text
from approvals.drafts.untrusted import presentable_name
from billing_ai.kernel.money import total

SlotKind = Literal["name", "money", "date", "number", "reference", "link", "mail", "table", "offer", "card"]


@dataclass(frozen=True, slots=True)
class Slot:
    """One entry of the closed table: what it shows, the fact it needs, and whether it belongs in a text message."""

    name: str
    kind: SlotKind
    label: str
    fact: str
    value: Callable[[DraftFacts, str, Channel], str | None]
    channels: tuple[Channel, ...] = ("email", "sms")


def _length(channel: Channel) -> str:
    return "short" if channel == "sms" else "long"


def _open_list(facts: DraftFacts, locale: str, channel: Channel) -> str | None:
    fixed = fixed_words(locale)
    return "\n".join(
        f"- {invoice.number} · {labelled(fixed.due, date_text(invoice.due_date, locale, 'medium'), fixed.language)}"
        f" · {money_text(invoice.amount_due, locale)}"
        for invoice in facts.open_invoices
    )


def _open_total(facts: DraftFacts, locale: str, channel: Channel) -> str | None:
    if any(invoice.amount_due.currency != facts.currency for invoice in facts.open_invoices):
        return None
    return money_text(total((invoice.amount_due for invoice in facts.open_invoices), facts.currency), locale)


def _instalment(facts: DraftFacts, locale: str, channel: Channel) -> str | None:
    offer = next((offer for offer in facts.allowed_offers if offer.type == "installments"), None)
    if offer is None or offer.value < 1:
        return None
    parts = facts.invoice.amount_due.split([1] * offer.value)
    return money_text(parts[0], locale) if parts[0] == parts[-1] else None


def _first_offer(facts: DraftFacts, read: Callable[[DraftFacts], str]) -> str | None:
    return read(facts) if facts.allowed_offers else None


_OF_INVOICE = frozenset({"invoice", "other_invoices", "payment_link", "update_card_link", "retry_date", "card"})
"""Facts that a message has only when it is about an invoice."""


def _slot(name: str, kind: SlotKind, label: str, fact: str, value: Callable[[DraftFacts, str, Channel], str | None]) -> Slot:
    channels: tuple[Channel, ...] = ("email",) if kind == "table" else ("email", "sms")
    if fact.partition(".")[0] not in _OF_INVOICE:
        return Slot(name, kind, label, fact, value, channels)
    return Slot(name, kind, label, fact, lambda f, lo, ch: value(f, lo, ch) if f.is_about_invoice else None, channels)


_ALL = (
    _slot("customer.first_name", "name", "First name", "customer.first_name", lambda f, lo, ch: presentable_name(f.customer.first_name)),
    _slot("customer.company", "name", "Company", "customer.company", lambda f, lo, ch: presentable_name(f.customer.company)),
    _slot("vendor.name", "name", "Our name", "vendor", lambda f, lo, ch: f.vendor),
    _slot("sender.name", "name", "Sender", "sender_name", lambda f, lo, ch: f.sender_name),
    _slot("support.email", "mail", "Support address", "support_email", lambda f, lo, ch: f.support_email),
    _slot("invoice.number", "reference", "Invoice number", "invoice.number", lambda f, lo, ch: f.invoice.number),
    _slot("invoice.amount_due", "money", "Amount due", "invoice.amount_due", lambda f, lo, ch: money_text(f.invoice.amount_due, lo)),
    _slot("invoice.total", "money", "Invoice total", "invoice.total",
          lambda f, lo, ch: money_text(f.invoice.total, lo) if f.invoice.total is not None else None),
    _slot("invoice.amount_paid", "money", "Already paid", "invoice.amount_paid",
          lambda f, lo, ch: money_text(f.invoice.amount_paid, lo) if f.invoice.amount_paid is not None else None),
    _slot("invoice.date", "date", "Invoice date", "invoice.date", lambda f, lo, ch: date_text(f.invoice.date, lo, _length(ch))),
    _slot("invoice.due_date", "date", "Due date", "invoice.due_date", lambda f, lo, ch: date_text(f.invoice.due_date, lo, _length(ch))),
    _slot("invoice.days_overdue", "number", "Days past due", "invoice.due_date",
          lambda f, lo, ch: number_text(f.days_overdue, lo) if f.days_overdue else None),
    _slot("invoices.open_list", "table", "List of open invoices", "other_invoices", _open_list),
    _slot("invoices.open_count", "number", "Number of open invoices", "other_invoices", lambda f, lo, ch: number_text(len(f.open_invoices), lo)),
    _slot("invoices.open_total", "money", "Sum of open invoices", "other_invoices", _open_total),
    _slot("links.pay", "link", "Payment page", "payment_link", lambda f, lo, ch: f.payment_link),
    _slot("links.update_card", "link", "Card page", "update_card_link", lambda f, lo, ch: f.update_card_link),
    _slot("links.opt_out", "link", "Opt-out page", "opt_out_link", lambda f, lo, ch: f.opt_out_link),
    _slot("retry.date", "date", "Next attempt", "retry_date",
          lambda f, lo, ch: date_text(f.retry_date, lo, _length(ch)) if f.retry_date is not None else None),
    _slot("card.brand", "card", "Card brand", "card.brand", lambda f, lo, ch: f.card.brand if f.card is not None else None),
    _slot("card.last4", "card", "Last four digits", "card.last4", lambda f, lo, ch: f.card.last4 if f.card is not None else None),
    _slot("card.exp", "card", "Card expiry", "card.exp", lambda f, lo, ch: f.card.exp if f.card is not None else None),
    _slot("service_impact.date", "date", "Date the service changes", "service_impact",
          lambda f, lo, ch: date_text(f.service_impact.date, lo, _length(ch)) if f.service_impact is not None else None),
    _slot("offer.label", "offer", "Offer", "allowed_offers", lambda f, lo, ch: _first_offer(f, lambda g: g.allowed_offers[0].label)),
    _slot("offer.code", "offer", "Offer code", "allowed_offers", lambda f, lo, ch: _first_offer(f, lambda g: g.allowed_offers[0].code)),
    _slot("offer.value", "number", "Offer value", "allowed_offers",
          lambda f, lo, ch: _first_offer(f, lambda g: number_text(g.allowed_offers[0].value, lo))),
    _slot("offer.installment_amount", "money", "One instalment", "allowed_offers", _instalment),
)  # fmt: skip
SLOTS: dict[str, Slot] = {slot.name: slot for slot in _ALL}


@dataclass(frozen=True, slots=True)
class Words:
    """A stretch of plain words of a template, at `start`."""

    start: int
    text: str


@dataclass(frozen=True, slots=True)
class Chip:
    """A slot in a template, at `start`; `text` is how it was written, `name` what it names."""

    start: int
    text: str
    name: str


Segment = Words | Chip


@dataclass(frozen=True, slots=True)
class SlotProblem:
    """Something in a template that cannot be rendered, with its span and the slot's name."""

    start: int
    end: int
    name: str
    reason: str


_CHIP = re.compile(r"\{\{\s*([A-Za-z_][\w.]*)\s*\}\}")
_STRAY = re.compile(r"\{\{.*?\}\}|\{\{|\}\}|\{%.*?%\}|\$\{[^}]*\}", re.DOTALL)


def parse(template: str) -> list[Segment]:
    """The template as words and chips, in order; joining their `text` gives the template back, byte for byte. Never raises."""
    segments: list[Segment] = []
    position = 0
    for found in _CHIP.finditer(template):
        if found.start() > position:
            segments.append(Words(position, template[position : found.start()]))
        segments.append(Chip(found.start(), found.group(0), found.group(1)))
        position = found.end()
    if position < len(template):
        segments.append(Words(position, template[position:]))
    return segments


def unparse(segments: Iterable[Segment]) -> str:
    """The template that these words and chips came from; a chip made by an editor is written in the one canonical form."""
    return "".join(segment.text or f"{{{{ {segment.name} }}}}" if isinstance(segment, Chip) else segment.text for segment in segments)


def chip(name: str) -> Chip:
    """A chip for the editor to put in. Raises KeyError for a name outside the table."""
    return Chip(0, f"{{{{ {SLOTS[name].name} }}}}", name)


def slots_used(template: str) -> tuple[str, ...]:
    """The names of the slots in a template, each once, in order of first use, known or not."""
    return tuple(dict.fromkeys(segment.name for segment in parse(template) if isinstance(segment, Chip)))


def facts_referenced(template: str) -> frozenset[str]:
    """The facts a template depends on, as paths in DraftFacts; unknown slots add nothing."""
    return frozenset(SLOTS[name].fact for name in slots_used(template) if name in SLOTS)


def slots_for(facts: DraftFacts, channel: Channel = "email") -> dict[str, str]:
    """The slots that can be filled in this case, with an example of what each will show in the customer's locale."""
    values = ((slot, slot.value(facts, facts.customer.locale, channel)) for slot in _ALL if channel in slot.channels)
    return {slot.name: value for slot, value in values if value is not None}


def problems(template: str, facts: DraftFacts | None = None, channel: Channel = "email") -> list[SlotProblem]:
    """Every slot that is unknown, misplaced, malformed, or (with `facts`) without its fact in this case. Never raises."""
    found: list[SlotProblem] = []
    for segment in parse(template):
        end = segment.start + len(segment.text)
        if isinstance(segment, Words):
            for stray in _STRAY.finditer(segment.text):
                start = segment.start + stray.start()
                found.append(SlotProblem(start, segment.start + stray.end(), stray.group(0)[:40], "is not a slot"))
            continue
        slot = SLOTS.get(segment.name)
        if slot is None:
            found.append(SlotProblem(segment.start, end, segment.name, "is not in the table of slots"))
        elif channel not in slot.channels:
            found.append(SlotProblem(segment.start, end, segment.name, f"has no place in a message by {channel}"))
        elif facts is not None and slot.value(facts, facts.customer.locale, channel) is None:
            found.append(SlotProblem(segment.start, end, segment.name, "has no fact in this case"))
    return found
