"""A night's scores into both CRMs of the simulated site: proposed once, approved by a person, carried out batch by batch, and settled by looking."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from agents.churn import sent_scores
from agents.churn.models import ScoringRun
from approvals import crm_fields, crm_pushes, intake, settling, transitions
from approvals.actions import crm_push
from approvals.actions.contract import Request
from approvals.contract import CaseDraft, ProposalDraft, RunResult
from approvals.models import CrmBatch, Execution, Phase, Proposal
from approvals.policy import rules
from audit.models import Entry
from billing_ai.facts.models import Customer
from billing_ai.facts.queries import facts_hash
from billing_ai.integrations import registry
from billing_ai.integrations.ports import CustomerScore
from billing_ai.kernel import clock, ids
from billing_ai.kernel.money import Money
from tests.flows.conftest import World

SYSTEMS = ("salesforce", "hubspot")


@pytest.fixture(autouse=True)
def crms(world: World, settings: Any) -> None:
    """Both CRMs of the site, and an agent that proposes."""
    settings.SALESFORCE_URL, settings.HUBSPOT_URL = f"{world.site.base_url}/salesforce", f"{world.site.base_url}/hubspot"
    Phase.objects.filter(agent="churn").update(phase="assist")
    rules.forget()


def proposed(world: World, band: str) -> tuple[Proposal, list[str]]:
    """A push of the scores of 120 customers, and who they are."""
    customer_ids = [row["id"] for row in world.site.get("/control/customers", limit=500)["customers"]][:120]
    payload = crm_pushes.stage([(one, {"churn_90": 22, "churn_band": band, "health": None}) for one in customer_ids], as_of=clock.now())
    assert payload is not None
    zero = Money(0, "USD")
    case = CaseDraft("crm_push", "", "", zero, "", f"120 customers were scored ({band})", 0, 0, "", "", "en")
    draft = ProposalDraft("crm_push", f"push:{band}", zero, payload)
    submitted = intake.submit(RunResult("churn", ids.new_trace_id(), ids.new_trace_id(), "", facts_hash("", ""), "", "", case, (draft,)))
    assert submitted is not None
    return Proposal.objects.select_related("current").get(case=submitted, step=f"push:{band}"), customer_ids


def approve(world: World, proposal: Proposal) -> None:
    assert proposal.current is not None
    seen = {"content_hash": proposal.current.content_hash, "facts_hash": facts_hash("", "")}
    transitions.approve(proposal.pk, world.people["lead"], **seen)


def set_in(system: str, customer_ids: list[str], band: str) -> set[str]:
    """On whom that CRM has these values now."""
    fields = crm_fields.mapping((system,))[system]
    values = {"churn_90": 22, "churn_band": band, "health": None}
    return set(registry.crm(system).which_are_set([CustomerScore(one, crm_fields.as_fields(values, fields)) for one in customer_ids]))


def test_a_night_of_scores_reaches_both_crms(world: World) -> None:
    proposal, customer_ids = proposed(world, "high")
    assert (proposal.status, CrmBatch.objects.count()) == ("waiting", 2)
    # nothing goes before a person says so
    world.act()
    assert [set_in(system, customer_ids, "high") for system in SYSTEMS] == [set(), set()]
    # when a lead approves
    approve(world, proposal)
    world.act()
    # then both have all of it, and the ledger says that it was done
    proposal.refresh_from_db()
    assert proposal.status == "done", proposal.status_reason
    assert [set_in(system, customer_ids, "high") for system in SYSTEMS] == [set(customer_ids)] * 2
    done = Execution.objects.get(proposal=proposal)
    assert done.result["crms"] == {system: {"taken": 120, "refused": 0} for system in SYSTEMS}
    kinds = list(Entry.objects.filter(trace_id=proposal.trace_id).values_list("kind", flat=True))
    assert "proposal.approved" in kinds
    assert "execution.done" in kinds or "proposal.done" in kinds


def test_a_night_that_takes_several_turns_goes_on_until_it_is_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # given so many rows that one turn sends one batch to one CRM
    monkeypatch.setattr(crm_push, "SLICE_SECONDS", -1.0)
    proposal, customer_ids = proposed(world, "unset")
    approve(world, proposal)
    # when turn follows turn, more of them than a call has attempts
    Execution.objects.filter(proposal=proposal).update(max_attempts=2)
    world.act()
    # then all of it is there, and the push is done
    proposal.refresh_from_db()
    held = Execution.objects.get(proposal=proposal)
    assert (proposal.status, held.status) == ("done", "done"), held.reason
    assert list(held.attempts.order_by("number").values_list("outcome", flat=True)) == ["part", "part", "part", "done"]
    assert [set_in(system, customer_ids, "unset") for system in SYSTEMS] == [set(customer_ids)] * 2


def test_a_lost_answer_leaves_one_batch_in_doubt_and_a_look_settles_it(world: World) -> None:
    proposal, customer_ids = proposed(world, "low")
    approve(world, proposal)
    # given that HubSpot takes the first batch, and its answer is lost
    world.site.post("/control/faults", method="POST", path="/companies/batch/upsert", kind="act_then_drop", times=1)
    world.act()
    proposal.refresh_from_db()
    assert proposal.status == "unknown"
    first, second = CrmBatch.objects.order_by("number")
    assert (first.sending_to, "hubspot" in first.sent, second.sent) == ("hubspot", False, {})
    # when it is looked up
    clock.shift(clock.offset() + timedelta(minutes=30))
    while settling.settle_unknowns():
        pass
    world.act()
    # then the batch was found there and not sent again, and the rest went out
    proposal.refresh_from_db()
    assert proposal.status == "done", proposal.status_reason
    first, second = CrmBatch.objects.order_by("number")
    assert (first.sent["hubspot"]["settled_by"], second.sent["hubspot"]["settled_by"]) == ("look-up", "answer")
    assert [set_in(system, customer_ids, "low") for system in SYSTEMS] == [set(customer_ids)] * 2


def test_the_next_night_sends_only_who_changed_to_both(world: World) -> None:
    # given a night whose scores both CRMs took, and whom they hold
    proposal, customer_ids = proposed(world, "high")
    approve(world, proposal)
    world.act()
    assert proposal.current is not None
    night = ScoringRun.objects.create(
        night=clock.utc_date(clock.now()), status="done", as_of=clock.now(), figures={"push": proposal.current.payload}
    )
    before = _written(world)
    # when three of them have another score the night after
    moved = set(customer_ids[5:8])
    rows = [(one, {"churn_90": 22, "churn_band": "medium" if one in moved else "high", "health": None}) for one in customer_ids]
    sent_scores.learn()
    payload = crm_pushes.stage(sent_scores.changed(rows), as_of=clock.now())
    # then they alone are in its push, in one call to each CRM instead of two
    assert payload is not None
    assert [one for batch in crm_pushes.batches(payload["push"]) for one, _ in batch.rows] == customer_ids[5:8]
    crm_push.ACTION.act(Request(payload), key="the-next-night")
    assert _written(world) - before == 3 * 2
    assert [set_in(system, customer_ids, "medium") for system in SYSTEMS] == [moved, moved]
    assert [set_in(system, customer_ids, "high") for system in SYSTEMS] == [set(customer_ids) - moved] * 2
    night.refresh_from_db()
    assert night.figures["push_is_whole"]


def _written(world: World) -> int:
    """Records that the two CRMs had written so far."""
    return sum(len(world.site.calls(channel=system, limit=5_000)) for system in SYSTEMS)


def test_rows_or_fields_that_changed_after_the_approval_stay_here(world: World) -> None:
    proposal, customer_ids = proposed(world, "critical")
    approve(world, proposal)
    crm_fields.change_field(
        "hubspot", "churn_90", world.people["lead"], theirs="our_own_field", is_enabled=True, reason="a field of our own"
    )
    world.act()
    proposal.refresh_from_db()
    assert (proposal.status, "field of the CRM was changed" in proposal.status_reason) == ("withdrawn", True)
    assert [set_in(system, customer_ids, "critical") for system in SYSTEMS] == [set(), set()]


def test_of_a_customer_who_is_gone_nothing_is_sent(world: World) -> None:
    proposal, customer_ids = proposed(world, "medium")
    approve(world, proposal)
    Customer.objects.update_or_create(pk=customer_ids[0], defaults={"is_deleted": True, "fetched_at": clock.now()})
    world.act()
    proposal.refresh_from_db()
    assert proposal.status == "done", proposal.status_reason
    assert [set_in(system, customer_ids, "medium") for system in SYSTEMS] == [set(customer_ids[1:])] * 2
    assert Execution.objects.get(proposal=proposal).result["crms"]["hubspot"] == {"taken": 119, "refused": 1}
