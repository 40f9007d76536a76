"""Deciding as a named person: that person's role, the same transitions, once, and only what was seen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from approvals.models import Case, Decision, Execution, Limit, Promise, Proposal
from approvals.models.cases import HistoricalCase  # type: ignore[attr-defined]  # made by simple-history
from audit.models import Entry
from billing_ai.api.models import IdempotentCall
from billing_ai.facts.models import Invoice
from billing_ai.facts.queries import facts_hash
from billing_ai.kernel import clock
from tests import factories
from tests.db.api.conftest import Answer, Caller, MakeToken, case_of, waiting_proposal


def by(name: str, key: str = "key-1") -> dict[str, str]:
    return {"Acting-User": name, "Idempotency-Key": key}


def seen(api: Caller, proposal: Proposal) -> dict[str, str]:
    """What a CRM page that read the proposal just now would send along."""
    said = api.get(f"/proposals/{proposal.pk}").body
    return {"content_hash": said["content_hash"], "facts_hash": said["facts_hash"]}


def soon(days: int = 3) -> str:
    return (clock.now() + timedelta(days=days)).isoformat()


@pytest.fixture
def case(db: Any) -> Case:
    return case_of("cus_1", due_minor=4900)


@pytest.fixture
def proposal(case: Case) -> Proposal:
    return waiting_proposal(case)


def test_an_approval_is_that_persons(api: Caller, case: Case, proposal: Proposal, people: dict[str, User]) -> None:
    said = api.post(f"/proposals/{proposal.pk}/approve", {**seen(api, proposal), "note": "looks right"}, **by("specialist"))
    # then the proposal is approved and waits to go out
    assert (said.status, said.body["status"], said.body["execution"]["status"]) == (200, "approved", "waiting")
    assert [(one["kind"], one["by"], one["role"]) for one in said.body["decisions"]] == [("approve", "specialist", "specialist")]
    decision = Decision.objects.get()
    assert (decision.by, decision.role, decision.note) == (people["specialist"], "specialist", "looks right")
    assert Execution.objects.get().proposal_id == proposal.pk
    # and the ledger tells who, and through which token
    acted = Entry.objects.get(kind="api.acted")
    assert (acted.actor_kind, acted.actor_label, acted.data["order"], acted.data["client"]) == ("person", "specialist", "approve", "north")
    assert acted.data["token"] == str(api.token.pk)
    assert said.body["words"] is None  # the answer is kept beside its key; words are kept sealed only


def test_a_rejection_with_a_reason(api: Caller, proposal: Proposal) -> None:
    said = api.post(f"/proposals/{proposal.pk}/reject", {"reason_code": "customer_spoke", "note": "pays on Friday"}, **by("lead"))
    assert (said.status, said.body["status"]) == (200, "rejected")
    assert Decision.objects.get().reason_code == "customer_spoke"


def test_a_snooze(api: Caller, case: Case, people: dict[str, User]) -> None:
    until = soon()
    said = api.post(f"/cases/{case.pk}/snooze", {"until": until}, **by("specialist"))
    assert said.status == 200
    case.refresh_from_db()
    assert case.snoozed_until is not None
    assert case.snoozed_until.isoformat() == until
    newest = HistoricalCase.objects.filter(id=case.pk).latest("history_id")
    assert newest.history_user == people["specialist"]


def test_a_promise(api: Caller, case: Case, people: dict[str, User]) -> None:
    said = api.post(f"/cases/{case.pk}/promises", {"amount_minor": 4900, "currency": "EUR", "due_on": soon()[:10]}, **by("specialist"))
    assert (said.status, said.body["status"]) == (200, "promised")
    assert [(one["amount_minor"], one["status"]) for one in said.body["promises"]] == [(4900, "open")]
    promise = Promise.objects.get()
    assert (promise.taken_by, promise.amount_minor) == (people["specialist"], 4900)
    # the message that waited is withdrawn, as it is in the console
    assert waiting_proposal(case).status == "withdrawn"


# -- who -------------------------------------------------------------------------------------------------------------------------

Ask = Callable[[Caller, Case, dict[str, str]], Answer]
ORDERS: dict[str, Ask] = {
    "approve": lambda api, case, head: api.post(
        f"/proposals/{waiting_proposal(case).pk}/approve", seen(api, waiting_proposal(case)), **head
    ),
    "reject": lambda api, case, head: api.post(f"/proposals/{waiting_proposal(case).pk}/reject", {"reason_code": "wrong_tone"}, **head),
    "snooze": lambda api, case, head: api.post(f"/cases/{case.pk}/snooze", {"until": soon()}, **head),
    "promise": lambda api, case, head: api.post(
        f"/cases/{case.pk}/promises", {"amount_minor": 4900, "currency": "EUR", "due_on": soon()[:10]}, **head
    ),
}


def untouched(case: Case) -> bool:
    case.refresh_from_db()
    is_as_it_was = (case.status, case.snoozed_until, waiting_proposal(case).status) == ("open", None, "waiting")
    return is_as_it_was and not Decision.objects.exists() and not Promise.objects.exists() and not IdempotentCall.objects.exists()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        ({"Idempotency-Key": "k"}, 400, "acting_user_missing"), ({"Acting-User": "  ", "Idempotency-Key": "k"}, 400, "acting_user_missing"),
        ({"Acting-User": "specialist"}, 400, "idempotency_key_missing"), (by("ghost"), 403, "acting_user_not_allowed"),
        (by("finance"), 403, "acting_user_not_allowed"), (by("auditor"), 403, "not_allowed"),
    ],
)  # fmt: skip
def test_whoever_may_not_decide_decides_nothing(order: str, head: dict[str, str], status: int, code: str, api: Caller, case: Case) -> None:
    said = ORDERS[order](api, case, head)
    assert (said.status, said.code) == (status, code)
    assert untouched(case)


@pytest.mark.parametrize("order", ORDERS)
def test_a_disabled_person_decides_nothing(order: str, api: Caller, case: Case, people: dict[str, User]) -> None:
    people["specialist"].is_active = False
    people["specialist"].save()
    said = ORDERS[order](api, case, by("specialist"))
    assert (said.status, said.code) == (403, "user_disabled")
    assert untouched(case)


def test_a_role_that_was_taken_away_counts_at_once(api: Caller, case: Case, people: dict[str, User]) -> None:
    people["specialist"].groups.clear()
    assert ORDERS["approve"](api, case, by("specialist")).code == "not_allowed"
    assert untouched(case)
    # the refusal is written down, in that person's name
    refused = Entry.objects.get(kind="api.refused")
    assert (refused.actor_label, refused.data["code"]) == ("specialist", "not_allowed")


def test_a_specialists_limit_holds_here_too(api: Caller, people: dict[str, User]) -> None:
    Limit.objects.update_or_create(agent="dunning", key="specialist_limit", defaults={"value": 100})
    case = case_of("cus_1", due_minor=490_000, words=None)
    retry = factories.proposal(case, action="collect_payment", step="retry:1", amount_minor=490_000)
    said = api.post(f"/proposals/{retry.pk}/approve", seen(api, retry), **by("specialist"))
    assert (said.status, said.code) == (403, "over_limit")
    retry.refresh_from_db()
    assert retry.status == "waiting"
    assert not Execution.objects.exists()


# -- what was seen ---------------------------------------------------------------------------------------------------------------


def test_only_what_was_seen_is_approved(api: Caller, case: Case, proposal: Proposal) -> None:
    read = seen(api, proposal)
    for change in ({"content_hash": "0" * 64}, {"facts_hash": "0" * 64}):
        said = api.post(f"/proposals/{proposal.pk}/approve", {**read, **change}, **by("specialist"))
        assert said.status == 412
        assert said.code in ("stale_revision", "stale_facts")
    assert untouched(case)
    # when the invoice has changed since it was read
    Invoice.objects.filter(pk=case.chargebee_invoice_id).update(amount_due_minor=1)
    assert api.post(f"/proposals/{proposal.pk}/approve", read, **by("specialist")).code == "stale_facts"
    assert untouched(case)
    assert facts_hash(case.chargebee_invoice_id, "cus_1") != read["facts_hash"]


def test_what_was_decided_is_not_decided_again(api: Caller, case: Case, proposal: Proposal) -> None:
    read = seen(api, proposal)
    api.post(f"/proposals/{proposal.pk}/reject", {"reason_code": "wrong_tone"}, **by("lead", "key-1"))
    late = api.post(f"/proposals/{proposal.pk}/approve", read, **by("specialist", "key-2"))
    assert (late.status, late.code) == (409, "already_decided")
    assert not Execution.objects.exists()


# -- once ------------------------------------------------------------------------------------------------------------------------


def test_the_same_call_again_decides_once(api: Caller, proposal: Proposal) -> None:
    body = seen(api, proposal)
    first = api.post(f"/proposals/{proposal.pk}/approve", body, **by("specialist"))
    again = api.post(f"/proposals/{proposal.pk}/approve", body, **by("specialist"))
    assert (again.status, again.body, again.header("Idempotent-Replayed")) == (200, first.body, "true")
    assert (Decision.objects.count(), Execution.objects.count(), Entry.objects.filter(kind="api.acted").count()) == (1, 1, 1)


def test_a_key_cannot_be_taken_over_by_another_person(api: Caller, proposal: Proposal) -> None:
    body = seen(api, proposal)
    api.post(f"/proposals/{proposal.pk}/approve", body, **by("specialist"))
    other = api.post(f"/proposals/{proposal.pk}/approve", body, **by("lead"))
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    assert Decision.objects.count() == 1


def test_a_replay_needs_the_same_right(api: Caller, token: MakeToken, proposal: Proposal, people: dict[str, User]) -> None:
    body = seen(api, proposal)
    api.post(f"/proposals/{proposal.pk}/approve", body, **by("specialist"))
    lesser = token("act", may_act_as=[people["lead"]])
    assert lesser.post(f"/proposals/{proposal.pk}/approve", body, **by("specialist")).code == "acting_user_not_allowed"


# -- bad input -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "body", "status", "fields"),
    [
        ("approve", {}, 400, [("content_hash", "required"), ("facts_hash", "required")]),
        ("approve", {"content_hash": "x", "facts_hash": "0" * 64}, 400, [("content_hash", "invalid")]),
        ("approve", {"content_hash": "0" * 64, "facts_hash": "0" * 64, "role": "lead"}, 400, [("role", "unknown_field")]),
        ("approve", {"content_hash": "0" * 64, "facts_hash": "0" * 64, "by": "lead"}, 400, [("by", "unknown_field")]),
        ("reject", {"reason_code": "because"}, 400, [("reason_code", "invalid_choice")]),
        ("reject", {"reason_code": "other", "status": "done"}, 400, [("status", "unknown_field")]),
        ("reject", {"reason_code": "other", "note": "n" * 2001}, 400, [("note", "max_length")]),
        ("snooze", {"until": "tomorrow"}, 400, [("until", "not_moment")]), ("snooze", {"until": "2020-01-01T00:00:00Z"}, 422, []),
        ("snooze", {"until": "9999-12-31T23:59:59-23:59"}, 400, [("until", "not_moment")]),
        ("promise", {"amount_minor": 0, "currency": "EUR", "due_on": "SOON"}, 400, [("amount_minor", "min_value")]),
        ("promise", {"amount_minor": 49.5, "currency": "EUR", "due_on": "SOON"}, 400, [("amount_minor", "not_whole")]),
        ("promise", {"amount_minor": True, "currency": "EUR", "due_on": "SOON"}, 400, [("amount_minor", "not_whole")]),
        ("promise", {"amount_minor": 4901, "currency": "EUR", "due_on": "SOON"}, 422, []),
        ("promise", {"amount_minor": 4900, "currency": "USD", "due_on": "SOON"}, 422, []),
        ("promise", {"amount_minor": 4900, "currency": "XQQ", "due_on": "SOON"}, 422, [("currency", "impossible_currency")]),
        ("promise", {"amount_minor": 4900, "currency": "EUR", "due_on": "2020-01-01"}, 422, []),
        ("promise", {"amount_minor": 4900, "currency": "EUR", "due_on": "2999-01-01"}, 422, []),
        ("promise", {"amount_minor": 4900, "currency": "EUR", "due_on": "2026-13-01"}, 400, [("due_on", "not_day")]),
        ("promise", [], 400, [("", "invalid")]), ("promise", None, 400, [("amount_minor", "required"), ("currency", "required"), ("due_on", "required")]),
    ],
)  # fmt: skip
def test_a_bad_body_decides_nothing(order: str, body: Any, status: int, fields: list[tuple[str, str]], api: Caller, case: Case) -> None:
    path = f"/proposals/{waiting_proposal(case).pk}" if order in ("approve", "reject") else f"/cases/{case.pk}"
    if isinstance(body, dict) and body.get("due_on") == "SOON":
        body = {**body, "due_on": soon()[:10]}
    said = api.post(f"{path}/{'promises' if order == 'promise' else order}", body, **by("specialist"))
    assert (said.status, said.fields) == (status, fields), said.body
    assert untouched(case)
