"""Erasing a customer: whatever people, other systems and the customer wrote, in every place that takes free text, is gone from every table."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.urls import reverse

from agents.models import AgentRun
from approvals import case_transitions, replies, transitions
from approvals.models import Case, Contact, Execution, Suppression
from approvals.policy import consent
from audit import reads
from audit.actor import system
from audit.checkpoints import checkpoint
from audit.models import Entry
from audit.seal import erase_customer
from audit.verify import verify
from billing_ai.api import arrivals, clients, tokens
from billing_ai.console import parked_work as parked_work_of
from billing_ai.inbox.models import Event
from billing_ai.kernel import clock
from billing_ai.kernel.money import Money
from billing_ai.signals.models import ReplyNote, UsageEvent
from tests import factories
from tests.database import places_with
from tests.db.api.conftest import Caller
from tests.db.approvals.conftest import seen

NAME = "Quillfeather"
"""Stands for whatever a person may have written about or as the customer."""
CUSTOMER = "cus_erased"
NUMBER = "+447700900123"


def another_case(chargebee: factories.FakeChargebee) -> Case:
    return factories.case(chargebee, customer_id=CUSTOMER, last_name=NAME, company=f"{NAME} Ltd", email=f"ada@{NAME.lower()}.example")


def colleagues_write(chargebee: factories.FakeChargebee, people: dict[str, User], client: Any) -> None:
    """Every transition that takes words, each on a case where it may happen."""
    specialist, lead = people["specialist"], people["lead"]
    lost = another_case(chargebee).proposals.get()
    transitions.approve(lost.pk, specialist, **seen(lost))
    Execution.objects.filter(proposal=lost).update(status=Execution.UNKNOWN, to_mark=consent.address_mark("sms", NUMBER))
    type(lost).objects.filter(pk=lost.pk).update(status="unknown")
    transitions.settle_unknown(lost.pk, specialist, happened=True, note=f"{NAME} has it in the inbox")
    for unpark in (transitions.replay_parked, transitions.drop_parked):
        parked = another_case(chargebee).proposals.get()
        transitions.approve(parked.pk, specialist, **seen(parked))
        Execution.objects.filter(proposal=parked).update(status=Execution.PARKED, reason="boom")
        unpark(Execution.objects.get(proposal=parked).pk, lead, f"{NAME} mended it")
    case = another_case(chargebee)
    message = case.proposals.get()
    transitions.edit(message.pk, lead, base_revision_id=seen_revision(message), subject=f"For {NAME}")
    transitions.approve(message.pk, specialist, **seen(message), note=f"{NAME} rang and agreed")
    transitions.undo(message.pk, specialist)
    transitions.reject(message.pk, specialist, reason_code="other", note=f"not for {NAME}", instruction=f"Write to {NAME} kindly")
    case_transitions.snooze(case.pk, specialist, clock.now() + timedelta(days=1), f"{NAME} is away")
    case_transitions.escalate(case.pk, specialist, "lead", f"{NAME} is a friend of the owner")
    case_transitions.escalate(case.pk, specialist, "helpdesk", f"{NAME} cannot sign in")
    case_transitions.add_note(case.pk, specialist, f"{NAME} is friendly")
    for kind in sorted(case_transitions.CALLS):
        case_transitions.add_note(case.pk, specialist, f"{NAME} and I spoke", kind)
    case_transitions.plan_call(case.pk, specialist, clock.now() + timedelta(hours=3), f"ask for {NAME}")
    case_transitions.set_tags(case.pk, specialist, [NAME])
    case_transitions.already_paid(case.pk, specialist, f"{NAME} paid by cheque")
    case_transitions.dispute(case.pk, specialist, next(iter(case_transitions.DISPUTE_CODES)), f"{NAME} says it was never delivered")
    case_transitions.settle_dispute(case.pk, specialist, f"{NAME} found it")
    case_transitions.take_promise(case.pk, specialist, Money(case.amount_due_minor, case.currency), clock.now().date() + timedelta(days=5))
    case_transitions.withdraw_promise(case.pk, specialist)
    case_transitions.do_not_contact(case.pk, specialist, f"{NAME} wants peace")
    case_transitions.wrong_person(case.pk, specialist, f"{NAME} has another number")
    case_transitions.close(case.pk, lead, f"{NAME} has died")
    for kind in consent.KINDS:
        row = consent.suppress(CUSTOMER, kind, lead, until_on=clock.now().date(), reason=f"{NAME}: {kind}")
        if kind != "hardship":
            consent.lift(row.pk, lead, reason=f"{NAME} changed their mind")
    reads.note_personal_read(lead, CUSTOMER, "name", f"{NAME} asked")
    client.force_login(lead)
    from django.core.files.uploadedfile import SimpleUploadedFile

    rows = f"customer_id,channel,kind,until,reason\n{CUSTOMER},call,do_not_contact,2099-12-31,{NAME} is on a list\n"
    answer = client.post(reverse("console:import_suppressions"), {"list": SimpleUploadedFile("list.csv", rows.encode())})
    assert answer.status_code == 302, answer.content.decode()[-2000:]


def parked_work(people: dict[str, User]) -> None:
    """An event, a run and a telling of theirs that were parked, and that colleagues let go on, corrected or gave up."""
    common = {"status": "parked", "reason": "boom", "chargebee_customer_id": CUSTOMER}
    told = {"client": "north", "customer_system": "other", "customer_ref": "x", "occurred_at": clock.now(), "name": "login"}
    for number, what in enumerate(("replay", "drop", "correct")):
        event = Event.objects.create(
            chargebee_event_id=f"ev_{what}", event_type="payment_failed", occurred_at=clock.now(), body_sha256="0" * 64, **common
        )
        run = AgentRun.objects.create(agent="dunning", subject_kind="invoice", subject_id=f"INV-{number}", cause=what, **common)
        usage = UsageEvent.objects.create(external_id=what, **told, **common)
        cause = {"customer_id": CUSTOMER, "invoice_id": f"INV-0{number}"}
        for kind, row in (("event", event), ("run", run), *([("usage", usage)] if what != "correct" else [])):
            parked_work_of.decide(kind, str(row.pk), people["lead"], what, f"{NAME} was merged with {NAME}", cause)


def seen_revision(message: Any) -> Any:
    message.refresh_from_db()
    return message.current.pk


def the_customer_answers(people: dict[str, User]) -> None:
    """By text message to us: the number is closed, and later a lead opens it again and says why."""
    assert replies.take_text(NUMBER, "STOP", "sms_1").customers == 1
    Contact.objects.create(
        chargebee_customer_id=CUSTOMER, channel="sms", direction="in", kind="reply", sealed_text=_sealed(f"This is {NAME}, leave me alone")
    )
    row = Suppression.objects.get(kind=consent.NUMBER_OPTED_OUT)
    assert row.chargebee_customer_id == ""  # known by its number only
    consent.lift(row.pk, people["lead"], reason=f"{NAME} asked to be texted again")


def _sealed(text: str) -> bytes:
    from audit.seal import seal

    return seal(CUSTOMER, text)


def other_systems_tell(people: dict[str, User]) -> None:
    """Through the API: notes, replies, tickets and usage, of the customer, and of a CRM record that nobody knew yet to be the customer."""
    north = clients.make("north", actor=system("test"), covers_everyone=True)
    _, secret = tokens.make(
        north, label="t", scopes=tuple(tokens.SCOPES), lives=timedelta(days=1), actor=system("test"), may_act_as=[people["specialist"]]
    )
    api = Caller(secret, _)
    now = (clock.now() - timedelta(minutes=1)).isoformat()
    for system_name, ref in (("chargebee", CUSTOMER), ("salesforce", "001-later"), ("hubspot", "never-linked-in-time")):
        who = {"system": system_name, "id": ref}
        note = {"customer": who, "text": f"{NAME} asked for a discount", "written_at": now, "author": NAME}
        ticket = {"customer": who, "subject": f"{NAME} cannot log in", "status": "open", "opened_at": now, "changed_at": now}
        usage = {"customer": who, "name": f"{NAME} exported a report", "unit": NAME, "occurred_at": now}
        sent = (
            api.post("/notes", {"notes": [{"id": f"n-{ref}", **note}]}),
            api.post("/replies", {"replies": [{"id": f"r-{ref}", **note, "channel": "email"}]}),
            api.post("/tickets", {"tickets": [{"id": f"t-{ref}", **ticket}]}),
            api.post("/usage-events", {"events": [{"id": f"u-{ref}", **usage}, {"id": f"u2-{ref}", **usage, "name": "report.exported"}]}),
        )
        assert [answer.status for answer in sent] == [200] * 4, [answer.body for answer in sent]
    link = {"customer_id": CUSTOMER, "system": "salesforce", "crm_id": "001-later", "owner": "u-7"}
    assert api.post("/crm-links", {"links": [link]}).status == 200
    clock.shift(timedelta(minutes=2))
    arrivals.look_again()
    assert ReplyNote.objects.filter(chargebee_customer_id=CUSTOMER).count() == 4
    # One that is linked only now, while what was told of it is still waiting.
    late = {"customer_id": CUSTOMER, "system": "hubspot", "crm_id": "never-linked-in-time"}
    assert api.post("/crm-links", {"links": [late]}).status == 200
    case = another_case(factories.FakeChargebee())
    message = case.proposals.get()
    key = {"Acting-User": "specialist", "Idempotency-Key": "key-1"}
    said = api.post(
        f"/proposals/{message.pk}/reject", {"reason_code": "other", "note": f"not {NAME}", "instruction": f"Greet {NAME}"}, **key
    )
    assert said.status == 200, said.body
    said = api.post(
        f"/cases/{case.pk}/snooze", {"until": (clock.now() + timedelta(days=1)).isoformat(), "note": NAME}, **key | {"Idempotency-Key": "2"}
    )
    assert said.status == 200, said.body


def test_no_word_is_left_in_any_place_that_takes_one(
    chargebee: factories.FakeChargebee, people: dict[str, User], client: Any, settings: Any, tmp_path: Any
) -> None:
    # given a customer about whom, and as whom, everything was written that can be written
    settings.AUDIT_CHECKPOINTS = [(tmp_path / "heads.jsonl").as_uri()]
    colleagues_write(chargebee, people, client)
    the_customer_answers(people)
    other_systems_tell(people)
    parked_work(people)
    before = places_with([NAME])
    assert {place.split(".")[0] for place in before} >= {
        "approvals_case", "approvals_decision", "approvals_execution", "approvals_suppression", "approvals_historicalsuppression",
        "agents_agentrun", "signals_usageevent", "signals_replynote", "inbox_event",
    }  # fmt: skip
    assert not any(place.startswith("audit_") for place in before), before  # the ledger was never told
    # when the customer is erased
    assert erase_customer(CUSTOMER, system("erase_customer"), "customer_request")
    arrivals.look_again()
    # then the word is in no column of any table, and what was counted is still there
    assert places_with([NAME]) == []
    assert AgentRun.objects.filter(chargebee_customer_id=CUSTOMER).exclude(instruction="").exists()
    assert set(UsageEvent.objects.filter(chargebee_customer_id=CUSTOMER).values_list("name", flat=True)) == {
        "erased",
        "report.exported",
        "login",
    }
    assert Suppression.objects.filter(chargebee_customer_id=CUSTOMER, kind="hardship", is_active=True).exists()
    # and the chain is whole, to its very end
    checkpoint()
    report = verify()
    assert report.is_whole, report.findings
    assert Entry.objects.filter(kind="customer.erased").count() == 1
    assert report.uncovered == 0
