"""What a message about one invoice, or about the customer as a whole, may say: the facts, as values. They live in memory only and are never stored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from billing_ai.kernel.money import Money, exponent

OfferType = Literal["percent", "installments"]
Channel = Literal["email", "sms"]


class BadRecord(ValueError):
    """A record of facts lacks a field or holds one of the wrong form; the message names it."""


@dataclass(frozen=True, slots=True)
class Customer:
    """Who is written to. `first_name` is None when unknown or not presentable; `locale` is a BCP 47 tag."""

    first_name: str | None
    company: str | None
    locale: str
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class LineItem:
    """One line of the invoice; the description is text the customer may have influenced."""

    description: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Invoice:
    """The invoice the message is about, or another open one of the same customer."""

    id: str
    number: str
    amount_due: Money
    date: dt.date
    due_date: dt.date
    total: Money | None = None
    amount_paid: Money | None = None
    line_items: tuple[LineItem, ...] = ()


def no_invoice(currency: str, today: dt.date) -> Invoice:
    """What stands in the place of the invoice in a message that is about none: nothing of it can be named."""
    return Invoice("", "", Money(0, currency), today, today)


@dataclass(frozen=True, slots=True)
class Offer:
    """What may be offered in this case, and nothing besides: `value` is per cent off, or the number of equal instalments."""

    code: str
    label: str
    type: OfferType
    value: int


@dataclass(frozen=True, slots=True)
class Card:
    """The card on file as the customer knows it. Never the number; `exp` is MM/YY or YYYY-MM."""

    brand: str
    last4: str
    exp: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceImpact:
    """What will really happen to the service, and when: the only ground on which a message may speak of a deadline."""

    type: str
    date: dt.date


@dataclass(frozen=True, slots=True)
class DraftFacts:
    """Everything a message may state. `untrusted` holds customer-written text, kept only to recognise its echoes."""

    customer: Customer
    vendor: str
    invoice: Invoice
    payment_link: str
    update_card_link: str
    sender_name: str
    support_email: str
    today: dt.date
    allowed_offers: tuple[Offer, ...] = ()
    other_invoices: tuple[Invoice, ...] = ()
    retry_date: dt.date | None = None
    card: Card | None = None
    service_impact: ServiceImpact | None = None
    opt_out_link: str | None = None
    says_stop: bool = False
    """Whether a text message ends with how to get no more of them."""
    signature: str = ""
    """One more line of the vendor's own under the sender's name, in mails."""
    untrusted: tuple[str, ...] = ()

    @property
    def is_about_invoice(self) -> bool:
        """False: the message is about the customer as a whole, and no amount, invoice or payment page belongs in it."""
        return bool(self.invoice.id)

    @property
    def currency(self) -> str:
        """The ISO 4217 code every amount of the message must be in."""
        return self.invoice.amount_due.currency

    @property
    def days_overdue(self) -> int:
        """Whole days from the due date to today; 0 when not yet due."""
        return max(0, (self.today - self.invoice.due_date).days)

    @property
    def open_invoices(self) -> tuple[Invoice, ...]:
        """This invoice and the customer's other open ones, oldest due first."""
        own = (self.invoice,) if self.is_about_invoice else ()
        return tuple(sorted((*own, *self.other_invoices), key=lambda invoice: (invoice.due_date, invoice.number)))


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value:
        raise BadRecord(f"{key} must be text, not {value!r}")
    return value


def _maybe_text(record: Mapping[str, Any], key: str) -> str | None:
    return _text(record, key) if record.get(key) else None


def _day(record: Mapping[str, Any], key: str) -> dt.date:
    try:
        return dt.date.fromisoformat(_text(record, key))
    except ValueError as error:
        raise BadRecord(f"{key} must be a date: {error}") from error


def _maybe_day(record: Mapping[str, Any], key: str) -> dt.date | None:
    return _day(record, key) if record.get(key) else None


def _minor(record: Mapping[str, Any], key: str, currency: str) -> Money:
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRecord(f"{key} must be whole minor units, not {value!r}")
    return Money(value, currency)


def _maybe_minor(record: Mapping[str, Any], key: str, currency: str) -> Money | None:
    return _minor(record, key, currency) if record.get(key) is not None else None


def _rows(record: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    rows = record.get(key) or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadRecord(f"{key} must be a list of objects")
    return rows


def _invoice(record: Mapping[str, Any]) -> Invoice:
    currency = _text(record, "currency")
    exponent(currency)
    return Invoice(
        id=_text(record, "id"),
        number=_text(record, "number"),
        amount_due=_minor(record, "amount_due_minor", currency),
        date=_day(record, "date"),
        due_date=_day(record, "due_date"),
        total=_maybe_minor(record, "total_minor", currency),
        amount_paid=_maybe_minor(record, "amount_paid_minor", currency),
        line_items=tuple(LineItem(_text(row, "description"), _minor(row, "amount_minor", currency)) for row in _rows(record, "line_items")),
    )


def _offer(record: Mapping[str, Any]) -> Offer:
    kind = record.get("type")
    value = record.get("value")
    if kind not in ("percent", "installments") or isinstance(value, bool) or not isinstance(value, int):
        raise BadRecord(f"an offer needs a type of percent or installments and a whole value, not {kind!r} and {value!r}")
    return Offer(code=_text(record, "code"), label=_text(record, "label"), type=kind, value=value)


def _part(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = record.get(key)
    if not isinstance(value, dict):
        raise BadRecord(f"{key} must be an object")
    return value


def from_record(record: Mapping[str, Any]) -> DraftFacts:
    """Facts from the `context` of a labelled draft record.

    Raises BadRecord, which names the field, and UnknownCurrency.
    """
    customer = _part(record, "customer")
    card = record.get("card")
    impact = record.get("service_impact")
    notes = customer.get("notes")
    return DraftFacts(
        customer=Customer(
            first_name=_maybe_text(customer, "first_name"),
            company=_maybe_text(customer, "company"),
            locale=_text(customer, "locale"),
            time_zone=_maybe_text(customer, "time_zone") or "UTC",
        ),
        vendor=_text(record, "vendor"),
        invoice=_invoice(_part(record, "invoice")),
        payment_link=_text(record, "payment_link"),
        update_card_link=_text(record, "update_card_link"),
        sender_name=_text(record, "sender_name"),
        support_email=_text(record, "support_email"),
        today=_day(record, "today"),
        allowed_offers=tuple(_offer(row) for row in _rows(record, "allowed_offers")),
        other_invoices=tuple(_invoice(row) for row in _rows(record, "other_invoices")),
        retry_date=_maybe_day(record, "retry_date"),
        card=Card(_text(card, "brand"), _text(card, "last4"), _maybe_text(card, "exp")) if isinstance(card, dict) else None,
        service_impact=ServiceImpact(_text(impact, "type"), _day(impact, "date")) if isinstance(impact, dict) else None,
        opt_out_link=_maybe_text(record, "opt_out_link"),
        untrusted=(notes,) if isinstance(notes, str) and notes else (),
    )
