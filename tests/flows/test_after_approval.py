"""What changes between the approval and the effect: rules, wishes, hours, people, the key's own time. Nothing goes out that would be refused now."""

from __future__ import annotations

from datetime import timedelta

import pytest

from approvals import evidence, settling
from approvals import execution as executing
from approvals.contract import Check
from approvals.models import Contact, Execution
from approvals.policy import consent, rollout
from audit.models import Entry
from billing_ai.integrations.chargebee import reads
from billing_ai.kernel import clock
from tests.flows.conftest import World


def approved_message(world: World) -> tuple[dict[str, str], Execution]:
    """A message that is approved and due."""
    customer = world.customer()
    invoice_id = world.fail(customer)
    world.hear()
    proposal = world.approve(world.proposal(invoice_id, "send_message"))
    assert proposal.status == "approved"
    return customer, Execution.objects.get(proposal=proposal)


def stopped(world: World, customer: dict[str, str], held: Execution, rule: str) -> None:
    """Nothing was sent, nothing was begun, and the reason names the rule."""
    world.act()
    held.refresh_from_db()
    assert (held.status, held.reason.split(":")[0]) == ("withdrawn", rule)
    assert held.first_sent_at is None
    assert world.mail_to(customer) == []
    (entry,) = Entry.objects.filter(kind="execution.withdrawn", subject_id=str(held.proposal_id))
    assert entry.data["rule"] == rule


def test_a_policy_changed_after_the_approval_is_the_one_that_counts(world: World) -> None:
    customer, held = approved_message(world)
    Contact.objects.create(chargebee_customer_id=customer["id"], channel="email", kind="conversation", direction="in")
    Contact.objects.create(chargebee_customer_id=customer["id"], channel="sms", at=clock.now() - timedelta(days=1))
    # when one message a week is all that is allowed from now on
    rollout.change_policy("contact.frequency", world.people["lead"], reason="too many complaints", params={"messages": 1, "days": 7})
    world.act()
    # then it waits until the week is over
    held.refresh_from_db()
    assert (held.status, held.reason.split(":")[0]) == ("waiting", "contact.frequency")
    assert held.not_before > clock.now() + timedelta(days=5)
    assert held.attempts.count() == 0
    assert world.mail_to(customer) == []


def test_an_opt_out_after_the_approval_stops_the_message(world: World) -> None:
    customer, held = approved_message(world)
    consent.suppress(customer["id"], "do_not_contact", world.people["lead"], reason="asked by phone")
    stopped(world, customer, held, "contact.suppressed")


def test_quiet_hours_after_the_approval_are_waited_for(world: World) -> None:
    customer, held = approved_message(world)
    # when it is two at night in Europe by the time a worker comes to it
    night = clock.now().replace(hour=1, minute=0) + timedelta(days=1)
    world.site.post("/control/clock", to=int(night.timestamp()))
    world.sync_clock()
    world.act()
    # then it waits for a permitted minute, and no attempt is used up
    held.refresh_from_db()
    assert (held.status, held.reason.split(":")[0]) == ("waiting", "contact.quiet_hours")
    assert held.max_attempts - held.attempt == Execution._meta.get_field("max_attempts").default
    assert world.mail_to(customer) == []
    # and goes out then
    world.site.post("/control/clock", to=int(held.not_before.timestamp()) + 60)
    world.sync_clock()
    world.act()
    assert len(world.mail_to(customer)) == 1


def test_an_approver_who_is_disabled_before_it_goes_out(world: World) -> None:
    customer, held = approved_message(world)
    for person in world.people.values():
        person.is_active = False
        person.save()
    stopped(world, customer, held, "approval.approver_disabled")


@pytest.mark.parametrize("happened", [False, True], ids=["and nothing happened", "and it did happen"])
def test_the_window_of_the_key_has_passed(world: World, happened: bool) -> None:
    # given a charge that did not arrive, or whose answer was lost, while the site could not be asked for longer than it remembers a key
    customer = world.customer(gateway="stripe")
    invoice_id = world.fail(customer, "insufficient_funds")
    world.hear()
    retry = world.approve(world.proposal(invoice_id, "collect_payment"))
    world.act()
    world.site.post("/control/truth", customer_id=customer["id"], state="ok")
    assert retry.not_before is not None
    world.site.post("/control/clock", to=int(retry.not_before.timestamp()) + 60)
    world.sync_clock()
    path = f"/api/v2/invoices/{invoice_id}/collect_payment"
    world.site.post("/control/faults", path=path, kind="act_then_drop" if happened else "drop", times=1)
    world.act()
    held = Execution.objects.get(proposal=retry)
    assert held.status == "unknown"
    world.advance(minutes=31)
    # when it can be asked again
    settling.settle_unknowns()
    world.act()
    # then what is there is recognised, and what is not there is for a person: the same key would charge anew
    held.refresh_from_db()
    assert held.status == ("done" if happened else "person")
    assert held.attempts.count() == 1
    successes = [one for one in reads.payments_for_invoice(invoice_id) if one.status == "success"]
    assert len(successes) == (1 if happened else 0)


def test_every_check_of_the_last_look_is_kept_and_told_in_the_pack(world: World) -> None:
    # given a message that goes out, one that has to wait, and one that is withdrawn because the invoice was paid
    sent_to, sent = approved_message(world)
    _, waits = approved_message(world)
    _, withdrawn = approved_message(world)
    Contact.objects.bulk_create(
        Contact(chargebee_customer_id=waits.proposal.chargebee_customer_id, channel="sms", at=clock.now() - timedelta(days=day))
        for day in (1, 2, 3)
    )
    world.site.post("/control/pay", invoice_id=withdrawn.proposal.chargebee_invoice_id)
    # when they are carried out
    world.act()
    # then each keeps all that was looked at, allowed checks too
    for held, status, strict in (
        (sent, "done", None),
        (waits, "waiting", "contact.frequency"),
        (withdrawn, "withdrawn", "look.invoice_open"),
    ):
        held.refresh_from_db()
        assert held.status == status
        assert held.last_look is not None
        outcomes = {check["rule"]: check["outcome"] for check in held.last_look["checks"]}
        assert {"kill_switch", "contact.quiet_hours", "contact.consent.email", "limits.daily_count"} <= set(outcomes)
        assert {rule for rule, outcome in outcomes.items() if outcome != "allow"} == ({strict} if strict else set())
        # and the pack tells it
        proposal = next(one for one in evidence.tell(held.proposal.case_id)["proposals"] if one["id"] == held.proposal_id)
        told = proposal["execution"]["last_look"]
        assert {check["rule"]: check["outcome"] for check in told["checks"]} == outcomes
        assert told["at"] == held.last_look["at"]
    assert sent.first_sent_at is not None
    assert sent.last_look is not None
    assert sent.last_look["at"] <= sent.first_sent_at.isoformat()
    assert len(world.mail_to(sent_to)) == 1


def test_of_a_text_that_may_not_be_sent_only_the_rules_name_is_kept() -> None:
    kept = executing._looked(
        [Check("draft.foreign_name", "deny", "The text may not be sent: no Quillfeather", data={"name": "Quillfeather"})]
    )
    assert "Quillfeather" not in str(kept)
    assert kept["checks"] == [
        {"rule": "draft.foreign_name", "outcome": "deny", "sentence": "The text may not be sent.", "not_before": None, "data": {}}
    ]
