"""Every action of the console for every role: who may, does; who may not changes nothing, and it is in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from approvals.models import (
    Case,
    Consent,
    Decision,
    Execution,
    KillSwitch,
    Limit,
    Note,
    Phase,
    Policy,
    Promise,
    Proposal,
    Revision,
    Suppression,
)
from audit.models import Entry
from billing_ai.facts.queries import facts_hash
from billing_ai.inbox.models import Event
from billing_ai.kernel import clock
from tests import factories

WORKERS, LEADS = {"specialist", "lead"}, {"lead"}
ROLES = ("specialist", "lead", "finance", "auditor", "nobody")
SEES = {"specialist", "lead", "finance", "auditor"}


def _hashes(case: Case) -> dict[str, str]:
    one = case.proposals.get()
    assert one.current is not None
    return {
        "proposal": str(one.pk),
        f"content_hash:{one.pk}": one.current.content_hash,
        f"facts_hash:{one.pk}": facts_hash(case.chargebee_invoice_id),
    }


def _approved(case: Case) -> Proposal:
    from approvals import transitions

    one = case.proposals.get()
    boss = factories.user("lead", "boss")
    assert one.current is not None
    return transitions.approve(one.pk, boss, content_hash=one.current.content_hash, facts_hash=facts_hash(case.chargebee_invoice_id))


Ask = Callable[[Any, Case], Any]


def _act(what: str, **form: str) -> Ask:
    return lambda client, case: client.post(f"/console/case/{case.pk}/{what}/", form)


def _on_proposal(what: str, form: Callable[[Proposal], dict[str, Any]]) -> Ask:
    def ask(client: Any, case: Case) -> Any:
        one = case.proposals.get()
        return client.post(f"/console/proposal/{one.pk}/{what}/", form(one))

    return ask


def _parked(client: Any, case: Case) -> Any:
    event = Event.objects.create(
        chargebee_event_id="ev_parked",
        event_type="payment_failed",
        occurred_at=clock.now(),
        body_sha256="0" * 64,
        status="parked",
        reason="unreadable",
    )
    return client.post(f"/console/parked/event/{event.pk}/", {"what": "drop", "note": "A test event."})


SOON = (clock.now() + timedelta(days=3)).date().isoformat()
ACTIONS: dict[str, tuple[set[str], Ask]] = {
    "approve": (WORKERS, lambda client, case: client.post(f"/console/case/{case.pk}/approve/", _hashes(case))),
    "reject": (WORKERS, lambda client, case: client.post(f"/console/case/{case.pk}/reject/", {**_hashes(case), "reason_code": "wrong_tone"})),
    "undo": (WORKERS, lambda client, case: client.post("/console/undo/", {"proposal": str(case.proposals.get().pk)})),
    "edit": (WORKERS, _on_proposal("edit", lambda one: {"base_revision": one.current_id, "subject": "S", "body": "B {{ links.pay }}"})),
    "settle": (WORKERS, _on_proposal("settle", lambda one: {"happened": "yes", "note": "It is in the outbox of the mail server."})),
    "snooze": (WORKERS, _act("snooze", days="3")),
    "escalate": (WORKERS, _act("escalate", to="lead", note="Large.")),
    "assign": (WORKERS, _act("assign", owner="")),
    "note": (WORKERS, _act("note", text="Rang.", kind="call")),
    "call_task": (WORKERS, _act("call_task", days="3", note="About the card.")),
    "no_answer": (WORKERS, _act("note", text="Rang twice.", kind="no_answer")),
    "promise": (WORKERS, _act("promise", amount="10.00", due_on=SOON)),
    "withdraw_promise": (WORKERS, _act("withdraw_promise")),
    "dispute": (WORKERS, _act("dispute", code="amount", note="Says it is too much.")),
    "settle_dispute": (WORKERS, _act("settle_dispute", note="Settled.")),
    "already_paid": (WORKERS, _act("already_paid", note="Yesterday.")),
    "wrong_person": (WORKERS, _act("wrong_person")),
    "do_not_contact": (WORKERS, _act("do_not_contact")),
    "tags": (WORKERS, _act("tags", tags="vip")),
    "deadline": (WORKERS, _act("deadline", days="1")),
    "close": (LEADS, _act("close", note="Not worth it.")),
    "parked": (WORKERS, _parked),
    "english": (WORKERS, _on_proposal("english", lambda one: {})),
    "bulk": (LEADS, lambda client, case: client.post("/console/queue/release/", {**_hashes(case), "step": "release", "gap": "30"})),
    "kill_switch": (LEADS, lambda client, case: client.post("/console/switch/", {"scope": "all", "turn": "on", "reason": "A test."})),
    "policy": (LEADS, lambda client, case: client.post("/console/rule/policy/contact.frequency/", {"param:messages": "2", "param:days": "7", "is_enabled": "on", "reason": "Fewer."})),
    "limit": (LEADS, lambda client, case: client.post(f"/console/rule/limit/{Limit.objects.earliest('pk').pk}/", {"value": "7", "reason": "Lower."})),
    "phase": (LEADS, lambda client, case: client.post(f"/console/rule/phase/{Phase.objects.earliest('pk').pk}/", {"phase": "observe", "reason": "Careful."})),
    "import": (LEADS, lambda client, case: client.post("/console/suppressions/import/", {"list": SimpleUploadedFile("l.csv", b"customer_id\ncus_listed\n")})),
    "try_a_policy_and_change_it": (LEADS, lambda client, case: client.post("/console/rule/policy/contact.quiet_hours/", {"param:start": "09:00", "param:end": "18:00", "is_enabled": "on", "step": "change", "reason": "Later."})),
    "new_limit": (LEADS, lambda client, case: client.post("/console/rule/limit/new/", {"agent": "dunning", "key": "daily_amount", "of": "EUR", "value": "100", "reason": "A pilot."})),
    "new_segment": (LEADS, lambda client, case: client.post("/console/rule/segment/new/", {"agent": "dunning", "segment": "pilot", "tag": "pilot", "rank": "10", "sample_percent": "20", "step": "change", "reason": "A pilot."})),
    "segment": (LEADS, lambda client, case: client.post(f"/console/rule/segment/{Phase.objects.earliest('pk').pk}/", {"rank": "100", "sample_percent": "50", "step": "change", "reason": "See more."})),
    "said_no": (WORKERS, lambda client, case: client.post(f"/console/contact/{case.chargebee_customer_id}/", {"what": "consent", "channel": "sms", "state": "denied"})),
    "said_yes": (LEADS, lambda client, case: client.post(f"/console/contact/{case.chargebee_customer_id}/", {"what": "consent", "channel": "sms", "state": "granted"})),
    "suppress": (WORKERS, lambda client, case: client.post(f"/console/contact/{case.chargebee_customer_id}/", {"what": "suppress", "kind": "hardship"})),
    "lift": (LEADS, lambda client, case: client.post(f"/console/contact/{case.chargebee_customer_id}/", {"what": "lift", "entry": str(Suppression.objects.get().pk), "reason": "They called."})),
    "import_consents": (LEADS, lambda client, case: client.post("/console/consents/import/", {"list": SimpleUploadedFile("l.csv", b"customer_id,channel,state\ncus_1,sms,granted\n")})),
}  # fmt: skip

SHOWS = {"english"}
"""Orders that answer with a page and change nothing but the ledger."""


def _prepare(action: str, case: Case) -> None:
    if action == "undo":
        _approved(case)
    if action == "settle":
        one = _approved(case)
        Proposal.objects.filter(pk=one.pk).update(status="unknown")
        Execution.objects.filter(proposal=one).update(status="unknown")
    if action == "withdraw_promise":
        Promise.objects.create(case=case, amount_minor=100, currency="EUR", due_on=clock.now().date(), amount_due_at_start_minor=4_900)
        Case.objects.filter(pk=case.pk).update(status="promised")
    if action == "lift":
        Suppression.objects.create(chargebee_customer_id=case.chargebee_customer_id)
    if action == "settle_dispute":
        Case.objects.filter(pk=case.pk).update(status="disputed")


_WATCHED = (Case, Proposal, Revision, Decision, Execution, Promise, Note, Suppression, Consent, KillSwitch, Policy, Limit, Phase)


def _everything() -> dict[str, list[Any]]:
    return {model.__name__: list(model.objects.order_by("pk").values()) for model in _WATCHED}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("role", ROLES)
def test_who_may_does_and_who_may_not_changes_nothing(role: str, action: str, chargebee: Any, as_user: Any) -> None:
    allowed, ask = ACTIONS[action]
    case = factories.case(chargebee)
    _prepare(action, case)
    user = factories.user(role)
    before, noted = _everything(), Entry.objects.count()

    answer = ask(as_user(user), case)

    if role in allowed:
        assert answer.status_code == (200 if action in SHOWS else 302), answer.content[:500]
        assert _everything() != before or action in SHOWS or action == "parked"
        assert not Entry.objects.filter(kind="console.refused").exists()
        assert Entry.objects.count() > noted
        return
    assert _everything() == before
    refused = Entry.objects.filter(kind="console.refused", actor_id=str(user.pk))
    assert refused.count() == 1, "a denial has to be in the ledger"


@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("/console/queue/", SEES),
        ("/console/parked/", SEES),
        ("/console/approvals/proposal/", SEES),
        ("/console/approvals/policy/", SEES),
        ("/console/inbox/event/", SEES),
        ("/console/agents/agentrun/", SEES),
        ("/console/facts/customer/", SEES),
        ("/console/suppressions/import/", LEADS),
        ("/console/consents/import/", LEADS),
        ("/console/rule/segment/new/", SEES),
        ("/console/rule/limit/new/", SEES),
    ],
)
@pytest.mark.parametrize("role", ROLES)
def test_who_may_look(role: str, path: str, who: set[str], as_user: Any) -> None:
    assert as_user(factories.user(role)).get(path).status_code == (200 if role in who else 403)


def test_a_stranger_is_sent_to_the_door(client: Any, chargebee: Any) -> None:
    case = factories.case(chargebee)
    for path in ("/console/queue/", f"/console/case/{case.pk}/", "/console/"):
        answer = client.get(path)
        assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/console/login/")


def test_names_are_only_for_those_who_may_see_them(chargebee: Any, as_user: Any) -> None:
    case = factories.case(chargebee, first_name="Greta", last_name="Unverkennbar")
    page = as_user(factories.user("auditor")).get(f"/console/case/{case.pk}/").content.decode()
    assert "Unverkennbar" not in page
    assert "Greta" not in page
    assert "Your role does not see names and addresses." in page
    assert as_user(factories.user("auditor", "second")).post("/console/queue/find/", {"who": "Unver"}).status_code == 403


def test_every_order_on_a_case_has_a_row_in_the_matrix() -> None:
    from approvals.admin.acting import ACTS

    assert set(ACTS) <= set(ACTIONS)
