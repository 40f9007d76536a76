"""One example for each body of the schema: made-up ids, the shapes that a reader will meet."""

from __future__ import annotations

from typing import Any

_AT = "2026-11-24T09:00:00Z"
_ID, _ID2 = "3b1f8c1e-6f3a-4d5c-9a54-5f0c2f6f3c11", "0d8a3a52-0b5e-4f6e-8f59-4f6a5a1b7d10"
_HASH, _HASH2 = (
    "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
    "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
)

_LINK: dict[str, Any] = {
    "system": "salesforce",
    "crm_id": "0015g00000XyZ12AAB",
    "owner": "0055g000003abcD",
    "tier": "gold",
    "updated_at": _AT,
}
_SCORE: dict[str, Any] = {
    "scored_at": _AT, "churn_30_days": 0.08, "churn_60_days": 0.15, "churn_90_days": 0.22, "churn_90_days_a_month_ago": 0.12, "health": 61.5,
    "health_billing": 48.0, "health_support": 70.0, "health_product": None, "band": "high", "trend": "rising", "segment": "growth",
    "raised_by": [
        {"signal": "failed_payments_90d", "sentence": "Failed payments in 90 days: 2 (before: 0; customers like this: 0)", "unit": "payments",
         "source": "Chargebee", "value": 2, "before": 0, "peers": 0},
    ],
    "lowered_by": [], "unknown": ["events_30d"], "model": "scorecard-1", "origin": "A readable scorecard: there is no history to learn from yet.",
}  # fmt: skip
for _reason in _SCORE["raised_by"]:
    _reason.pop("source")
_CASE: dict[str, Any] = {
    "id": _ID, "kind": "dunning", "agent": "dunning", "status": "open", "customer_id": "AzZlw4SxHs1", "invoice_id": "INV-1042", "amount_due_minor": 4900,
    "recovered_minor": 0, "currency": "EUR", "due_on": "2026-11-20", "category": "insufficient_funds", "headline": "Card declined for want of funds",
    "next_action": "Write a friendly mail", "likelihood": 0.54, "reasons": [{"code": "late_payer", "sentence": "Two of six came in late.", "weight": 0.6}],
    "escalated_to_lead": False, "broken_promise": False, "snoozed_until": None, "opened_at": _AT, "closed_at": None, "proposal_ids": [_ID2],
    "promises": [], "outcomes": [],
}  # fmt: skip
_OPEN_CASE = {name: _CASE[name] for name in ("id", "kind", "status", "invoice_id", "amount_due_minor", "currency", "next_action")}
_CUSTOMER: dict[str, Any] = {
    "id": "AzZlw4SxHs1", "business_entity_id": "", "country": "DE", "tier": "growth", "customer_since": "2024-03-01T00:00:00Z", "crm": [_LINK],
    "score": _SCORE, "open_cases": [_OPEN_CASE], "next_action": "Write a friendly mail",
}  # fmt: skip
_PROPOSAL: dict[str, Any] = {
    "id": _ID2, "case_id": _ID, "customer_id": "AzZlw4SxHs1", "invoice_id": "INV-1042", "agent": "dunning", "action": "send_message", "step": "message:1",
    "status": "waiting", "amount_minor": 0, "currency": "EUR", "role_needed": "specialist", "approvals_needed": 1, "content_hash": _HASH,
    "facts_hash": _HASH2, "words": None, "reasons": [],
    "checks": [{"rule": "words.origin", "outcome": "person", "sentence": "These words are no built-in text, so a person reads them before they go out."}],
    "decisions": [], "execution": None, "created_at": _AT, "expires_at": "2026-11-27T09:00:00Z",
    "finished_at": None,
}  # fmt: skip
_APPROVED: dict[str, Any] = {
    **_PROPOSAL, "status": "approved", "decisions": [{"kind": "approve", "by": "sam", "role": "specialist", "reason_code": "", "at": _AT}],
    "execution": {"status": "waiting", "not_before": "2026-11-24T09:05:00Z", "finished_at": None},
}  # fmt: skip
_BATCH: dict[str, Any] = {
    "stored": 1,
    "waiting": 0,
    "known": 0,
    "refused": 0,
    "items": [{"index": 0, "id": "ev-1", "status": "stored", "errors": []}],
}
_REF = {"system": "chargebee", "id": "AzZlw4SxHs1"}
_ENDPOINT: dict[str, Any] = {
    "id": _ID, "url": "https://crm.example.com/hooks/billing", "kinds": ["case.opened", "case.settled", "score.band_changed"], "is_active": True,
    "stopped_reason": "", "created_at": _AT,
}  # fmt: skip
_CHANGE: dict[str, Any] = {
    "id": "318", "kind": "score.band_changed", "happened_at": _AT, "cursor": "317",
    "data": {"customer_id": "AzZlw4SxHs1", "band_before": "medium", "band": "high", "churn_90_days": 0.22, "health": 61.5, "scored_at": _AT},
}  # fmt: skip

ASKED: dict[str, Any] = {
    "usage": {"events": [{"id": "ev-1", "customer": _REF, "name": "report.exported", "quantity": 3, "unit": "reports", "occurred_at": _AT}]},
    "tickets": {"tickets": [{"id": "T-7", "customer": _REF, "status": "open", "priority": "high", "tone": "negative", "subject": "Export fails", "opened_at": _AT, "changed_at": _AT}]},
    "notes": {"notes": [{"id": "N-1", "customer": _REF, "text": "Wants to talk about seats.", "author": "0055g000003abcD", "written_at": _AT}]},
    "replies": {"replies": [{"id": "R-1", "customer": _REF, "channel": "email", "text": "We will pay on Friday.", "written_at": _AT}]},
    "links": {"links": [{"customer_id": "AzZlw4SxHs1", "system": "salesforce", "crm_id": "0015g00000XyZ12AAB", "owner": "0055g000003abcD", "tier": "gold"}]},
    "link": {"crm_id": "0015g00000XyZ12AAB", "owner": "0055g000003abcD", "tier": "gold"},
    "consent": {"channel": "email", "granted": False, "said_at": _AT},
    "approve": {"content_hash": _HASH, "facts_hash": _HASH2},
    "reject": {"reason_code": "customer_spoke", "note": "They pay on Friday."},
    "snooze": {"until": "2027-01-08T09:00:00Z"},
    "promise": {"amount_minor": 4900, "currency": "EUR", "due_on": "2026-12-01"},
    "endpoint": {"url": "https://crm.example.com/hooks/billing", "kinds": ["case.opened", "case.settled", "score.band_changed"]},
    "replay": {"since": _AT},
}  # fmt: skip
"""Request bodies."""

ANSWERED: dict[str, Any] = {
    "me": {"client": "crm-eu", "token_id": _ID, "label": "Salesforce sync", "scopes": ["customers:read"], "may_act_as": ["sam"], "rate_per_minute": 300, "expires_at": "2027-02-22T09:00:00Z"},
    "customer": _CUSTOMER,
    "customers": {"items": [_CUSTOMER], "next_cursor": None},
    "case": _CASE,
    "cases": {"items": [_CASE], "next_cursor": None},
    "proposal": _PROPOSAL,
    "proposals": {"items": [_PROPOSAL], "next_cursor": None},
    "changes": {"items": [_CHANGE], "next_cursor": "317", "has_more": False},
    "usage": _BATCH,
    "tickets": _BATCH,
    "notes": _BATCH,
    "replies": _BATCH,
    "links": _BATCH,
    "link": _LINK,
    "consent": {"customer_id": "AzZlw4SxHs1", "channel": "email", "granted": False, "source": "api", "recorded_at": _AT},
    "approve": _APPROVED,
    "reject": {**_PROPOSAL, "status": "rejected"},
    "snooze": {**_CASE, "snoozed_until": "2027-01-08T09:00:00Z"},
    "promise": {**_CASE, "status": "promised", "promises": [{"id": 5, "amount_minor": 4900, "currency": "EUR", "due_on": "2026-12-01", "status": "open"}]},
    "endpoint": {**_ENDPOINT, "secret": "whsec_shown-this-once"},
    "endpoint_out": _ENDPOINT,
    "endpoints": {"items": [_ENDPOINT]},
    "secret": {"secret": "whsec_shown-this-once", "old_until": "2026-11-25T09:00:00Z"},
    "replay": {"replayed": 1},
    "deliveries": {
        "items": [{"id": _ID2, "change_id": "318", "kind": "score.band_changed", "status": "done", "attempts": 1, "last_status": 204, "reason": "", "next_at": None, "delivered_at": _AT}],
        "next_cursor": None,
    },
}  # fmt: skip
"""Answers."""

PROBLEM: dict[str, Any] = {
    "type": "urn:billing-ai:problem:impossible_value", "title": "A value is not possible", "status": 422, "code": "impossible_value",
    "detail": "Look at: amount_minor.", "instance": "/api/v1/cases/3b1f8c1e-6f3a-4d5c-9a54-5f0c2f6f3c11/promises", "trace_id": "6f3a4d5c9a545f0c2f6f3c113b1f8c1e",
    "errors": [{"field": "amount_minor", "code": "impossible_negative", "message": "It cannot be negative."}],
}  # fmt: skip
