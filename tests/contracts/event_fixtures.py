"""An event of every type that Chargebee has, as each Product Catalog and each version of its API sends it.

The simulator's `event_content.json` says which resources each type carries, as Chargebee documents it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.contracts.test_chargebee_events import envelope

CONTENT_OF: dict[str, list[str]] = json.loads(
    (Path(__file__).resolve().parents[2] / "billing_ai" / "simulator" / "event_content.json").read_text()
)
"""Event type → the kinds of resource in its content."""
_LISTS = {"invoices", "credit_notes", "unbilled_charges", "subscriptions", "impacted_subscriptions"}
_LINE = {"id": "li_1", "subscription_id": "sub_1", "amount": 4_900, "quantity": 1, "date_from": 1_770_000_000, "date_to": 1_772_419_200}
_INVOICE = {
    "id": "inv_1", "customer_id": "cus_1", "subscription_id": "sub_1", "status": "payment_due", "dunning_status": "in_progress",
    "currency_code": "EUR", "total": 4_900, "amount_due": 4_900, "object": "invoice",
}  # fmt: skip
_SUBSCRIPTION = {"id": "sub_1", "customer_id": "cus_1", "status": "active", "object": "subscription"}
_COMMON: dict[str, dict[str, Any]] = {
    "customer": {"id": "cus_1", "email": "ada@example.com", "auto_collection": "on", "resource_version": 1_770_000_000_001},
    "transaction": {"id": "txn_1", "customer_id": "cus_1", "status": "failure", "linked_invoices": [{"invoice_id": "inv_1"}]},
    "payment_source": {"id": "pm_1", "customer_id": "cus_1", "type": "card", "status": "valid"},
    "card": {"payment_source_id": "pm_1", "customer_id": "cus_1", "status": "valid", "last4": "1881"},
    "credit_note": {"id": "cn_1", "customer_id": "cus_1", "reference_invoice_id": "inv_1"},
}
ITEMS: dict[str, dict[str, Any]] = {
    **_COMMON,
    "subscription": _SUBSCRIPTION
    | {
        "subscription_items": [{"item_price_id": "pro-EUR-Monthly", "item_type": "plan", "quantity": 1}],
        "resource_version": 1_770_000_000_002,
    },
    "invoice": _INVOICE
    | {"line_items": [_LINE | {"entity_type": "plan_item_price", "entity_id": "pro-EUR-Monthly"}], "resource_version": 1_770_000_000_003},
}
"""Product Catalog 2.0."""
PLANS: dict[str, dict[str, Any]] = {
    **_COMMON,
    "customer": {"id": "cus_1", "email": "ada@example.com", "auto_collection": "on", "card_status": "valid"},
    "subscription": _SUBSCRIPTION | {"plan_id": "pro", "plan_quantity": 1, "addons": [{"id": "seats", "quantity": 3}]},
    "invoice": _INVOICE | {"line_items": [_LINE | {"entity_type": "plan", "entity_id": "pro"}]},
}
"""Product Catalog 1.0: plans and add-ons, and nothing has a version."""
PLANS_V1 = PLANS | {
    "invoice": {
        "id": "inv_1", "customer_id": "cus_1", "subscription_id": "sub_1", "status": "payment_due", "amount": 4_900, "start_date": 1_770_000_000,
        "line_items": [{"date_from": 1_770_000_000, "type": "charge", "description": "Pro", "entity_type": "plan", "entity_id": "pro"}],
        "linked_transactions": [{"txn_id": "txn_1", "applied_amount": 0}],
    },
    "transaction": {"id": "txn_1", "subscription_id": "sub_1", "customer_id": "cus_1", "invoice_id": "inv_1", "status": "failure"},
}  # fmt: skip
"""Version 1 of the API: it knew plans only."""
FORMS: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {"items": ("v2", ITEMS), "plans": ("v2", PLANS), "v1": ("v1", PLANS_V1)}
"""Name → the envelope's `api_version` and its resources."""


def event_of(event_type: str, form: str, event_id: str = "", **fields: Any) -> dict[str, Any]:
    """The event in one of the FORMS. `fields` replace parts of the envelope."""
    api_version, known = FORMS[form]
    content: dict[str, Any] = {}
    for kind in CONTENT_OF[event_type]:
        resource = known.get(kind, {"id": f"{kind}_1", "object": kind, "customer_id": "cus_1"})
        name = f"{kind}s"
        content[name if name in _LISTS and kind not in known else kind] = [resource] if name in _LISTS and kind not in known else resource
    return envelope(event_type, content, id=event_id or f"ev_{form}_{event_type}"[:100], api_version=api_version, **fields)
