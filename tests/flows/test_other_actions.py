"""What else goes out: a text message, a ticket at the help desk, a pause, a dispute that holds Chargebee's own dunning."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from agents.dunning import decide
from approvals import case_transitions
from approvals.drafts.fixed_words import fixed_words
from approvals.drafts.sms import size, to_gsm_spacing
from approvals.models import Case, Contact, Proposal
from billing_ai.facts import sync
from billing_ai.facts.models import Subscription
from billing_ai.integrations.chargebee import reads
from billing_ai.kernel import clock
from tests.flows.conftest import World


def test_a_text_message_reaches_the_phone_and_counts_as_a_contact(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a customer who agreed to text messages, and a plan that chose one
    customer = next(
        row
        for row in (world.customer() for _ in range(30))
        if row.get("cf_sms_consent") in (True, "true", "yes", "True", "Yes") and row.get("phone") and row["locale"][:2] != "ja"
    )
    monkeypatch.setattr(decide, "_channel", lambda context: "sms")
    invoice_id = world.fail(customer)
    world.hear()
    message = world.proposal(invoice_id, "send_message")
    assert message.current.channel == "sms"
    # when it is approved
    world.approve(message)
    world.act()
    # then it is on the phone, in at most two segments, and counted
    sms = world.site.get("/control/sms", to=customer["phone"])["sms"]
    assert len(sms) == 1
    assert invoice_id in sms[0]["body"]
    message.refresh_from_db()
    assert message.status == "done"
    # with the way out under it, in the customer's language, and counted
    assert sms[0]["body"].endswith("\n" + to_gsm_spacing(fixed_words(customer["locale"]).sms_opt_out))
    assert message.execution.request["sms_segments"] == size(sms[0]["body"]).segments <= 2
    assert message.execution.request["text_sha256"] == hashlib.sha256(sms[0]["body"].encode()).hexdigest()
    assert message.execution.request["language"] == customer["locale"]
    assert Contact.objects.get(execution=message.execution).channel == "sms"


def test_an_escalation_opens_one_ticket_with_the_case_in_it(world: World) -> None:
    invoice_id = world.fail(world.customer())
    world.hear()
    case = world.case(invoice_id)
    case_transitions.escalate(case.pk, world.people["specialist"], "helpdesk", "They asked for a call.")
    world.act()
    world.act()
    tickets = [ticket for ticket in world.site.get("/control/tickets")["tickets"] if invoice_id in str(ticket)]
    assert len(tickets) == 1
    assert "insufficient funds" in str(tickets[0])
    assert Proposal.objects.get(case=case, action="create_ticket").status == "done"


def test_a_case_about_no_invoice_can_be_escalated_too(world: World) -> None:
    customer = world.customer()
    sync.refresh(customer["id"], [])
    case = Case.objects.create(
        kind="churn", agent="churn", chargebee_customer_id=customer["id"], currency="EUR", amount_due_minor=120_000, trace_id="1" * 32,
        headline="The risk of leaving has risen.", reasons=[{"code": "use", "sentence": "Used half as much as before.", "weight": 0.4, "fact": ""}],
    )  # fmt: skip
    case_transitions.escalate(case.pk, world.people["specialist"], "helpdesk", "They asked for a call.")
    world.act()
    (ticket,) = [one for one in world.site.get("/control/tickets")["tickets"] if customer["id"] in str(one)]
    assert "Used half as much as before." in str(ticket)
    assert Proposal.objects.get(case=case, action="create_ticket").status == "done"


def test_a_pause_is_carried_out_only_by_a_person_and_shows_in_chargebee(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    customer = world.customer()
    monkeypatch.setattr(decide, "_pause", lambda context, category, now: str(context.subscriptions[0].pk))
    invoice_id = world.fail(customer)
    world.hear()
    pause = world.proposal(invoice_id, "pause_subscription")
    assert pause.status == "waiting"
    assert pause.needs_person
    world.approve(pause)
    world.act()
    pause.refresh_from_db()
    assert pause.status == "done", pause.status_reason
    subscription = Subscription.objects.filter(chargebee_customer_id=customer["id"]).first()
    assert subscription is not None
    assert reads.retrieve_subscription(subscription.pk).status == "paused"


def test_a_dispute_withdraws_what_waits_and_holds_chargebees_own_tries(world: World) -> None:
    customer = world.customer()
    invoice_id = world.fail(customer)
    world.hear()
    case = world.case(invoice_id)
    case_transitions.dispute(case.pk, world.people["specialist"], "amount", "They were charged for two seats.")
    assert world.proposal(invoice_id, "send_message").status == "withdrawn"
    world.act()
    held = reads.retrieve_invoice(invoice_id)
    assert held.dunning_status == "paused" or held.expected_payment_at is not None
    assert world.mail_to(customer) == []
    case_transitions.settle_dispute(case.pk, world.people["specialist"], "One seat credited.")
    world.act()
    assert reads.retrieve_invoice(invoice_id).dunning_status == "in_progress"
    assert world.case(invoice_id).status == "open"


@pytest.mark.parametrize("held", ["promise", "dispute"])
def test_a_message_about_one_invoice_does_not_remind_of_another_that_is_promised_or_disputed(world: World, held: str) -> None:
    # given a customer with two open invoices, who promised to pay the first, or disputes it
    customer = world.customer("en")
    first = world.fail(customer)
    world.hear()
    case = world.case(first)
    if held == "promise":
        due_on = clock.utc_date(clock.now()) + timedelta(days=5)
        case_transitions.take_promise(case.pk, world.people["specialist"], case.amount_due, due_on)
    else:
        case_transitions.dispute(case.pk, world.people["specialist"], "amount", "One seat too many.")
    second = world.fail(customer)
    world.hear()
    # when a person lets the message about the second go out
    message = world.proposal(second, "send_message")
    world.approve(message)
    world.act()
    # then it speaks of the second only
    (mail,) = world.mail_to(customer)
    words = f"{mail['subject']} {mail['text']}"
    assert second in words
    assert first not in words
