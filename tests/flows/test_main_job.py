"""The main job and what may cross it: a payment that comes in while a draft waits, a page gone stale, a lost answer, a second click."""

from __future__ import annotations

import re
import threading

import httpx
import pytest
from django.db import connection, connections

from agents import runner, runs
from agents.models import AgentRun, LlmCall
from approvals import execution as executing
from approvals import settling, transitions
from approvals.models import Execution, Outcome, Proposal
from approvals.people import Refused
from approvals.policy import consent
from approvals.revisions import read_words
from audit.models import Entry
from audit.verify import verify
from billing_ai.facts.models import Invoice
from billing_ai.facts.queries import facts_hash
from billing_ai.kernel import clock
from tests.flows.conftest import World


def seen(proposal: Proposal) -> dict[str, str]:
    proposal.refresh_from_db()
    assert proposal.current is not None
    return {"content_hash": proposal.current.content_hash, "facts_hash": facts_hash(proposal.chargebee_invoice_id)}


def test_a_failed_payment_becomes_a_sent_message_and_a_recovered_case(world: World) -> None:
    # given a payment that has failed for want of funds
    customer = world.customer("de")
    invoice_id = world.fail(customer, "insufficient_funds")
    world.hear()
    message = world.proposal(invoice_id, "send_message")
    assert message.status == "waiting"
    assert message.case.category == "insufficient_funds"
    assert read_words(message.current).language.startswith("de")
    # when it is approved and sent, and the customer pays by the link in it
    world.approve(message)
    world.act()
    (mail,) = world.mail_to(customer)
    assert invoice_id in mail["text"]
    (out,) = re.findall(r"Wenn Sie keine solchen E-Mails mehr erhalten möchten: (\S+)", mail["text"])
    assert out in mail["html"]
    assert out == consent.unsubscribe_url(customer["id"])
    link = re.search(r"https?://\S+/(?:pay|pages)/\S+", mail["text"])
    assert link is not None
    page = httpx.get(link.group(0), follow_redirects=True)
    action = re.search(r'action="(/pay/[^"]+/pay)"', page.text)
    assert action is not None
    httpx.post(f"{world.site.base_url}{action.group(1)}", follow_redirects=True).raise_for_status()
    world.hear()
    # then the case is recovered, the message is credited, the rest is withdrawn, and the ledger is whole
    case = world.case(invoice_id)
    assert case.status == "recovered"
    outcome = Outcome.objects.get(case=case)
    assert (outcome.credited_to, outcome.currency) == ("email", case.currency)
    assert outcome.recovered_minor == case.recovered_minor > 0
    assert set(case.proposals.values_list("status", flat=True)) <= {"done", "withdrawn"}
    assert verify().is_whole
    kinds = set(Entry.objects.filter(case_id=case.pk).values_list("kind", flat=True))
    assert {
        "case.opened",
        "run.finished",
        "proposal.waiting",
        "proposal.approved",
        "execution.started",
        "execution.done",
        "case.recovered",
    } <= kinds
    assert LlmCall.objects.filter(run__subject_id=invoice_id, outcome="ok").count() == 1


def test_paying_while_a_draft_waits_means_that_nothing_is_sent(world: World) -> None:
    customer = world.customer()
    invoice_id = world.fail(customer)
    world.hear()
    message = world.proposal(invoice_id, "send_message")
    was_seen = seen(message)
    # when the customer pays before anyone has decided
    world.site.post("/control/pay", invoice_id=invoice_id)
    world.hear()
    # then the draft is withdrawn, an approval of it is refused, and no mail goes out
    with pytest.raises(Refused) as refused:
        transitions.approve(message.pk, world.people["lead"], **was_seen)
    assert refused.value.code == "already_decided"
    world.act()
    assert world.mail_to(customer) == []
    assert world.case(invoice_id).status == "recovered"


def test_paying_after_the_approval_is_seen_at_the_second_look(world: World) -> None:
    customer = world.customer()
    invoice_id = world.fail(customer)
    world.hear()
    message = world.approve(world.proposal(invoice_id, "send_message"))
    assert message.status == "approved"
    # when the payment comes in, and its webhook has not reached us yet
    world.site.post("/control/pay", invoice_id=invoice_id)
    world.act()
    # then the second look stops it, and says which check did
    message.refresh_from_db()
    assert message.status == "withdrawn"
    assert message.status_reason == "The invoice was paid meanwhile."
    assert Execution.objects.get(proposal=message).reason.startswith("look.invoice_open")
    assert world.mail_to(customer) == []


def test_the_approval_of_a_stale_page_is_refused(world: World) -> None:
    customer = world.customer("fr")
    invoice_id = world.fail(customer)
    world.hear()
    message = world.proposal(invoice_id, "send_message")
    page = seen(message)
    words = read_words(message.current)
    # when someone edits the text while the page is open
    transitions.edit(message.pk, world.people["lead"], base_revision_id=message.current.pk, body=words.body + "\n\nBien à vous")
    with pytest.raises(Refused) as refused:
        transitions.approve(message.pk, world.people["specialist"], **page)
    # then nothing was approved
    assert refused.value.code == "stale_revision"
    message.refresh_from_db()
    assert message.status == "waiting"
    assert not Execution.objects.filter(proposal=message).exists()
    world.act()
    assert world.mail_to(customer) == []


def test_an_edit_on_top_of_anothers_edit_is_refused_and_overwrites_nothing(world: World) -> None:
    customer = world.customer()
    invoice_id = world.fail(customer)
    world.hear()
    message = world.proposal(invoice_id, "send_message")
    base = message.current.pk
    first = transitions.edit(message.pk, world.people["lead"], base_revision_id=base, subject="About invoice {{ invoice.number }}")
    with pytest.raises(Refused) as refused:
        transitions.edit(message.pk, world.people["specialist"], base_revision_id=base, subject="Invoice {{ invoice.number }}")
    assert refused.value.code == "stale_revision"
    message.refresh_from_db()
    assert message.current_id == first.pk
    assert message.revisions.count() == 2


def test_of_two_people_who_click_one_wins(world: World) -> None:
    # given a message that either of them may approve alone: not every customer owes so little
    for _ in range(8):
        customer = world.customer()
        invoice_id = world.fail(customer)
        world.hear()
        message = world.proposal(invoice_id, "send_message")
        if (message.role_needed, message.approvals_needed) == ("specialist", 1):
            break
    assert (message.role_needed, message.approvals_needed) == ("specialist", 1)
    page = seen(message)
    told: list[str] = []

    def click(name: str) -> None:
        try:
            told.append(transitions.approve(message.pk, world.people[name], **page).status)
        except Refused as error:
            told.append(error.code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=click, args=(name,)) for name in ("specialist", "lead")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["already_decided", "approved"]
    world.act()
    assert len(world.mail_to(customer)) == 1


def test_an_auditor_may_look_and_decides_nothing(world: World) -> None:
    invoice_id = world.fail(world.customer())
    world.hear()
    message = world.proposal(invoice_id, "send_message")
    for decide in (
        lambda: transitions.approve(message.pk, world.people["auditor"], **seen(message)),
        lambda: transitions.reject(message.pk, world.people["auditor"], reason_code="other"),
        lambda: transitions.edit(message.pk, world.people["auditor"], base_revision_id=message.current.pk, body="x"),
    ):
        with pytest.raises(Refused) as refused:
            decide()
        assert refused.value.code == "not_allowed"
    message.refresh_from_db()
    assert message.status == "waiting"
    assert message.decisions.count() == 0


def test_a_rejection_with_an_instruction_drafts_again(world: World) -> None:
    invoice_id = world.fail(world.customer())
    world.hear()
    message = world.proposal(invoice_id, "send_message")
    transitions.reject(message.pk, world.people["specialist"], reason_code="wrong_tone", instruction="Shorter, please.")
    world.hear()
    again = Proposal.objects.filter(chargebee_invoice_id=invoice_id, action="send_message").order_by("-created_at").first()
    assert again is not None
    assert again.pk != message.pk
    assert again.status == "waiting"
    assert AgentRun.objects.get(cause=f"redraft:{message.pk}").instruction == "Shorter, please."


def test_an_undone_approval_sends_nothing_and_can_be_given_again(world: World, settings: object) -> None:
    settings.SEND_DELAY_SECONDS = 300  # type: ignore[attr-defined]
    customer = world.customer()
    invoice_id = world.fail(customer)
    world.hear()
    message = world.approve(world.proposal(invoice_id, "send_message"))
    transitions.undo(message.pk, world.people["specialist"])
    world.advance(minutes=6)
    world.act()
    assert world.mail_to(customer) == []
    settings.SEND_DELAY_SECONDS = 0  # type: ignore[attr-defined]
    world.approve(message)
    world.act()
    assert len(world.mail_to(customer)) == 1


def test_a_mail_whose_answer_is_lost_goes_to_a_person_and_is_never_sent_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from billing_ai.integrations.email import adapter
    from billing_ai.kernel.errors import Unknown

    customer = world.customer()
    invoice_id = world.fail(customer)
    world.hear()
    message = world.approve(world.proposal(invoice_id, "send_message"))
    sends = adapter.DjangoMail.send

    def loses_the_answer(self: object, mail: object, *, key: str) -> object:
        sends(self, mail, key=key)  # type: ignore[arg-type]
        raise Unknown("mail.answer_lost", "The mail server took the message and then went away.")

    monkeypatch.setattr(adapter.DjangoMail, "send", loses_the_answer)
    world.act()
    message.refresh_from_db()
    assert message.status == "unknown"
    world.advance(minutes=5)
    settling.settle_unknowns()
    world.act()
    held = Execution.objects.get(proposal=message)
    assert held.status == "person"
    assert len(world.mail_to(customer)) == 1
    # a person looks in the mailbox and says so
    with pytest.raises(Refused):
        transitions.settle_unknown(message.pk, world.people["specialist"], happened=True, note="")
    settled = transitions.settle_unknown(message.pk, world.people["specialist"], happened=True, note="It is in the mail log.")
    assert settled.status == "done"


def test_a_worker_that_dies_while_sending_leaves_unknown_and_no_second_send(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    customer = world.customer()
    invoice_id = world.fail(customer)
    world.hear()
    message = world.approve(world.proposal(invoice_id, "send_message"))
    # when the process ends between the commit of `executing` and the call
    monkeypatch.setattr(executing, "_call", lambda *_: None)
    world.act()
    monkeypatch.undo()
    held = Execution.objects.get(proposal=message)
    assert held.status == "executing"
    clock.shift(clock.offset() + executing.LEASE * 2)
    if connection.vendor == "postgresql":
        Execution.objects.filter(pk=held.pk).update(lease_until=clock.now() - executing.LEASE)
    assert settling.expire_leases() == 1
    held.refresh_from_db()
    message.refresh_from_db()
    assert (held.status, message.status) == ("unknown", "unknown")


def quiet_for_days(world: World) -> tuple[str, Proposal]:
    """The first message is sent, nothing else is left to decide, and nobody answers. No other news reaches us in these days."""
    customer = world.customer("de")
    invoice_id = world.fail(customer, "expired")
    world.hear()
    message = world.approve(world.proposal(invoice_id, "send_message"))
    world.act()
    assert len(world.mail_to(customer)) == 1
    for other in Proposal.objects.filter(chargebee_invoice_id=invoice_id, status="waiting"):
        transitions.reject(other.pk, world.people["specialist"], reason_code="wrong_time")
    world.advance(days=6)
    return invoice_id, message


def test_a_case_that_stays_quiet_for_five_days_gets_a_reminder_on_facts_fetched_anew(world: World) -> None:
    invoice_id, first = quiet_for_days(world)
    began = clock.now()
    assert runs.start_due(began) >= 1
    while runner.run_due():
        pass
    reminder = Proposal.objects.get(chargebee_invoice_id=invoice_id, action="send_message", status="waiting")
    assert reminder.step != first.step
    assert Invoice.objects.get(pk=invoice_id).fetched_at >= began


def test_a_case_that_was_paid_unheard_is_ended_instead_of_reminded(world: World) -> None:
    invoice_id, _ = quiet_for_days(world)
    world.site.post("/control/pay", invoice_id=invoice_id)
    runs.start_due(clock.now())
    while runner.run_due():
        pass
    assert world.case(invoice_id).status == "recovered"
    assert not Proposal.objects.filter(chargebee_invoice_id=invoice_id, status="waiting").exists()
