"""The facts as last fetched, to look at."""

from __future__ import annotations

from django.contrib import admin

from billing_ai.facts.models import Customer, Invoice, PaymentSource, Subscription, Transaction
from billing_ai.tables.read_only import ReadOnlyAdmin, choice_filter


@admin.register(Customer)
class CustomerAdmin(ReadOnlyAdmin):
    """No names here: they are fetched when they are needed."""

    list_display = ("chargebee_customer_id", "tier", "country", "locale", "has_email", "has_phone", "customer_since", "fetched_at")
    search_fields = ("chargebee_customer_id",)
    search_help_text = "Whole customer id"
    ordering = ("chargebee_customer_id",)


@admin.register(Invoice)
class InvoiceAdmin(ReadOnlyAdmin):
    """Invoices in minor units."""

    list_display = (
        "chargebee_invoice_id",
        "chargebee_customer_id",
        "status",
        "currency",
        "amount_due_minor",
        "due_on",
        "dunning_status",
        "fetched_at",
    )
    search_fields = ("chargebee_invoice_id", "chargebee_customer_id")
    search_help_text = "Whole invoice number or customer id"
    list_filter = (
        choice_filter(
            "status", "status", {key: key.replace("_", " ") for key in ("paid", "posted", "payment_due", "not_paid", "voided", "pending")}
        ),
    )
    ordering = ("-chargebee_invoice_id",)


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    """Subscriptions with what they bring in a month."""

    list_display = (
        "chargebee_subscription_id",
        "chargebee_customer_id",
        "status",
        "currency",
        "mrr_minor",
        "current_term_end_at",
        "fetched_at",
    )
    search_fields = ("chargebee_subscription_id", "chargebee_customer_id")
    search_help_text = "Whole subscription or customer id"
    ordering = ("chargebee_subscription_id",)


@admin.register(Transaction)
class TransactionAdmin(ReadOnlyAdmin):
    """Payments and refunds; an instrument is known by its keyed hash only."""

    list_display = (
        "chargebee_transaction_id",
        "chargebee_customer_id",
        "kind",
        "status",
        "currency",
        "amount_minor",
        "happened_at",
        "decline_category",
    )
    search_fields = ("chargebee_transaction_id", "chargebee_customer_id")
    search_help_text = "Whole transaction or customer id"
    list_filter = (
        choice_filter(
            "status", "status", {key: key.replace("_", " ") for key in ("success", "failure", "in_progress", "timeout", "voided")}
        ),
    )
    ordering = ("chargebee_transaction_id",)


@admin.register(PaymentSource)
class PaymentSourceAdmin(ReadOnlyAdmin):
    """Cards and accounts, without their numbers."""

    list_display = ("chargebee_payment_source_id", "chargebee_customer_id", "kind", "status", "network", "funding", "expires_on")
    search_fields = ("chargebee_payment_source_id", "chargebee_customer_id")
    search_help_text = "Whole payment source or customer id"
    ordering = ("chargebee_payment_source_id",)
