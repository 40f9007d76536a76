"""The live facts of one case, personal data included, for rendering and for the second look. In memory only."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Q

from approvals import brand, states
from approvals.drafts.facts import Card, Customer, DraftFacts, Invoice, no_invoice
from approvals.policy import consent
from billing_ai.facts import models as facts
from billing_ai.facts.queries import OPEN_INVOICE
from billing_ai.integrations.chargebee import reads
from billing_ai.integrations.chargebee.payment_resources import PaymentSource
from billing_ai.integrations.chargebee.resources import Customer as LiveCustomer
from billing_ai.integrations.chargebee.resources import Invoice as LiveInvoice
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Terminal

if TYPE_CHECKING:
    from approvals.models import Proposal

# What a preview shows in place of the links, which are made only when the message is sent. As long as Chargebee's own are, 70 to 80 characters, so
# that a text message takes as many segments as it is seen to take.
PREVIEW_PAY_LINK = "https://pay.example/preview-of-the-payment-page/the-real-link-is-made-at-send"
PREVIEW_CARD_LINK = "https://pay.example/preview-of-the-card-page/the-real-link-is-made-when-sent"
_NO_MONEY = "USD"
"""The currency of the nothing that is owed in a message about no invoice; it is never shown."""


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """Everything that a message or a second look needs. Holds names and addresses: never store it."""

    customer: LiveCustomer
    invoice: LiveInvoice | None
    """None where the case is about the customer as a whole."""
    draft: DraftFacts

    @property
    def email(self) -> str:
        """Where mail goes; empty when the customer has none."""
        return self.customer.email

    @property
    def phone(self) -> str:
        """Where a text message goes, as Chargebee has it; empty when there is none."""
        return self.customer.phone

    def with_links(self, pay: str, update_card: str) -> DraftFacts:
        """The facts with the real links in place of the preview's."""
        return replace(self.draft, payment_link=pay, update_card_link=update_card)

    def with_retry(self, at: datetime | None) -> DraftFacts:
        """The facts with the day of the next try, as it is where the customer is: eight in the morning in Tokyo is still yesterday in UTC."""
        return replace(self.draft, retry_date=_day_in(self.draft.customer.time_zone, at))


def load(
    customer_id: str, invoice_id: str, *, proposal: Proposal | None = None, invoice: LiveInvoice | None = None, zone: str | None = None
) -> CaseFacts:
    """Fetch what the case is about, now. Raises Retryable when Chargebee is away, Terminal when the invoice or the customer is gone.

    Without an invoice it is about the customer as a whole. `invoice` is the invoice as it was fetched a moment ago, `zone` the customer's stored time zone: neither is then asked for again.
    """
    if not invoice_id:
        return _whole(reads.retrieve_customer(customer_id), zone)
    invoice = reads.retrieve_invoice(invoice_id) if invoice is None else invoice
    customer = reads.retrieve_customer(customer_id)
    others = [
        one
        for one in itertools.islice(reads.list_invoices(customer_id=customer_id, status_in=OPEN_INVOICE), 20)
        if one.id != invoice.id and one.amount_due_minor > 0 and one.currency == invoice.currency
    ]
    if others:
        quiet = _left_in_peace(customer_id)
        others = [one for one in others if one.id not in quiet]
    there = _zone(customer_id, zone)
    retry_on = _day_in(there, planned_retry(proposal)) if proposal is not None else None
    card = _card(customer)
    return CaseFacts(customer, invoice, draft_facts(customer, invoice, others, card=card, retry_on=retry_on, zone=there))


def _whole(customer: LiveCustomer, zone: str | None) -> CaseFacts:
    return CaseFacts(customer, None, draft_facts(customer, None, [], card=None, retry_on=None, zone=_zone(customer.id, zone)))


def _zone(customer_id: str, zone: str | None) -> str:
    if zone is None:
        zone = facts.Customer.objects.filter(pk=customer_id).values_list("time_zone", flat=True).first()
    return zone or "UTC"


def draft_facts(
    customer: LiveCustomer,
    invoice: LiveInvoice | None,
    others: list[LiveInvoice],
    *,
    card: PaymentSource | None,
    retry_on: date | None,
    zone: str,
) -> DraftFacts:
    """The facts in the form that rendering and verifying take. No invoice: the message is about the customer as a whole."""
    today = clock.now().astimezone(ZoneInfo(zone)).date()
    house = brand.current()
    return DraftFacts(
        customer=Customer(
            first_name=customer.first_name or None, company=customer.company or None, locale=customer.locale or "en", time_zone=zone
        ),
        vendor=settings.VENDOR_NAME,
        invoice=_invoice(invoice) if invoice is not None else no_invoice(_NO_MONEY, today),
        payment_link=PREVIEW_PAY_LINK,
        update_card_link=PREVIEW_CARD_LINK,
        opt_out_link=consent.unsubscribe_url(customer.id),
        says_stop=consent.says_stop(),
        sender_name=house.sender_name or settings.VENDOR_NAME,
        signature=house.signature,
        support_email=settings.SUPPORT_EMAIL,
        today=today,
        other_invoices=tuple(_invoice(one) for one in others),
        retry_date=retry_on,
        card=Card(card.card_brand, card.card_last4, f"{card.expiry_month:02}/{card.expiry_year % 100:02}")
        if card and card.card_last4
        else None,
        untrusted=tuple(text for text in (customer.company, customer.first_name, customer.last_name) if text),
    )


def _day_in(zone: str, at: datetime | None) -> date | None:
    return at.astimezone(ZoneInfo(zone or "UTC")).date() if at is not None else None


def planned_retry(proposal: Proposal) -> datetime | None:
    """When the retry is to be made that stands beside this proposal in the same case; None when none is planned."""
    return retry_among(type(proposal).objects.filter(case_id=proposal.case_id, action="collect_payment"))


def retry_among(proposals: Iterable[Proposal]) -> datetime | None:
    """When the retry is to be made that is planned among these proposals of one case; of several the oldest proposal's."""
    planned = [one for one in proposals if one.action == "collect_payment" and one.status in (*states.FOR_PEOPLE, states.APPROVED)]
    return min(planned, key=lambda one: one.pk).not_before if planned else None


def _left_in_peace(customer_id: str) -> set[str]:
    """Invoices that no message may remind of, not even in a list of what else is open: disputed, promised or put aside."""
    from approvals.models import Case

    held = Q(status__in=(Case.DISPUTED, Case.PROMISED)) | Q(snoozed_until__gt=clock.now())
    cases = Case.objects.filter(held, chargebee_customer_id=customer_id, status__in=Case.ACTIVE)
    return set(cases.values_list("chargebee_invoice_id", flat=True))


def _card(customer: LiveCustomer) -> PaymentSource | None:
    if not customer.primary_payment_source_id:
        return None
    try:
        return reads.retrieve_payment_source(customer.primary_payment_source_id)
    except Terminal:
        return None  # taken off meanwhile: the message then cannot name a card


def _invoice(invoice: LiveInvoice) -> Invoice:
    issued = clock.utc_date(invoice.issued_at) if invoice.issued_at else clock.utc_date(clock.now())
    return Invoice(
        id=invoice.id,
        number=invoice.id,
        amount_due=invoice.amount_due,
        date=issued,
        due_date=clock.utc_date(invoice.due_at) if invoice.due_at else issued,
    )
