"""What we change at Chargebee: one call a function, each with an idempotency key, each made once. Only approved actions may reach this.

Raises Retryable (nothing happened), Terminal (refused; `Declined` for a payment) or Unknown (it may have happened: look it up with `reads`).
Chargebee remembers a key for 30 minutes; after that the same key would act again.
"""

from __future__ import annotations

from billing_ai.integrations.chargebee.writes.dunning import close_invoice, pause_dunning, resume_dunning, stop_dunning
from billing_ai.integrations.chargebee.writes.making import LONGEST_COLLECT_COMMENT, LONGEST_KEY, LONGEST_NOTE, Written
from billing_ai.integrations.chargebee.writes.money import (
    Collected,
    add_promotional_credit,
    collect_payment,
    create_credit_note,
    refund_invoice,
)
from billing_ai.integrations.chargebee.writes.records import (
    create_collect_now_page,
    create_comment,
    create_manage_payment_sources_page,
    create_update_payment_method_page,
    update_customer,
)
from billing_ai.integrations.chargebee.writes.site import create_webhook_endpoint, delete_webhook_endpoint, update_webhook_endpoint
from billing_ai.integrations.chargebee.writes.subscriptions import (
    cancel_for_items,
    create_usage,
    pause_subscription,
    remove_scheduled_cancellation,
    resume_subscription,
    update_for_items,
)

__all__ = [
    "LONGEST_COLLECT_COMMENT",
    "LONGEST_KEY",
    "LONGEST_NOTE",
    "Collected",
    "Written",
    "add_promotional_credit",
    "cancel_for_items",
    "close_invoice",
    "collect_payment",
    "create_collect_now_page",
    "create_comment",
    "create_credit_note",
    "create_manage_payment_sources_page",
    "create_update_payment_method_page",
    "create_usage",
    "create_webhook_endpoint",
    "delete_webhook_endpoint",
    "pause_dunning",
    "pause_subscription",
    "refund_invoice",
    "remove_scheduled_cancellation",
    "resume_dunning",
    "resume_subscription",
    "stop_dunning",
    "update_customer",
    "update_for_items",
    "update_webhook_endpoint",
]
