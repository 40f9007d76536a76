"""What we ask Chargebee. Nothing here changes anything; it runs under the key that may only read.

Lists are generators: one page is in memory at a time, whatever the size. Each call raises Retryable or Terminal
(`chargebee.resource_not_found` for an unknown id) and nothing else. Product Catalog 2.0 only.
"""

from __future__ import annotations

from billing_ai.integrations.chargebee.reads.catalogue import (
    contract_terms,
    list_coupons,
    list_features,
    list_item_prices,
    list_items,
    list_ramps,
    list_usages,
    retrieve_coupon,
    retrieve_item_price,
    subscription_entitlements,
)
from billing_ai.integrations.chargebee.reads.estimates import (
    estimate_cancel,
    estimate_pause,
    estimate_renewal,
    estimate_update,
    invoice_pdf_url,
)
from billing_ai.integrations.chargebee.reads.event_log import EVENT_LIST_LAG, events_to_reconcile, list_events, retrieve_event
from billing_ai.integrations.chargebee.reads.lists import (
    find_customers,
    list_comments,
    list_credit_notes,
    list_customers,
    list_invoices,
    list_payment_sources,
    list_promotional_credits,
    list_subscriptions,
    list_transactions,
    payments_for_invoice,
)
from billing_ai.integrations.chargebee.reads.records import (
    retrieve_credit_note,
    retrieve_customer,
    retrieve_hosted_page,
    retrieve_invoice,
    retrieve_payment_source,
    retrieve_subscription,
    retrieve_transaction,
)
from billing_ai.integrations.chargebee.reads.site import list_webhook_endpoints, site_configuration

__all__ = [
    "EVENT_LIST_LAG",
    "contract_terms",
    "estimate_cancel",
    "estimate_pause",
    "estimate_renewal",
    "estimate_update",
    "events_to_reconcile",
    "find_customers",
    "invoice_pdf_url",
    "list_comments",
    "list_coupons",
    "list_credit_notes",
    "list_customers",
    "list_events",
    "list_features",
    "list_invoices",
    "list_item_prices",
    "list_items",
    "list_payment_sources",
    "list_promotional_credits",
    "list_ramps",
    "list_subscriptions",
    "list_transactions",
    "list_usages",
    "list_webhook_endpoints",
    "payments_for_invoice",
    "retrieve_coupon",
    "retrieve_credit_note",
    "retrieve_customer",
    "retrieve_event",
    "retrieve_hosted_page",
    "retrieve_invoice",
    "retrieve_item_price",
    "retrieve_payment_source",
    "retrieve_subscription",
    "retrieve_transaction",
    "site_configuration",
    "subscription_entitlements",
]
