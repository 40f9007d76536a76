"""Only what a CRM does not have goes into a push; what did not arrive, for whatever reason, goes again."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command

from agents import runner
from agents.churn import nightly, sent_scores
from agents.churn.models import SentScore
from agents.models import AgentRun
from approvals import crm_fields, crm_pushes
from approvals.models import CrmBatch, Proposal
from audit.models import Entry
from billing_ai.kernel import clock
from tests.db.churn.conftest import customer, failed_payment, phase
from tests.factories import user

SYSTEMS = ("salesforce", "hubspot")


@pytest.fixture(autouse=True)
def _two_crms(_rules_and_clock: Any, settings: Any) -> None:
    settings.SALESFORCE_URL, settings.HUBSPOT_URL = "http://crm.test/salesforce", "http://crm.test/hubspot"
    phase("assist")
    for number in range(4):
        customer(f"cus_{number}")


def night() -> str:
    """The next night, with its runs; the push that it staged, or empty."""
    clock.shift(clock.offset() + timedelta(days=1))
    nightly.work()
    runner.run_due(20)
    newest = Proposal.objects.filter(action="crm_push", created_at__gte=clock.now() - timedelta(hours=1)).select_related("current").first()
    return str(newest.current.payload["push"]) if newest is not None and newest.current is not None else ""


def staged(push: str) -> list[str]:
    return [customer_id for batch in crm_pushes.batches(push) for customer_id, _ in batch.rows] if push else []


def taken(push: str, *systems: str, refused: tuple[str, ...] = ()) -> None:
    """The CRMs took it, but for the `refused`."""
    for batch in CrmBatch.objects.filter(push=push):
        said = {"at": clock.now().isoformat(), "taken": 1, "refused": dict.fromkeys(refused, "no such record"), "settled_by": "answer"}
        batch.sent = {**batch.sent, **dict.fromkeys(systems, said)}
        batch.save()


def test_the_first_push_holds_everyone_and_the_next_only_who_changed() -> None:
    first = night()
    assert staged(first) == ["cus_0", "cus_1", "cus_2", "cus_3"]
    taken(first, *SYSTEMS)
    for number in range(6):
        failed_payment("cus_2", days_ago=1 + number)

    second = night()

    assert staged(second) == ["cus_2"]
    push = Proposal.objects.get(action="crm_push", current__payload__push=second)
    assert push.case.headline.startswith("4 customers were scored in the night of ")
    assert push.case.headline.endswith(" 1 is not in the CRM with the present score.")
    taken(second, *SYSTEMS)
    # and when nothing has changed, there is no push
    assert night() == ""
    assert (
        AgentRun.objects.filter(subject_kind="night").latest("created_at").reason == "there is no score that the CRM does not have already"
    )


def test_what_was_not_approved_or_stopped_half_way_goes_again() -> None:
    assert len(staged(night())) == 4  # nobody approves it
    second = night()
    assert len(staged(second)) == 4
    taken(second, "salesforce")  # the worker died before HubSpot
    third = night()
    assert len(staged(third)) == 4
    taken(third, *SYSTEMS, refused=("cus_1",))
    fourth = night()
    assert staged(fourth) == ["cus_1"]


def test_the_later_call_counts_whichever_push_it_was_of() -> None:
    first = night()
    for number in range(6):
        failed_payment("cus_2", days_ago=1 + number)
    second = night()
    taken(second, *SYSTEMS)
    clock.shift(clock.offset() + timedelta(minutes=5))
    taken(first, *SYSTEMS)  # approved late: its older values have overwritten the newer
    assert staged(night()) == ["cus_2"]


def test_another_field_of_the_crm_has_everyone_sent_again() -> None:
    taken(night(), *SYSTEMS)
    crm_fields.change_field("hubspot", "health", user("lead"), theirs="our_health", is_enabled=True, reason="Their name.")
    assert len(staged(night())) == 4


def test_the_figures_inside_a_reason_are_no_change_and_another_reason_is() -> None:
    fields = crm_fields.mapping(("hubspot",))["hubspot"]
    values = {"churn_90": 22, "churn_band": "high", "why": "failed payments in 90 days: 6; days since used: 12", "scored_at": "2026-03-11"}
    later = {**values, "why": "failed payments in 90 days: 5; days since used: 13", "scored_at": "2026-03-12"}
    other = {**values, "why": "failed payments in 90 days: 6; tickets open: 2"}
    assert sent_scores.mark(later, fields) == sent_scores.mark(values, fields)
    assert len({sent_scores.mark(one, fields) for one in (values, other, {**values, "churn_90": 23})}) == 3


def test_everyone_is_sent_again_when_that_is_ordered() -> None:
    first = night()
    taken(first, *SYSTEMS)
    assert night() == ""
    assert SentScore.objects.count() == 8
    said = io.StringIO()
    call_command("resend_scores", "--all", stdout=said)
    assert said.getvalue() == "8 scores that the CRM was given are forgotten; the next night's push holds everyone.\n"
    assert Entry.objects.get(kind="crm.everyone_is_sent_again").data == {"forgotten": 8}
    assert len(staged(night())) == 4
