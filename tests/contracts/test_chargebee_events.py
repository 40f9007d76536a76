"""Envelopes as Chargebee sends them, as it sent them under the first version, and as nobody should."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from billing_ai.integrations.chargebee.events import HANDLED, ForeignShape, ResourceRef, parse_event

CUSTOMER = {"id": "cus_1", "email": "ada@example.com", "resource_version": 1_770_000_000_001}
SUBSCRIPTION = {"id": "sub_1", "customer_id": "cus_1", "resource_version": 1_770_000_000_002}
INVOICE = {
    "id": "inv_1",
    "customer_id": "cus_1",
    "subscription_id": "sub_1",
    "resource_version": 1_770_000_000_003,
    "line_items": [{"id": "li_1", "subscription_id": "sub_1", "amount": 4900}],
}
TRANSACTION = {"id": "txn_1", "customer_id": "cus_1", "linked_invoices": [{"invoice_id": "inv_1"}], "masked_card_number": "****1111"}
CREDIT_NOTE = {"id": "cn_1", "customer_id": "cus_1", "reference_invoice_id": "inv_1"}
SOURCE = {"id": "pm_1", "customer_id": "cus_1", "type": "card"}
CARD = {"payment_source_id": "pm_1", "customer_id": "cus_1", "last4": "1111", "iin": "411111"}
PAYMENT = {"transaction": TRANSACTION, "invoice": INVOICE, "customer": CUSTOMER, "subscription": SUBSCRIPTION, "card": CARD}
CHANGE = {
    "subscription": SUBSCRIPTION,
    "customer": CUSTOMER,
    "card": CARD,
    "invoices": [INVOICE],
    "credit_notes": [CREDIT_NOTE],
    "unbilled_charges": [{"id": "uc_1", "subscription_id": "sub_1"}],
}
CONTENT: dict[str, dict[str, Any]] = {
    "payment_failed": PAYMENT,
    "payment_succeeded": PAYMENT,
    "payment_initiated": PAYMENT,
    "payment_refunded": {**PAYMENT, "credit_note": CREDIT_NOTE},
    "invoice_generated": {"invoice": INVOICE},
    "invoice_updated": {"invoice": INVOICE},
    "dunning_updated": {"invoice": INVOICE},
    "subscription_changed": CHANGE,
    "subscription_cancelled": CHANGE,
    "subscription_canceled_with_backdating": CHANGE,
    "subscription_cancellation_scheduled": {"subscription": SUBSCRIPTION, "customer": CUSTOMER, "card": CARD},
    "subscription_paused": CHANGE,
    "subscription_resumed": CHANGE,
    "card_expiry_reminder": {"customer": CUSTOMER, "card": CARD},
    "card_added": {"customer": CUSTOMER, "card": CARD},
    "card_updated": {"customer": CUSTOMER, "card": CARD},
    "payment_source_expiring": {"customer": CUSTOMER, "payment_source": SOURCE},
    "payment_source_expired": {"customer": CUSTOMER, "payment_source": SOURCE},
    "payment_source_added": {"customer": CUSTOMER, "payment_source": SOURCE},
    "payment_source_updated": {"customer": CUSTOMER, "payment_source": SOURCE},
    "credit_note_created": {"credit_note": CREDIT_NOTE},
    "customer_changed": {"customer": CUSTOMER, "card": CARD},
    "customer_deleted": {"customer": CUSTOMER, "card": CARD, "subscription": SUBSCRIPTION},
}
NOT_HANDLED: dict[str, dict[str, Any]] = {
    "coupon_created": {"coupon": {"id": "TEN"}},
    "plan_created": {"plan": {"id": "pro-monthly", "price": 4900}},
    "addon_updated": {"addon": {"id": "seats"}},
    "item_created": {"item": {"id": "pro"}},
    "item_price_updated": {"item_price": {"id": "pro-EUR"}},
    "item_family_deleted": {"item_family": {"id": "saas"}},
    "quote_created": {"quote": {"id": "q_1", "customer_id": "cus_1"}},
    "order_created": {"order": {"id": "o_1"}},
    "gift_claimed": {"gift": {"id": "g_1"}},
    "token_consumed": {"token": {"id": "tok_1"}},
    "feature_activated": {"feature": {"id": "sso"}},
    "business_entity_created": {"business_entity": {"id": "be_1"}},
    "subscription_entitlements_updated": {"subscription_entitlements_updated_detail": {"subscription_id": "sub_1", "has_next": False}},
    "omnichannel_subscription_item_renewed": {"omnichannel_subscription": {"id": "os_1"}, "customer": CUSTOMER},
    "mrr_updated": {"subscription": SUBSCRIPTION},
    "unbilled_charges_created": {"unbilled_charges": [{"id": "uc_1", "customer_id": "cus_1"}]},
    "payment_intent_created": {"payment_intent": {"id": "pi_1", "customer_id": "cus_1"}},
    "virtual_bank_account_added": {"customer": CUSTOMER, "virtual_bank_account": {"id": "vba_1"}},
    "promotional_credits_added": {"customer": CUSTOMER, "promotional_credit": {"id": "pc_1"}},
    "usage_file_ingested": {"usage_file": {"id": "uf_1"}},
    "hierarchy_created": {"customer": CUSTOMER},
    "tax_withheld_recorded": {"tax_withheld": {"id": "tw_1"}, "invoice": INVOICE, "credit_note": CREDIT_NOTE},
    "some_type_of_next_year": {"thing_of_next_year": {"id": "t_1"}},
}


def envelope(event_type: str, content: Any, **fields: Any) -> dict[str, Any]:
    """An event as it comes over the wire."""
    return {
        "id": "ev_19AAb2Tz4mRk1",
        "occurred_at": 1_770_000_000,
        "source": "scheduled_job",
        "object": "event",
        "api_version": "v2",
        "content": content,
        "event_type": event_type,
        "webhook_status": "not_configured",
        "webhooks": [{"id": "whv2_1", "webhook_status": "scheduled", "object": "webhook"}],
        **fields,
    }


@pytest.mark.parametrize("api_version", ["v2", "v1"])
@pytest.mark.parametrize("event_type", HANDLED)
def test_an_event_that_is_handled(event_type: str, api_version: str) -> None:
    event = parse_event(envelope(event_type, CONTENT[event_type], api_version=api_version))
    assert (event.id, event.event_type, event.api_version, event.source) == ("ev_19AAb2Tz4mRk1", event_type, api_version, "scheduled_job")
    assert event.occurred_at == datetime(2026, 2, 2, 2, 40, tzinfo=UTC)
    assert event.is_handled
    assert not event.is_test
    assert event.customer_id == "cus_1"
    assert event.oddities == ()


def test_every_handled_event_has_a_fixture() -> None:
    assert set(CONTENT) == set(HANDLED)
    assert len(NOT_HANDLED) >= 20
    assert not set(NOT_HANDLED) & set(HANDLED)


@pytest.mark.parametrize("api_version", ["v2", "v1"])
@pytest.mark.parametrize("event_type", NOT_HANDLED)
def test_an_event_that_is_not_handled_is_read_all_the_same(event_type: str, api_version: str) -> None:
    event = parse_event(envelope(event_type, NOT_HANDLED[event_type], api_version=api_version))
    assert event.event_type == event_type
    assert not event.is_handled


def test_what_a_failed_payment_names() -> None:
    event = parse_event(envelope("payment_failed", PAYMENT))
    assert event.resources == (
        ResourceRef("transaction", "txn_1", None),
        ResourceRef("invoice", "inv_1", 1_770_000_000_003),
        ResourceRef("customer", "cus_1", 1_770_000_000_001),
        ResourceRef("subscription", "sub_1", 1_770_000_000_002),
        ResourceRef("payment_source", "pm_1", None),
    )
    assert event.ids_of("transaction") == ("txn_1",)
    assert event.version_of("invoice", "inv_1") == 1_770_000_000_003


def test_nothing_of_the_content_is_kept() -> None:
    kept = repr(parse_event(envelope("payment_failed", PAYMENT)))
    assert not [secret for secret in ("ada@example.com", "1111", "411111", "4900") if secret in kept]


def test_the_newest_version_of_a_resource_counts() -> None:
    content = {"invoice": {"id": "inv_1", "resource_version": 5}, "invoices": [{"id": "inv_1", "resource_version": 7}]}
    assert parse_event(envelope("invoice_updated", content)).resources == (ResourceRef("invoice", "inv_1", 7),)


def test_the_test_button() -> None:
    assert parse_event(envelope("payment_failed", PAYMENT, id="cbdemo_ev_1")).is_test


@pytest.mark.parametrize(
    ("change", "oddities"),
    [
        ({"occurred_at": None}, ("occurred_at",)),
        ({"occurred_at": "soon"}, ("occurred_at",)),
        ({"occurred_at": 1_770_000_000_000}, ("occurred_at",)),
        ({"occurred_at": 10**30}, ("occurred_at",)),
        ({"occurred_at": "1770000000"}, ()),
        ({"content": None}, ("content",)),
        ({"content": []}, ("content",)),
        ({"content": {"invoice": 7, "customer": CUSTOMER}}, ("content.invoice",)),
        ({"content": {"invoices": [INVOICE, "x"]}}, ("content.invoices",)),
        ({"content": {"invoice": {"id": "inv_1", "line_items": {"0": {}}, "resource_version": "x"}}}, ()),
        ({"content": {"invoice": {"id": ["inv_1"]}}}, ()),
        ({"content": {"invoice": {"id": "x" * 101}}}, ()),
        ({"content": {"invoice": {"id": "inv\x00_1"}}}, ()),
        ({"content": {"invoices": [{"id": str(n)} for n in range(600)]}}, ("content holds more resources than are read",)),
        ({"api_version": 2, "source": {"a": 1}, "user": 7, "extra": {"deep": []}, "webhooks": "none"}, ()),
    ],
)
def test_odd_fields_are_passed_over_and_named(change: dict[str, Any], oddities: tuple[str, ...]) -> None:
    event = parse_event(envelope("invoice_updated", {"invoice": INVOICE}) | change)
    assert event.event_type == "invoice_updated"
    assert event.oddities == oddities
    assert len(event.resources) <= 500


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ([], "The body is not a JSON object, as an event of Chargebee is."),
        ("event", "The body is not a JSON object, as an event of Chargebee is."),
        (None, "The body is not a JSON object, as an event of Chargebee is."),
        (envelope("x", {}, object="charge"), 'The field "object" does not say "event".'),
        (envelope("x", {}, id=None), 'The field "id" is missing, or is no id as Chargebee makes them.'),
        (envelope("x", {}, id=""), 'The field "id" is missing, or is no id as Chargebee makes them.'),
        (envelope("x", {}, id="a" * 101), 'The field "id" is missing, or is no id as Chargebee makes them.'),
        (envelope("x", {}, id="ev\x00"), 'The field "id" is missing, or is no id as Chargebee makes them.'),
        (envelope("x", {}, id="ev\ud800"), 'The field "id" is missing, or is no id as Chargebee makes them.'),
        (envelope("", {}), 'The field "event_type" is missing, or is no name of an event.'),
        (envelope("Payment Failed", {}), 'The field "event_type" is missing, or is no name of an event.'),
        (envelope("x" * 101, {}), 'The field "event_type" is missing, or is no name of an event.'),
        ({"type": "invoice.paid", "object": "event", "id": "evt_stripe"}, 'The field "event_type" is missing, or is no name of an event.'),
    ],
)
def test_what_is_no_event_of_chargebee_is_refused_with_the_reason(raw: Any, sentence: str) -> None:
    with pytest.raises(ForeignShape) as caught:
        parse_event(raw)
    assert str(caught.value) == sentence
