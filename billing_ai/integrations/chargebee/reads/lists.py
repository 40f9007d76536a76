"""Many records, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from billing_ai.integrations.chargebee.client import read_site
from billing_ai.integrations.chargebee.payment_resources import Comment, CreditNote, PaymentSource, PromotionalCredit, Transaction
from billing_ai.integrations.chargebee.reads.asking import checked, in_, is_, many, oldest_first, since
from billing_ai.integrations.chargebee.resources import Customer, Invoice, Subscription


def list_customers(*, updated_after: datetime | None = None, business_entity_id: str = "") -> Iterator[Customer]:
    """Customers, the longest unchanged first."""
    params = {**since("updated_at", updated_after), **is_("business_entity_id", business_entity_id), **oldest_first("updated_at")}
    return many("customer", lambda page: read_site().Customer.list(page), params, Customer.from_raw)


def find_customers(*, email: str = "", first_name: str = "", last_name: str = "", company: str = "") -> Iterator[Customer]:
    """Customers by their exact e-mail address, or by how a name begins. What is searched for is kept nowhere."""
    begins = {"first_name": first_name, "last_name": last_name, "company": company}
    params = {**is_("email", email), **{key: {"starts_with": value} for key, value in begins.items() if value}}
    return many("customer", lambda page: read_site().Customer.list(page), params, Customer.from_raw)


def list_subscriptions(
    *, customer_id: str = "", status_in: Sequence[str] = (), updated_after: datetime | None = None
) -> Iterator[Subscription]:
    """Subscriptions, the longest unchanged first."""
    params = {
        **is_("customer_id", customer_id),
        **in_("status", status_in),
        **since("updated_at", updated_after),
        **oldest_first("updated_at"),
    }
    return many("subscription", lambda page: read_site().Subscription.list(page), params, Subscription.from_raw)


def list_invoices(
    *,
    customer_id: str = "",
    subscription_id: str = "",
    status_in: Sequence[str] = (),
    dunning_status_in: Sequence[str] = (),
    updated_after: datetime | None = None,
    dated_after: datetime | None = None,
    newest_first: bool = False,
) -> Iterator[Invoice]:
    """Invoices. Oldest change first, or newest date first. `subscription_id` misses consolidated invoices; ask by customer for those."""
    params = {
        **is_("customer_id", customer_id),
        **is_("subscription_id", subscription_id),
        **in_("status", status_in),
        **in_("dunning_status", dunning_status_in),
        **since("updated_at", updated_after),
        **since("date", dated_after),
        **({"sort_by": {"desc": "date"}} if newest_first else oldest_first("updated_at")),
    }
    return many("invoice", lambda page: read_site().Invoice.list(page), params, Invoice.from_raw)


def list_transactions(
    *,
    customer_id: str = "",
    subscription_id: str = "",
    payment_source_id: str = "",
    status_in: Sequence[str] = (),
    type_in: Sequence[str] = (),
    dated_after: datetime | None = None,
    updated_after: datetime | None = None,
) -> Iterator[Transaction]:
    """Transactions, newest first."""
    params = {
        **is_("customer_id", customer_id),
        **is_("subscription_id", subscription_id),
        **is_("payment_source_id", payment_source_id),
        **in_("status", status_in),
        **in_("type", type_in),
        **since("date", dated_after),
        **since("updated_at", updated_after),
        "sort_by": {"desc": "date"},
    }
    return many("transaction", lambda page: read_site().Transaction.list(page), params, Transaction.from_raw)


def payments_for_invoice(invoice_id: str) -> Iterator[Transaction]:
    """Every payment that was tried for an invoice."""
    named = checked(invoice_id)
    return many(
        "transaction",
        lambda page: read_site().Transaction.payments_for_invoice(named, page),
        {},
        Transaction.from_raw,
        verb="payments_for_invoice",
    )


def list_payment_sources(*, customer_id: str) -> Iterator[PaymentSource]:
    """A customer's payment sources, newest first."""
    params = {**is_("customer_id", checked(customer_id)), "sort_by": {"desc": "updated_at"}}
    return many("payment_source", lambda page: read_site().PaymentSource.list(page), params, PaymentSource.from_raw)


def list_comments(*, entity_type: str, entity_id: str) -> Iterator[Comment]:
    """Internal notes on a record, newest first. `entity_type` as in `create_comment` (`invoice`, `customer`, `subscription` …)."""
    params = {"entity_type": entity_type, "entity_id": checked(entity_id), "sort_by": {"desc": "created_at"}}
    return many("comment", lambda page: read_site().Comment.list(page), params, Comment.from_raw)


def list_credit_notes(
    *, customer_id: str = "", reference_invoice_id: str = "", updated_after: datetime | None = None
) -> Iterator[CreditNote]:
    """Credit notes, newest first."""
    params = {
        **is_("customer_id", customer_id),
        **is_("reference_invoice_id", reference_invoice_id),
        **since("updated_at", updated_after),
        "sort_by": {"desc": "date"},
    }
    return many("credit_note", lambda page: read_site().CreditNote.list(page), params, CreditNote.from_raw)


def list_promotional_credits(*, customer_id: str) -> Iterator[PromotionalCredit]:
    """Credits given to a customer, and taken back."""
    return many(
        "promotional_credit",
        lambda page: read_site().PromotionalCredit.list(page),
        is_("customer_id", checked(customer_id)),
        PromotionalCredit.from_raw,
    )
