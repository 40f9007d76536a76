"""Webhooks as Chargebee sends them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from billing_ai.simulator.events import content_names
from tests.simulator.receiving import Receiver, receiving
from tests.simulator.running import RunningSimulator, running_simulator

MINUTE, HOUR, DAY = 60, 3_600, 86_400


def _until(is_so: Callable[[], bool], patience_seconds: float = 20) -> None:
    """Wait for something that happens in the other process."""
    ends = time.monotonic() + patience_seconds
    while not is_so():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.02)


def _point(simulator: RunningSimulator, receiver: Receiver, **settings: Any) -> None:
    simulator.post("/control/settings", hold_webhooks=True, **settings)
    simulator.post("/control/webhooks", url=receiver.url, user="hook", password="secret")


def test_envelope_content_and_credentials(own_simulator: RunningSimulator, receiver: Receiver) -> None:
    _point(own_simulator, receiver)
    failed = own_simulator.fail_payment(code="insufficient_funds")
    own_simulator.post("/control/deliver")
    event = next(e for e in receiver.events if e["event_type"] == "payment_failed")
    assert set(receiver.credentials) == {"hook:secret"}
    assert (event["object"], event["api_version"], event["source"]) == ("event", "v2", "scheduled_job")
    assert event["occurred_at"] < 10**11
    assert set(event["content"]) == {"transaction", "invoice", "customer", "subscription", "card"}
    assert event["content"]["transaction"]["id"] == failed["transaction_id"]
    assert event["content"]["invoice"]["status"] == "payment_due"
    listed = own_simulator.client().Event.retrieve(event["id"]).event
    assert (listed.webhook_status, listed.webhooks[0].webhook_status) == ("succeeded", "succeeded")
    for one in receiver.events:
        assert set(one["content"]) <= set(content_names()[one["event_type"]])
        assert not [name for content in one["content"].values() for name in content if name.startswith("_")]


def test_a_refusal_is_retried_at_chargebees_times(own_simulator: RunningSimulator, receiver: Receiver) -> None:
    _point(own_simulator, receiver)
    receiver.answer_with = 500
    failed = own_simulator.fail_payment(code="lost")
    own_simulator.post("/control/deliver")
    event_id = next(e["id"] for e in receiver.events if e["event_type"] == "payment_failed")
    own_simulator.post("/control/settings", hold_webhooks=False)
    receiver.forget()
    counts = []
    for wait in (2 * MINUTE, 6 * MINUTE, 30 * MINUTE, HOUR, 5 * HOUR, DAY, 2 * DAY, 5 * DAY):
        own_simulator.advance(wait + 1)
        counts.append([event["id"] for event in receiver.events].count(event_id))
    assert counts == [1, 2, 3, 4, 5, 6, 7, 7]
    given_up = own_simulator.get("/control/deliveries", status="failed")["deliveries"]
    assert [d["attempts"] for d in given_up if d["event_id"] == event_id] == [8]
    assert own_simulator.client().Event.retrieve(event_id).event.content["transaction"]["id"] == failed["transaction_id"]


def test_what_was_refused_arrives_later(own_simulator: RunningSimulator, receiver: Receiver) -> None:
    _point(own_simulator, receiver)
    receiver.answer_with = 503
    own_simulator.fail_payment(code="lost")
    own_simulator.post("/control/deliver")
    receiver.forget()
    receiver.answer_with = 200
    own_simulator.post("/control/deliver")
    assert sorted(receiver.types()) == ["invoice_generated", "payment_failed"]


def test_twice_when_told_to(own_simulator: RunningSimulator, receiver: Receiver) -> None:
    _point(own_simulator, receiver, duplicate_share=1.0)
    own_simulator.fail_payment(code="lost")
    own_simulator.post("/control/deliver")
    ids = [event["id"] for event in receiver.events]
    assert len(ids) == 4
    assert len(set(ids)) == 2


def test_late_when_told_to(own_simulator: RunningSimulator, receiver: Receiver) -> None:
    _point(own_simulator, receiver, late_share=1.0)
    own_simulator.fail_payment(code="lost")
    own_simulator.post("/control/deliver")
    assert receiver.events == []
    own_simulator.post("/control/settings", hold_webhooks=False)
    own_simulator.advance(2 * MINUTE)
    assert sorted(receiver.types()) == ["invoice_generated", "payment_failed"]


def test_out_of_order_when_told_to(own_simulator: RunningSimulator, receiver: Receiver) -> None:
    _point(own_simulator, receiver, shuffle=True)
    customer_id = own_simulator.get("/control/customers")["customers"][0]["id"]
    cb = own_simulator.client()
    for number in range(30):
        cb.Customer.update(customer_id, {"first_name": f"Name {number}"})
    own_simulator.post("/control/deliver")
    versions = [event["content"]["customer"]["resource_version"] for event in receiver.events]
    assert len(versions) == 30
    assert versions != sorted(versions)


def test_only_what_the_endpoint_asked_for(own_simulator: RunningSimulator, receiver: Receiver) -> None:
    cb = own_simulator.client()
    cb.WebhookEndpoint.create(
        {
            "name": "narrow",
            "url": receiver.url,
            "enabled_events": ["payment_failed"],
            "basic_auth_username": "a",
            "basic_auth_password": "b",
        }
    )
    own_simulator.post("/control/settings", hold_webhooks=True)
    own_simulator.fail_payment(code="lost")
    own_simulator.post("/control/deliver")
    assert receiver.types() == ["payment_failed"]


def test_the_nights_failures_wait_for_the_endpoint_to_answer() -> None:
    """Nobody listens when the simulator starts; nothing is lost, and nothing counts as an attempt."""
    with receiving() as first:
        url = first.url
    with running_simulator(customers=20, fresh_failures=6, webhook_url=url, webhook_user="u", webhook_password="p") as simulator:
        waiting = simulator.get("/control/deliveries")["deliveries"]
        assert {(delivery["status"], delivery["attempts"]) for delivery in waiting} == {("pending", 0)}
        with receiving() as late:
            simulator.post("/control/webhooks", url=late.url, user="u", password="p")
            _until(lambda: late.types().count("payment_failed") == 6)
            codes = {event["content"]["transaction"]["error_code"] for event in late.events if event["event_type"] == "payment_failed"}
    assert len(codes) >= 3
