"""Changing subscriptions: previews that hold, proration to the minor unit, pauses, cancellations, ramps, usage."""

from __future__ import annotations

from typing import Any

import pytest
from chargebee import Chargebee, InvalidRequestError

from tests.simulator.running import RunningSimulator

DAY = 86_400


@pytest.fixture
def subscription(subscriptions: list[Any]) -> Any:
    return subscriptions.pop()


def _enterprise(subscription: Any, quantity: int = 3) -> list[dict[str, Any]]:
    return [{"item_price_id": f"enterprise-{subscription.currency_code}-monthly", "quantity": quantity}]


def test_the_preview_is_what_happens(site: Chargebee, subscription: Any) -> None:
    wanted = {"subscription_items": _enterprise(subscription), "replace_items_list": True, "prorate": True}
    before = site.Subscription.retrieve(subscription.id).subscription.raw_data
    preview = site.Estimate.update_subscription_for_items(wanted | {"subscription": {"id": subscription.id}}).estimate
    assert site.Subscription.retrieve(subscription.id).subscription.raw_data == before
    done = site.Subscription.update_for_items(subscription.id, wanted)
    assert preview.invoice_estimate.total == done.invoice.total
    assert preview.invoice_estimate.credits_applied == done.invoice.credits_applied
    assert [note.total for note in preview.credit_note_estimates] == [note.total for note in done.credit_notes]


def test_what_is_used_and_what_is_credited_add_up(site: Chargebee, subscription: Any) -> None:
    billed = site.Invoice.list({"subscription_id": {"is": subscription.id}, "limit": 1}).list[0].invoice
    done = site.Subscription.update_for_items(
        subscription.id, {"subscription_items": _enterprise(subscription), "replace_items_list": True}
    )
    changed_at = done.subscription.updated_at
    credited = {line.reference_line_item_id: line for note in done.credit_notes for line in note.line_items}
    for line in billed.line_items:
        if line.metered:
            continue
        left, whole = line.date_to - changed_at, line.date_to - line.date_from
        exact = line.amount * left / whole
        assert abs(credited[line.id].amount - exact) <= 0.5
        assert 0 <= line.amount - credited[line.id].amount <= line.amount
    # up and down again in the same second gives back what the step up had cost, to the minor unit
    again = site.Subscription.update_for_items(
        subscription.id, {"subscription_items": [{"item_price_id": f"starter-{subscription.currency_code}-monthly", "quantity": 1}]}
    )
    difference = done.invoice.total - sum(note.total for note in again.credit_notes)
    assert 0 <= difference <= done.invoice.total // 1000


def test_items_left_out_stay_unless_replaced(site: Chargebee, subscription: Any) -> None:
    storage = f"extra-storage-{subscription.currency_code}-monthly"
    kept = site.Subscription.update_for_items(
        subscription.id, {"subscription_items": [{"item_price_id": storage, "quantity": 2}]}
    ).subscription
    plan = subscription.subscription_items[0].item_price_id
    assert {plan, storage} <= {item.item_price_id for item in kept.subscription_items}
    replaced = site.Subscription.update_for_items(
        subscription.id, {"subscription_items": [{"item_price_id": plan, "quantity": 1}], "replace_items_list": True}
    ).subscription
    assert [item.item_price_id for item in replaced.subscription_items] == [plan]


def test_another_currency_is_refused(site: Chargebee, subscription: Any) -> None:
    other = "USD" if subscription.currency_code != "USD" else "EUR"
    with pytest.raises(InvalidRequestError) as refused:
        site.Subscription.update_for_items(subscription.id, {"subscription_items": [{"item_price_id": f"team-{other}-monthly"}]})
    assert refused.value.param == "subscription_items[item_price_id][0]"
    assert site.Subscription.retrieve(subscription.id).subscription.raw_data == subscription.raw_data


def test_a_change_for_the_end_of_the_term_waits(own_simulator: RunningSimulator) -> None:
    cb = own_simulator.client()
    subscription = _plain(cb)
    wanted = {"subscription_items": _enterprise(subscription), "replace_items_list": True, "change_option": "end_of_term"}
    scheduled = cb.Subscription.update_for_items(subscription.id, wanted)
    assert scheduled.subscription.has_scheduled_changes
    assert scheduled.subscription.changes_scheduled_at == subscription.current_term_end
    assert scheduled.invoice is None
    assert cb.Subscription.retrieve_with_scheduled_changes(subscription.id).subscription.subscription_items[0].quantity == 3
    own_simulator.post("/control/clock", to=subscription.current_term_end + 60)
    after = cb.Subscription.retrieve(subscription.id).subscription
    billed = cb.Invoice.list({"subscription_id": {"is": subscription.id}, "limit": 1}).list[0].invoice
    assert (after.has_scheduled_changes, [item.quantity for item in after.subscription_items]) == (False, [3])
    assert billed.date == subscription.current_term_end
    assert billed.sub_total == 3 * after.subscription_items[0].unit_price


def _plain(cb: Chargebee) -> Any:
    """An active monthly subscription that owes nothing and whose customer has no other."""
    for entry in cb.Subscription.list({"status": {"is": "active"}, "limit": 100}).list:
        one, customer = entry.subscription, entry.customer
        if (
            one.due_invoices_count == 0
            and one.auto_collection == "on"
            and one.billing_period_unit == "month"
            and not customer.consolidated_invoicing
        ):
            return one
    raise AssertionError("the world has no plain subscription")


def test_a_pause_bills_nothing_until_it_ends(own_simulator: RunningSimulator) -> None:
    cb = own_simulator.client()
    subscription = _plain(cb)
    resume_at = own_simulator.now() + 70 * DAY
    paused = cb.Subscription.pause(subscription.id, {"pause_option": "immediately", "resume_date": resume_at}).subscription
    assert (paused.status, paused.next_billing_at, paused.resume_date) == ("paused", None, resume_at)
    before = len(cb.Invoice.list({"subscription_id": {"is": subscription.id}, "limit": 100}).list)
    own_simulator.advance(65 * DAY)
    assert len(cb.Invoice.list({"subscription_id": {"is": subscription.id}, "limit": 100}).list) == before
    own_simulator.advance(6 * DAY)
    after = cb.Subscription.retrieve(subscription.id).subscription
    assert (after.status, after.current_term_start) == ("active", resume_at)
    assert len(cb.Invoice.list({"subscription_id": {"is": subscription.id}, "limit": 100}).list) == before + 1


def test_pausing_can_stop_the_dunning(simulator: RunningSimulator, site: Chargebee, subscription: Any) -> None:
    failed = simulator.fail_payment(customer_id=subscription.customer_id, code="lost")
    site.Subscription.pause(subscription.id, {"pause_option": "immediately", "invoice_dunning_handling": "stop"})
    assert site.Invoice.retrieve(failed["invoice_id"]).invoice.dunning_status == "stopped"
    with pytest.raises(InvalidRequestError) as refused:
        site.Subscription.pause(subscription.id, {"pause_option": "immediately"})
    assert refused.value.http_status_code == 409


def test_cancelled_at_the_end_of_the_term_unless_taken_back(own_simulator: RunningSimulator) -> None:
    cb = own_simulator.client()
    subscription = _plain(cb)
    leaving = cb.Subscription.cancel_for_items(subscription.id, {"cancel_option": "end_of_term"}).subscription
    assert (leaving.status, leaving.cancelled_at) == ("non_renewing", subscription.current_term_end)
    back = cb.Subscription.remove_scheduled_cancellation(subscription.id).subscription
    assert (back.status, back.next_billing_at, back.cancelled_at) == ("active", subscription.current_term_end, None)
    cb.Subscription.cancel_for_items(subscription.id, {"cancel_option": "end_of_term"})
    own_simulator.post("/control/clock", to=subscription.current_term_end + 60)
    assert cb.Subscription.retrieve(subscription.id).subscription.status == "cancelled"


def test_cancelled_now_with_the_rest_of_the_term_paid_back(simulator: RunningSimulator, site: Chargebee, subscription: Any) -> None:
    params = {
        "cancel_option": "immediately",
        "credit_option_for_current_term_charges": "prorate",
        "refundable_credits_handling": "schedule_refund",
    }
    gone = site.Subscription.cancel_for_items(subscription.id, params)
    assert gone.subscription.status == "cancelled"
    assert [note.type for note in gone.credit_notes] == ["refundable"]
    refunds = site.Transaction.list({"customer_id": {"is": subscription.customer_id}, "type": {"is": "refund"}}).list
    assert [entry.transaction.amount for entry in refunds] == [gone.credit_notes[0].total]
    assert simulator.get("/control/books")["balanced"]


def test_a_ramp_comes_into_force_on_its_day(own_simulator: RunningSimulator) -> None:
    cb = own_simulator.client()
    subscription = _plain(cb)
    plan = subscription.subscription_items[0]
    at = own_simulator.now() + 3 * DAY
    ramp = cb.Ramp.create_for_subscription(
        subscription.id, {"effective_from": at, "items_to_update": [{"item_price_id": plan.item_price_id, "quantity": 9}]}
    ).ramp
    assert ramp.status == "scheduled"
    own_simulator.advance(3 * DAY + 60)
    assert cb.Ramp.retrieve(ramp.id).ramp.status == "succeeded"
    assert cb.Subscription.retrieve(subscription.id).subscription.subscription_items[0].quantity == 9


def test_usage_is_billed_once(own_simulator: RunningSimulator) -> None:
    cb = own_simulator.client()
    subscription = _plain(cb)
    metered = f"api-calls-{subscription.currency_code}-monthly"
    cb.Subscription.update_for_items(subscription.id, {"subscription_items": [{"item_price_id": metered}]})
    for quantity in ("10", "2.5"):
        cb.Usage.create(subscription.id, {"item_price_id": metered, "quantity": quantity, "usage_date": own_simulator.now()})
    preview = cb.Estimate.renewal_estimate(subscription.id).estimate.invoice_estimate
    own_simulator.post("/control/clock", to=subscription.current_term_end + 60)
    first = cb.Invoice.list({"subscription_id": {"is": subscription.id}, "limit": 1}).list[0].invoice
    lines = [line for line in first.line_items if line.entity_id == metered]
    price = cb.ItemPrice.retrieve(metered).item_price.price
    assert [line.amount for line in lines] == [int(12.5 * price + 0.5)]
    assert preview.total == first.total
    own_simulator.advance(31 * DAY)
    second = cb.Invoice.list({"subscription_id": {"is": subscription.id}, "limit": 1}).list[0].invoice
    assert second.id != first.id
    assert [line for line in second.line_items if line.entity_id == metered] == []


def test_credits_pay_before_the_card_does(own_simulator: RunningSimulator) -> None:
    cb = own_simulator.client()
    subscription = _plain(cb)
    answer = cb.PromotionalCredit.add(
        {"customer_id": subscription.customer_id, "amount": 500, "currency_code": subscription.currency_code, "description": "sorry"}
    )
    assert answer.promotional_credit.closing_balance == 500
    own_simulator.post("/control/clock", to=subscription.current_term_end + 60)
    invoice = cb.Invoice.list({"subscription_id": {"is": subscription.id}, "limit": 1}).list[0].invoice
    assert invoice.credits_applied == 500
    assert invoice.total == invoice.credits_applied + invoice.amount_paid + invoice.amount_due
    assert cb.Customer.retrieve(subscription.customer_id).customer.promotional_credits == 0


def test_credit_notes_and_refunds_never_exceed_what_came_in(simulator: RunningSimulator, site: Chargebee, subscription: Any) -> None:
    invoice = site.Invoice.list({"subscription_id": {"is": subscription.id}, "limit": 1}).list[0].invoice
    site.Invoice.refund(invoice.id, {"refund_amount": 100, "credit_note": {"reason_code": "waiver"}})
    site.CreditNote.create(
        {"reference_invoice_id": invoice.id, "type": "refundable", "reason_code": "waiver", "total": invoice.total - 100}
    )
    with pytest.raises(InvalidRequestError):
        site.CreditNote.create({"reference_invoice_id": invoice.id, "type": "refundable", "reason_code": "waiver", "total": 1})
    with pytest.raises(InvalidRequestError):
        site.Invoice.refund(invoice.id, {"refund_amount": 1})
    assert simulator.get("/control/books")["balanced"]


def test_an_adjustment_and_a_write_off_settle_what_is_due(simulator: RunningSimulator, site: Chargebee, subscription: Any) -> None:
    failed = simulator.fail_payment(customer_id=subscription.customer_id, code="lost")
    site.CreditNote.create({"reference_invoice_id": failed["invoice_id"], "type": "adjustment", "reason_code": "waiver", "total": 100})
    part = site.Invoice.retrieve(failed["invoice_id"]).invoice
    assert (part.status, part.amount_adjusted, part.amount_due) == ("payment_due", 100, part.total - 100)
    gone = site.Invoice.write_off(failed["invoice_id"]).invoice
    assert (gone.status, gone.amount_due, gone.write_off_amount) == ("paid", 0, part.total - 100)
    assert simulator.get("/control/books")["balanced"]
