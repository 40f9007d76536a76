"""The planned retry: collected at its time, Chargebee's own dunning held meanwhile, one charge whatever gets lost, written down in Chargebee."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from approvals import case_transitions, companions, settling, transitions
from approvals.actions import collect_payment
from approvals.models import CollectionAttempt, DailyTake, Execution, KillSwitch, Outcome, Proposal, RetryReservation
from billing_ai.facts.models import Customer
from billing_ai.integrations.chargebee import reads, writes
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Terminal
from tests.flows.conftest import World


def failure_worth_a_retry(world: World) -> tuple[dict[str, Any], str]:
    """A customer whose payment failed for want of funds and for whom another try is planned: a card that is about to expire gets none."""
    for _ in range(8):
        customer = world.customer(gateway="stripe")
        invoice_id = world.fail(customer, "insufficient_funds")
        world.hear()
        if Proposal.objects.filter(chargebee_invoice_id=invoice_id, action="collect_payment").exists():
            return customer, invoice_id
    raise AssertionError("for none of eight customers another try was planned")


def collects(world: World, invoice_id: str) -> list[dict[str, object]]:
    return [call for call in world.site.calls() if "collect_payment" in str(call) and invoice_id in str(call)]


def test_a_retry_waits_for_its_time_then_collects_and_is_credited(world: World) -> None:
    # given a failure for want of funds, and money on the account from then on
    customer, invoice_id = failure_worth_a_retry(world)
    retry = world.approve(world.proposal(invoice_id, "collect_payment"))
    world.site.post("/control/truth", customer_id=customer["id"], state="ok")
    # when it is approved, nothing is charged yet, and Chargebee's own tries are held until after ours
    world.act()
    assert collects(world, invoice_id) == []
    held = reads.retrieve_invoice(invoice_id)
    assert held.dunning_status == "paused" or held.expected_payment_at is not None
    assert Proposal.objects.get(chargebee_invoice_id=invoice_id, action="pause_dunning").status == "done"
    # and when its time has come, it is charged once
    assert retry.not_before is not None
    world.site.post("/control/clock", to=int(retry.not_before.timestamp()) + 60)
    world.sync_clock()
    world.act()
    world.act()
    retry.refresh_from_db()
    assert retry.status == "done", retry.status_reason
    assert len(collects(world, invoice_id)) == 1
    world.hear()
    case = world.case(invoice_id)
    assert case.status == "recovered"
    assert Outcome.objects.get(case=case).credited_to == "retry"


def test_the_next_try_is_told_by_the_customers_clock(world: World) -> None:
    customer, invoice_id = failure_worth_a_retry(world)
    retry, comment = (world.proposal(invoice_id, action) for action in ("collect_payment", "add_comment"))
    zone = Customer.objects.get(pk=customer["id"]).time_zone
    assert (zone.startswith("Europe/"), retry.not_before is None) == (True, False)
    there = retry.not_before.astimezone(ZoneInfo(zone)) if retry.not_before else clock.now()
    assert comment.current is not None
    assert f"Next try planned for {there:%Y-%m-%d %H:%M} ({zone})." in comment.current.payload["notes"]
    assert world.case(invoice_id).next_action.endswith(f"try again {there:%a %d %b}")


def test_a_slot_that_is_taken_in_the_last_moment_makes_the_charge_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # given an approved charge whose time has come
    customer, invoice_id = failure_worth_a_retry(world)
    retry = world.approve(world.proposal(invoice_id, "collect_payment"))
    world.act()
    assert retry.not_before is not None
    world.site.post("/control/clock", to=int(retry.not_before.timestamp()) + 60)
    world.sync_clock()
    # when other charges of the same card fill the window after the gate has looked and before the slot is taken
    freeze = collect_payment.CollectPayment.freeze

    def meanwhile(*args: Any) -> Any:
        known = CollectionAttempt.objects.filter(chargebee_customer_id=customer["id"]).latest("happened_at")
        for number in range(40):
            known.pk, known.chargebee_transaction_id, known.happened_at = (
                None,
                f"txn_{number}",
                clock.now() - timedelta(days=29, hours=-number),
            )
            known.save(force_insert=True)
        return freeze(*args)

    monkeypatch.setattr(collect_payment.CollectPayment, "freeze", meanwhile)
    world.act()
    # then nothing was charged, and it waits for the next free slot under the same approval
    assert collects(world, invoice_id) == []
    held = Execution.objects.get(proposal=retry)
    assert (held.status, held.first_sent_at) == ("waiting", None)
    assert held.not_before > clock.now() + timedelta(hours=1)
    assert held.reason.startswith("retry.window")
    retry.refresh_from_db()
    assert retry.status == "approved"


def test_a_hard_decline_is_never_retried(world: World) -> None:
    invoice_id = world.fail(world.customer(gateway="stripe"), "expired_card")
    world.hear()
    assert world.case(invoice_id).category == "expired_card"
    assert not Proposal.objects.filter(chargebee_invoice_id=invoice_id, action="collect_payment").exists()
    message = world.proposal(invoice_id, "send_message")
    assert message.status == "waiting"


def test_a_charge_whose_answer_is_lost_is_looked_up_and_not_repeated(world: World) -> None:
    customer, invoice_id = failure_worth_a_retry(world)
    retry = world.approve(world.proposal(invoice_id, "collect_payment"))
    world.site.post("/control/truth", customer_id=customer["id"], state="ok")
    world.act()
    assert retry.not_before is not None
    world.site.post("/control/clock", to=int(retry.not_before.timestamp()) + 60)
    world.sync_clock()
    # when the site charges, and its answer never arrives
    world.site.post("/control/faults", path=f"/api/v2/invoices/{invoice_id}/collect_payment", kind="act_then_drop", times=1)
    world.act()
    held = Execution.objects.get(proposal=retry)
    assert held.status == "unknown"
    world.advance(minutes=5)
    settling.settle_unknowns()
    # then the look-up finds it, and there was one charge
    held.refresh_from_db()
    assert (held.status, held.settled_by) == ("done", "look-up")
    successes = [one for one in reads.payments_for_invoice(invoice_id) if one.status == "success"]
    assert len(successes) == 1


def _lost_charge(world: World, kind: str) -> tuple[dict[str, Any], str, Execution]:
    """A due retry whose answer is lost: `act_then_drop` after the site has tried (and was declined), `drop` before."""
    customer, invoice_id = failure_worth_a_retry(world)
    retry = world.approve(world.proposal(invoice_id, "collect_payment"))
    world.act()
    assert retry.not_before is not None
    world.site.post("/control/clock", to=int(retry.not_before.timestamp()) + 60)
    world.sync_clock()
    world.site.post("/control/truth", customer_id=customer["id"], state="lost_card")
    world.site.post("/control/faults", path=f"/api/v2/invoices/{invoice_id}/collect_payment", kind=kind, times=1)
    world.act()
    held = Execution.objects.get(proposal=retry)
    assert held.status == "unknown"
    return customer, invoice_id, held


def test_a_lost_charge_that_was_declined_is_told_from_chargebees_own_retry(world: World) -> None:
    # given our charge was declined and its answer lost, and Chargebee's own retry failed after it
    _, invoice_id, held = _lost_charge(world, "act_then_drop")
    before = {one.id for one in reads.payments_for_invoice(invoice_id)}
    world.site.post("/control/fail_payment", invoice_id=invoice_id)
    own = {one.id for one in reads.payments_for_invoice(invoice_id)} - before
    # when the answer is looked up
    world.advance(minutes=5)
    settling.settle_unknowns()
    # then ours is the one that came over the API
    held.refresh_from_db()
    assert (held.status, held.settled_by) == ("declined", "look-up")
    assert held.result["transaction_id"] in before - own


def test_chargebees_own_failed_retry_does_not_settle_a_charge_that_never_arrived(world: World) -> None:
    # given our call never arrived, and Chargebee's own retry of the same amount failed in that minute
    customer, invoice_id, held = _lost_charge(world, "drop")
    world.site.post("/control/fail_payment", invoice_id=invoice_id)
    world.advance(minutes=5)
    settling.settle_unknowns()
    # then it was not ours: it may go again under its key
    held.refresh_from_db()
    assert (held.status, held.reason) == ("waiting", "not there: the same request again, under the same key")
    world.site.post("/control/truth", customer_id=customer["id"], state="ok")
    world.act()
    held.refresh_from_db()
    successes = [one for one in reads.payments_for_invoice(invoice_id) if one.status == "success"]
    assert (held.status, len(successes)) == ("done", 1) or held.status == "withdrawn"


@pytest.mark.parametrize(("happened", "slot"), [(False, "released"), (True, "used")])
def test_what_a_person_says_of_a_charge_frees_or_spends_what_it_had_taken(world: World, happened: bool, slot: str) -> None:
    # given nobody could find out what became of our charge
    _, invoice_id, held = _lost_charge(world, "act_then_drop")
    with pytest.raises(Terminal):
        writes.collect_payment(invoice_id, idempotency_key="another-program", amount_minor=held.request["amount_minor"], comment="x")
    world.advance(minutes=5)
    settling.settle_unknowns()
    assert (RetryReservation.objects.get(execution=held).status, DailyTake.objects.get(execution=held).given_back) == ("held", False)
    # when a person has looked
    transitions.settle_unknown(held.proposal_id, world.people["lead"], happened=happened, note="Looked at the gateway.")
    # then its slot among the retries and its share of the day are free again, or spent
    assert RetryReservation.objects.get(execution=held).status == slot
    assert DailyTake.objects.get(execution=held).given_back is not happened


def test_two_charges_over_the_api_are_for_a_person(world: World) -> None:
    # given our charge was declined and its answer lost, and another program charged the same amount over the API
    _, invoice_id, held = _lost_charge(world, "act_then_drop")
    with pytest.raises(Terminal):
        writes.collect_payment(invoice_id, idempotency_key="another-program", amount_minor=held.request["amount_minor"], comment="x")
    world.advance(minutes=5)
    settling.settle_unknowns()
    held.refresh_from_db()
    assert held.status == "person"
    assert held.reason.startswith("2 attempts came over the API since the call")


def test_an_attempt_that_no_event_tells_of_is_waited_for_and_then_for_a_person(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, held = _lost_charge(world, "act_then_drop")
    monkeypatch.setattr(reads, "list_events", lambda **_: iter(()))
    world.advance(minutes=5)
    settling.settle_unknowns()
    held.refresh_from_db()
    assert held.status == "unknown"  # Chargebee's list of events may lag
    world.advance(minutes=10)
    settling.settle_unknowns()
    held.refresh_from_db()
    assert held.status == "person"
    assert held.reason.startswith("Chargebee does not say who made the attempt")


def test_a_decline_ends_the_retry_and_lets_chargebee_go_on(world: World) -> None:
    customer, invoice_id = failure_worth_a_retry(world)
    retry = world.approve(world.proposal(invoice_id, "collect_payment"))
    world.act()
    world.site.post("/control/truth", customer_id=customer["id"], state="lost_card")
    assert retry.not_before is not None
    world.site.post("/control/clock", to=int(retry.not_before.timestamp()) + 60)
    world.sync_clock()
    world.act()
    retry.refresh_from_db()
    assert retry.status == "declined"
    world.act()
    assert Proposal.objects.get(chargebee_invoice_id=invoice_id, action="resume_dunning").status == "done"


def _is_held(invoice_id: str) -> bool:
    invoice = reads.retrieve_invoice(invoice_id)
    return invoice.dunning_status == "paused" or invoice.expected_payment_at is not None


def test_a_hold_is_let_go_when_the_approval_is_taken_back_and_made_anew_with_the_next(world: World) -> None:
    # given an approved retry, for which Chargebee's own dunning is held
    _, invoice_id = failure_worth_a_retry(world)
    retry = world.approve(world.proposal(invoice_id, "collect_payment"))
    world.act()
    assert _is_held(invoice_id)
    assert companions.let_go_of_dunning() == 0
    # when the approval is taken back, and the worker dies before anything follows from it
    transitions.undo(retry.pk, world.people["specialist"])
    # then the sweep lets go, once
    assert companions.let_go_of_dunning() == 1
    assert companions.let_go_of_dunning() == 0
    world.act()
    assert not _is_held(invoice_id)
    # and the next approval holds again
    world.hear()
    world.approve(world.proposal(invoice_id, "collect_payment"))
    world.act()
    assert _is_held(invoice_id)
    assert Proposal.objects.filter(chargebee_invoice_id=invoice_id, action="pause_dunning", status="done").count() == 2


def test_a_promise_keeps_the_hold_and_its_end_lets_go(world: World) -> None:
    _, invoice_id = failure_worth_a_retry(world)
    world.approve(world.proposal(invoice_id, "collect_payment"))
    world.act()
    case = world.case(invoice_id)
    due_on = clock.utc_date(clock.now()) + timedelta(days=2)
    case_transitions.take_promise(case.pk, world.people["specialist"], case.amount_due, due_on)

    assert companions.let_go_of_dunning() == 0
    assert _is_held(invoice_id)

    case_transitions.withdraw_promise(case.pk, world.people["specialist"])
    assert companions.let_go_of_dunning() == 1
    world.act()
    assert not _is_held(invoice_id)


def test_a_retry_waits_until_chargebees_own_dunning_is_held(world: World) -> None:
    # given a retry whose hold cannot be made, since Chargebee does not answer it
    customer = world.customer("de", gateway="stripe")
    invoice_id = world.fail(customer, "processor_error")
    world.hear()
    retry = world.approve(world.proposal(invoice_id, "collect_payment"))
    world.site.post("/control/truth", customer_id=customer["id"], state="ok")
    pause = f"/api/v2/invoices/{invoice_id}/pause_dunning"
    world.site.post("/control/faults", path=pause, kind="status", status=503, api_error_code="internal_temporary_error")
    world.act()
    # when the time of the retry has come
    assert retry.not_before is not None
    world.site.post("/control/clock", to=int(retry.not_before.timestamp()) + 60)
    world.sync_clock()
    world.act()
    # then it is not charged, and says why
    assert collects(world, invoice_id) == []
    assert Execution.objects.get(proposal=retry).reason.startswith("look.hold_first")
    # and once the hold is there, it is
    world.site.delete("/control/faults")
    for _ in range(4):
        world.advance(minutes=6)
        settling.settle_unknowns()
        world.act()
    retry.refresh_from_db()
    assert (retry.status, len(collects(world, invoice_id))) == ("done", 1)


def test_a_hold_whose_retry_is_gone_is_not_made(world: World) -> None:
    _, invoice_id = failure_worth_a_retry(world)
    retry = world.approve(world.proposal(invoice_id, "collect_payment"))
    transitions.undo(retry.pk, world.people["specialist"])
    world.act()

    hold = Proposal.objects.get(chargebee_invoice_id=invoice_id, action="pause_dunning")
    assert (hold.status, hold.status_reason) == ("withdrawn", "The retry that this hold belongs to is no longer going to be made.")
    assert not _is_held(invoice_id)


def test_the_kill_switch_stops_what_is_approved_before_its_next_call(world: World) -> None:
    customer = world.customer()
    invoice_id = world.fail(customer)
    world.hear()
    message = world.approve(world.proposal(invoice_id, "send_message"))
    switch, _ = KillSwitch.objects.get_or_create(scope="all")
    switch.is_on, switch.reason = True, "test"
    switch.save()
    world.act()
    assert world.mail_to(customer) == []
    message.refresh_from_db()
    assert message.status == "approved"
    switch.is_on = False
    switch.save()
    world.advance(minutes=3)
    world.act()
    assert len(world.mail_to(customer)) == 1


def test_a_comment_is_written_in_chargebee_once(world: World) -> None:
    invoice_id = world.fail(world.customer())
    world.hear()
    comment = world.approve(world.proposal(invoice_id, "add_comment"))
    world.act()
    comment.refresh_from_db()
    assert comment.status == "done"
    notes = [one.notes for one in reads.list_comments(entity_type="invoice", entity_id=invoice_id)]
    assert sum("Likelihood to come in" in note for note in notes) == 1
