"""Collecting, declining, replaying, and Chargebee's own dunning in the race."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from chargebee import Chargebee, InvalidRequestError, PaymentError

from tests.simulator.running import RunningSimulator

DAY = 86_400


def _key(name: str) -> dict[str, str]:
    return {"chargebee-idempotency-key": name}


@pytest.fixture
def failed(simulator: RunningSimulator, subscriptions: list[Any]) -> dict[str, str]:
    found: dict[str, str] = simulator.fail_payment(customer_id=subscriptions.pop().customer_id, code="lost")
    return found


def test_a_decline_is_a_400_and_leaves_its_transaction(simulator: RunningSimulator, site: Chargebee, failed: dict[str, str]) -> None:
    with pytest.raises(PaymentError) as declined:
        site.Invoice.collect_payment(failed["invoice_id"], {"payment_initiator": "merchant"})
    assert (declined.value.http_status_code, declined.value.api_error_code) == (400, "payment_processing_failed")
    statuses = [entry.transaction.status for entry in site.Transaction.payments_for_invoice(failed["invoice_id"]).list]
    assert statuses == ["failure", "failure"]


def test_a_new_card_pays_and_ends_the_dunning(simulator: RunningSimulator, site: Chargebee, failed: dict[str, str]) -> None:
    simulator.post("/control/card", customer_id=failed["customer_id"])
    assert site.Invoice.retrieve(failed["invoice_id"]).invoice.status == "payment_due"  # a card does not collect by itself
    answer = site.Invoice.collect_payment(failed["invoice_id"], {"comment": "the new card"})
    assert (answer.invoice.status, answer.invoice.dunning_status, answer.invoice.amount_due) == ("paid", "success", 0)
    assert answer.transaction.amount == answer.invoice.total
    with pytest.raises(InvalidRequestError) as refused:
        site.Invoice.collect_payment(failed["invoice_id"], {})
    assert (refused.value.http_status_code, refused.value.api_error_code) == (409, "invalid_state_for_request")


def test_a_part_is_collected(simulator: RunningSimulator, site: Chargebee, failed: dict[str, str]) -> None:
    simulator.post("/control/card", customer_id=failed["customer_id"])
    total = site.Invoice.retrieve(failed["invoice_id"]).invoice.total
    answer = site.Invoice.collect_payment(failed["invoice_id"], {"amount": 100})
    assert (answer.invoice.status, answer.invoice.amount_paid, answer.invoice.amount_due) == ("payment_due", 100, total - 100)


def test_a_key_replays_for_thirty_minutes(own_simulator: RunningSimulator) -> None:
    cb = own_simulator.client()
    customer_id = own_simulator.get("/control/customers")["customers"][0]["id"]
    params = {"entity_type": "customer", "entity_id": customer_id, "notes": "once"}
    first = cb.Comment.create(params, _key("k1"))
    again = cb.Comment.create(params, _key("k1"))
    assert (first.is_idempotency_replayed, again.is_idempotency_replayed) == (False, True)
    assert again.comment.id == first.comment.id
    with pytest.raises(InvalidRequestError) as reused:
        cb.Comment.create(params | {"notes": "another"}, _key("k1"))
    assert reused.value.http_status_code == 422
    assert len(cb.Comment.list({"entity_id": customer_id, "entity_type": "customer"}).list) == 1

    own_simulator.advance(31 * 60)
    late = cb.Comment.create(params, _key("k1"))
    assert not late.is_idempotency_replayed
    assert late.comment.id != first.comment.id


def test_a_declined_charge_replays_as_declined(site: Chargebee, failed: dict[str, str]) -> None:
    for _ in range(2):
        with pytest.raises(PaymentError):
            site.Invoice.collect_payment(failed["invoice_id"], {}, _key("declined-once"))
    assert len(site.Transaction.payments_for_invoice(failed["invoice_id"]).list) == 2  # the first failure, and one attempt


def test_dunning_runs_its_schedule_to_the_end(own_simulator: RunningSimulator) -> None:
    cb = own_simulator.client()
    failed = own_simulator.fail_payment(code="lost")
    own_simulator.advance(16 * DAY)
    invoice = cb.Invoice.retrieve(failed["invoice_id"]).invoice
    assert (invoice.status, invoice.dunning_status, invoice.next_retry_at) == ("not_paid", "exhausted", None)
    began = invoice.linked_payments[0].txn_date
    assert [attempt.created_at - began for attempt in invoice.dunning_attempts] == [3 * DAY, 6 * DAY, 10 * DAY, 15 * DAY]
    assert cb.Subscription.retrieve(invoice.subscription_id).subscription.status == "cancelled"


def test_dunning_paused_waits_and_then_tries_itself(own_simulator: RunningSimulator) -> None:
    cb = own_simulator.client()
    failed = own_simulator.fail_payment(code="lost")
    until = own_simulator.now() + 8 * DAY
    paused = cb.Invoice.pause_dunning(failed["invoice_id"], {"expected_payment_date": until, "comment": "promised"}).invoice
    assert paused.expected_payment_date == until
    own_simulator.advance(7 * DAY)
    assert cb.Invoice.retrieve(failed["invoice_id"]).invoice.dunning_attempts == []
    own_simulator.advance(2 * DAY)
    assert [a.created_at for a in cb.Invoice.retrieve(failed["invoice_id"]).invoice.dunning_attempts] == [until]


def test_dunning_stopped_is_over_until_resumed(own_simulator: RunningSimulator) -> None:
    cb = own_simulator.client()
    failed = own_simulator.fail_payment(code="lost")
    stopped = cb.Invoice.stop_dunning(failed["invoice_id"]).invoice
    assert (stopped.status, stopped.dunning_status, stopped.next_retry_at) == ("not_paid", "stopped", None)
    own_simulator.advance(4 * DAY)
    assert cb.Invoice.retrieve(failed["invoice_id"]).invoice.dunning_attempts == []
    resumed = cb.Invoice.resume_dunning(failed["invoice_id"]).invoice
    assert (resumed.status, resumed.dunning_status) == ("payment_due", "in_progress")
    own_simulator.advance(3 * DAY)
    assert len(cb.Invoice.retrieve(failed["invoice_id"]).invoice.dunning_attempts) == 1


def test_money_comes_on_payday(own_simulator: RunningSimulator) -> None:
    cb = own_simulator.client()
    customer_id = own_simulator.get("/control/customers")["customers"][0]["id"]
    own_simulator.post("/control/card", customer_id=customer_id)  # one that is good for long
    failed = own_simulator.fail_payment(customer_id=customer_id, code="insufficient_funds")
    with pytest.raises(PaymentError):
        cb.Invoice.collect_payment(failed["invoice_id"])
    own_simulator.post("/control/truth", customer_id=failed["customer_id"], funded_until=own_simulator.now() + DAY)
    assert cb.Invoice.collect_payment(failed["invoice_id"]).invoice.status == "paid"


def test_a_card_is_announced_before_it_expires_and_when_it_has(own_simulator: RunningSimulator) -> None:
    cb = own_simulator.client()
    now = datetime.fromtimestamp(own_simulator.now(), UTC)
    customer_id = own_simulator.get("/control/customers")["customers"][0]["id"]
    card = {"number": "4242424242424242", "expiry_month": now.month, "expiry_year": now.year + 1}
    source = cb.PaymentSource.create_card({"customer_id": customer_id, "card": card, "replace_primary_payment_source": True}).payment_source
    ends = int(datetime(now.year + 1 + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC).timestamp())
    own_simulator.post("/control/clock", to=ends + 60)
    types = {"event_type": {"in": ["payment_source_expiring", "payment_source_expired"]}, "limit": 100}
    told = [entry.event for entry in cb.Event.list(types).list if entry.event.content["payment_source"]["id"] == source.id]
    assert [(event.event_type, event.occurred_at) for event in told] == [
        ("payment_source_expired", ends),
        ("payment_source_expiring", ends - 30 * DAY),
    ]
    assert cb.Customer.retrieve(customer_id).customer.card_status == "expired"
