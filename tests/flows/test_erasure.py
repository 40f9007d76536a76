"""Erasing a customer leaves no readable word of theirs anywhere in the database, and the chain verifies."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from django.test import Client
from django.utils.http import urlencode

from agents.models import AgentRun
from approvals import case_transitions, transitions
from approvals.models import Execution, Proposal
from approvals.policy import consent
from audit import reads as personal
from audit.actor import system
from audit.checkpoints import checkpoint
from audit.seal import erase_customer
from audit.verify import verify
from tests.database import places_with
from tests.flows.conftest import World

COLLEAGUE_WROTE = "Quillfeather"
"""A word that a colleague may well have used about the customer, in each place where one can write freely."""


def is_in_a_zone(row: dict[str, Any]) -> bool:
    """Whoever is called Holm cannot be told from Stockholm."""
    return any(row["last_name"].lower() in zone.lower() for zone in available_timezones())


def test_no_word_of_an_erased_customer_is_left(world: World, settings: Any) -> None:
    # given a customer to whom a mail went, about whom colleagues wrote in every place where they can
    customer = world.customer("en", fits=lambda row: len(row["last_name"]) > 3 and row["last_name"].isascii() and not is_in_a_zone(row))
    lead = world.people["lead"]
    invoice_id = world.fail(customer)
    world.hear()
    message = world.proposal(invoice_id, "send_message")
    revision = transitions.edit(message.pk, lead, base_revision_id=message.current.pk, subject=f"For {COLLEAGUE_WROTE}, about the invoice")
    assert revision.number == 2
    transitions.reject(
        message.pk, lead, reason_code="other", note=f"{COLLEAGUE_WROTE} called", instruction=f"Write to {COLLEAGUE_WROTE} kindly"
    )
    assert AgentRun.objects.filter(instruction__contains=COLLEAGUE_WROTE).exists()
    world.hear()
    again = Proposal.objects.select_related("current").get(chargebee_invoice_id=invoice_id, action="send_message", status="waiting")
    world.approve(again)
    world.act()
    assert len(world.mail_to(customer)) == 1
    case = world.case(invoice_id)
    case_transitions.add_note(case.pk, lead, f"{COLLEAGUE_WROTE} was friendly.", "call")
    case_transitions.set_tags(case.pk, lead, [COLLEAGUE_WROTE])
    row = consent.suppress(customer["id"], "hardship", lead, reason=f"{COLLEAGUE_WROTE} lost the job")
    consent.lift(row.pk, lead, reason=f"{COLLEAGUE_WROTE} has a new one")
    personal.note_personal_read(lead, customer["id"], "name", f"{COLLEAGUE_WROTE} asked")
    retry = world.approve(world.proposal(invoice_id, "collect_payment"))
    Execution.objects.filter(proposal=retry).update(status="parked", reason="boom")
    parked = Execution.objects.get(proposal=retry)
    transitions.replay_parked(parked.pk, lead, f"{COLLEAGUE_WROTE} mended it")
    Execution.objects.filter(pk=parked.pk).update(status="parked")
    transitions.drop_parked(parked.pk, lead, f"{COLLEAGUE_WROTE} paid by cheque")
    settings.SMS_TOKEN, settings.PUBLIC_URL = "token", "https://console.example.com"
    told = world.site.post(
        "/control/sms/reply",
        **{"from": customer["phone"], "to": "+1", "body": "STOP", "url": "https://console.example.com/webhooks/sms/", "token": "token"},
    )["webhook"]
    form = "application/x-www-form-urlencoded"
    assert Client().post("/webhooks/sms/", urlencode(told["form"]), content_type=form, headers=told["headers"]).status_code == 200
    world.advance(minutes=3)
    world.act()
    words = [customer["last_name"], customer["email"], customer["phone"], customer["company"], COLLEAGUE_WROTE]
    assert COLLEAGUE_WROTE.lower() in "".join(places_with(words))  # they can be read until then
    # when the customer is erased
    assert erase_customer(customer["id"], system("erase_customer"), "customer_request")
    checkpoint()
    # then none of these words is in any column of any table
    assert places_with(words) == []
    report = verify()
    assert report.is_whole, report.findings
    assert report.entries > 20
