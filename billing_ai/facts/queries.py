"""Questions that decisions ask of the facts. Reads only."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet, Subquery

from billing_ai.facts.models import Customer, Invoice, PaymentSource, Subscription, Transaction
from billing_ai.kernel import clock
from billing_ai.kernel.errors import StaleFacts
from billing_ai.kernel.ids import content_hash

FRESH_FOR = timedelta(minutes=15)
OPEN_INVOICE = ("payment_due", "not_paid", "posted")


def fresh_invoice(invoice_id: str, *, now: datetime | None = None) -> Invoice:
    """The invoice as fetched at most 15 minutes ago. Raises StaleFacts when it is missing or older."""
    return must_be_fresh(Invoice.objects.filter(pk=invoice_id).first(), invoice_id, now or clock.now())


def must_be_fresh(row: Invoice | None, invoice_id: str, now: datetime) -> Invoice:
    """The same of an invoice that the caller has read. Raises StaleFacts."""
    if row is None or now - row.fetched_at > FRESH_FOR:
        raise StaleFacts(f"invoice {invoice_id}")
    return row


def is_open(invoice: Invoice) -> bool:
    """Something is owed on it, and Chargebee would take a payment."""
    return invoice.status in OPEN_INVOICE and invoice.amount_due_minor > 0 and not invoice.is_deleted


def facts_hash(invoice_id: str, customer_id: str = "") -> str:
    """A hash over everything that, if it changed, would make an approval of something on this invoice wrong.

    Without an invoice it is about the customer as a whole; without either it rests on no fact of Chargebee's, and never changes.
    """
    invoice = Invoice.objects.filter(pk=invoice_id).first() if invoice_id else None
    whose = invoice.chargebee_customer_id if invoice else "" if invoice_id else customer_id
    customer = Customer.objects.filter(pk=whose).first() if whose else None
    return hash_of_facts(invoice, customer)


def hash_of_facts(invoice: Invoice | None, customer: Customer | None) -> str:
    """What `facts_hash` gives, of rows that the caller has read."""
    return content_hash(
        {
            "invoice": [
                invoice.pk,
                invoice.status,
                invoice.currency,
                invoice.amount_due_minor,
                str(invoice.due_on),
                invoice.is_deleted,
            ]
            if invoice
            else None,
            "customer": [
                customer.pk,
                customer.locale,
                customer.has_email,
                customer.has_phone,
                customer.email_consent,
                customer.sms_consent,
                customer.primary_payment_source_id,
                customer.is_deleted,
            ]
            if customer
            else None,
        }
    )


def open_invoices(customer_id: str) -> list[Invoice]:
    """What the customer owes, oldest first."""
    return list(questions(customer_id)["open_invoices"])


def payments(customer_id: str) -> list[Transaction]:
    """Every payment of the customer, tried or done, newest first, at most 200."""
    return list(questions(customer_id)["payments"])


def subscriptions(customer_id: str) -> list[Subscription]:
    """The customer's subscriptions, newest first."""
    return list(questions(customer_id)["subscriptions"])


def questions(customer_id: str | Subquery) -> dict[str, QuerySet[Any]]:
    """The three above as queries, for whoever asks for everything at once."""
    of_customer = {"chargebee_customer_id": customer_id, "is_deleted": False}
    return {
        "open_invoices": Invoice.objects.filter(status__in=OPEN_INVOICE, amount_due_minor__gt=0, **of_customer).order_by("due_on", "pk"),
        "payments": Transaction.objects.filter(kind="payment", **of_customer).order_by("-happened_at", "-pk")[:200],
        "subscriptions": Subscription.objects.filter(**of_customer).order_by("-started_at"),
    }


def payment_sources(customer_id: str) -> list[PaymentSource]:
    """The customer's payment sources."""
    return list(PaymentSource.objects.filter(chargebee_customer_id=customer_id, is_deleted=False).order_by("pk"))
