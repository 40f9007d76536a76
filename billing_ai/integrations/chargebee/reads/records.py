"""One record by its id."""

from __future__ import annotations

from billing_ai.integrations.chargebee.client import read_site
from billing_ai.integrations.chargebee.payment_resources import CreditNote, HostedPage, PaymentSource, Transaction
from billing_ai.integrations.chargebee.reads.asking import checked, one
from billing_ai.integrations.chargebee.resources import Customer, Invoice, Subscription


def retrieve_customer(customer_id: str) -> Customer:
    """A customer."""
    return one("customer.retrieve", "customer", lambda: read_site().Customer.retrieve(checked(customer_id)), Customer.from_raw)


def retrieve_subscription(subscription_id: str) -> Subscription:
    """A subscription."""
    return one(
        "subscription.retrieve", "subscription", lambda: read_site().Subscription.retrieve(checked(subscription_id)), Subscription.from_raw
    )


def retrieve_invoice(invoice_id: str) -> Invoice:
    """An invoice, with its lines, linked payments and dunning attempts."""
    return one("invoice.retrieve", "invoice", lambda: read_site().Invoice.retrieve(checked(invoice_id)), Invoice.from_raw)


def retrieve_transaction(transaction_id: str) -> Transaction:
    """A transaction."""
    return one(
        "transaction.retrieve", "transaction", lambda: read_site().Transaction.retrieve(checked(transaction_id)), Transaction.from_raw
    )


def retrieve_payment_source(payment_source_id: str) -> PaymentSource:
    """A payment source."""
    return one(
        "payment_source.retrieve",
        "payment_source",
        lambda: read_site().PaymentSource.retrieve(checked(payment_source_id)),
        PaymentSource.from_raw,
    )


def retrieve_credit_note(credit_note_id: str) -> CreditNote:
    """A credit note, with its lines."""
    return one("credit_note.retrieve", "credit_note", lambda: read_site().CreditNote.retrieve(checked(credit_note_id)), CreditNote.from_raw)


def retrieve_hosted_page(hosted_page_id: str) -> HostedPage:
    """A hosted page; its state says whether the customer has used it."""
    return one("hosted_page.retrieve", "hosted_page", lambda: read_site().HostedPage.retrieve(checked(hosted_page_id)), HostedPage.from_raw)
