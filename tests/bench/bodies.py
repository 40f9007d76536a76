"""Webhook bodies of about 6 KB, each under an id of its own, made without parsing anything anew."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

SIZE = 6_000
_MARK = "EVENT-ID-OF-THE-BENCH"


def chargebee_event(event_id: str = _MARK, event_type: str = "payment_failed") -> dict[str, Any]:
    """As Chargebee sends it: customer, subscription, an invoice with its lines, and the failed transaction."""
    line = {
        "id": "li_AzZlGWUF5ZNnv1Oo", "date_from": 1_770_000_000, "date_to": 1_772_419_200, "unit_amount": 4900, "quantity": 1, "amount": 4900,
        "pricing_model": "per_unit", "is_taxed": True, "tax_amount": 931, "tax_rate": 19.0, "object": "line_item", "subscription_id": "sub_1",
        "customer_id": "cus_1", "description": "Pro, monthly", "entity_type": "plan_item_price", "entity_id": "pro-EUR-Monthly",
    }  # fmt: skip
    content: dict[str, Any] = {
        "customer": {
            "id": "cus_1", "first_name": "Zsófia", "last_name": "Kovács", "email": "zsofia@example.com", "locale": "hu", "auto_collection": "on",
            "net_term_days": 0, "created_at": 1_700_000_000, "resource_version": 1_770_000_000_001, "object": "customer",
            "billing_address": {"line1": "Fő utca 1", "city": "Budapest", "country": "HU", "zip": "1011", "object": "billing_address"},
        },
        "subscription": {
            "id": "sub_1", "customer_id": "cus_1", "status": "active", "currency_code": "EUR", "mrr": 4900, "current_term_end": 1_772_419_200,
            "resource_version": 1_770_000_000_002, "object": "subscription",
            "subscription_items": [{"item_price_id": "pro-EUR-Monthly", "item_type": "plan", "quantity": 1, "unit_price": 4900}],
        },
        "invoice": {
            "id": "INV-1", "customer_id": "cus_1", "subscription_id": "sub_1", "status": "payment_due", "currency_code": "EUR", "total": 5831,
            "amount_due": 5831, "date": 1_770_000_000, "due_date": 1_770_000_000, "resource_version": 1_770_000_000_003, "object": "invoice",
            "line_items": [], "linked_payments": [{"txn_id": "txn_1", "txn_status": "failure", "txn_amount": 5831, "applied_amount": 5831}],
        },
        "transaction": {
            "id": "txn_1", "customer_id": "cus_1", "gateway": "stripe", "type": "payment", "status": "failure", "amount": 5831,
            "currency_code": "EUR", "error_code": "card_declined", "resource_version": 1_770_000_000_004, "object": "transaction",
            "linked_invoices": [{"invoice_id": "INV-1", "applied_amount": 5831, "invoice_total": 5831, "invoice_status": "payment_due"}],
        },
    }  # fmt: skip
    event = {
        "id": event_id, "occurred_at": 1_770_000_000, "source": "scheduled_job", "object": "event", "api_version": "v2",
        "event_type": event_type, "webhook_status": "scheduled", "content": content,
    }  # fmt: skip
    while len(json.dumps(event)) < SIZE - 200:
        content["invoice"]["line_items"].append(line)
    return event


def stripe_event(event_id: str = _MARK) -> dict[str, Any]:
    """A Stripe event of the same size, about a customer (dj-stripe syncs it from the event itself)."""
    customer: dict[str, Any] = {
        "id": "cus_bench0000000001", "object": "customer", "balance": 0, "created": 1_700_000_000, "currency": "eur", "default_source": None,
        "delinquent": False, "description": "", "email": "zsofia@example.com", "invoice_prefix": "ABCDEF01", "livemode": False, "metadata": {},
        "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None}, "name": "Zsófia Kovács", "phone": None,
        "preferred_locales": ["hu"], "shipping": None, "tax_exempt": "none", "address": None, "discount": None,
    }  # fmt: skip
    event = {
        "id": event_id, "object": "event", "api_version": "2020-08-27", "created": 1_770_000_000, "type": "customer.updated", "livemode": False,
        "pending_webhooks": 1, "request": {"id": None, "idempotency_key": None},
        "data": {"object": customer, "previous_attributes": {"email": "old@example.com"}},
    }  # fmt: skip
    number = 0
    while len(json.dumps(event)) < SIZE - 60:
        number += 1
        customer["metadata"][f"note_{number:03d}"] = "x" * 50
    return event


class EventBodies:
    """Requests with a fresh event id each; a Stripe event is signed as Stripe does it."""

    SECRET = "whsec_of_the_bench"

    def __init__(self, kind: str, prefix: str) -> None:
        whole = json.dumps(chargebee_event() if kind == "chargebee" else stripe_event()).encode()
        self.before, self.after = whole.split(_MARK.encode())
        self.kind, self.prefix, self.number = kind, prefix, 0

    def request(self, path: str, headers: dict[str, str]) -> bytes:
        """One HTTP request, head and body."""
        self.number += 1
        body = self.before + f"{self.prefix}{self.number:08d}".encode() + self.after
        lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        if self.kind == "stripe":
            at = int(time.time())
            mark = hmac.new(self.SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
            lines.append(f"Stripe-Signature: t={at},v1={mark}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body
