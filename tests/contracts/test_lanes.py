"""Who goes first when the calls of a minute run out: people, then what they approved, then everything else."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from django.test import Client

from agents import runner, runs
from approvals import execution, transitions
from approvals.policy.defaults import install_defaults
from billing_ai.facts.queries import facts_hash
from billing_ai.inbox import reconcile
from billing_ai.integrations.chargebee import budget, reads
from billing_ai.kernel.errors import Retryable
from tests import factories
from tests.contracts.conftest import Edge

pytestmark = pytest.mark.django_db


@pytest.fixture
def lanes(monkeypatch: pytest.MonkeyPatch) -> list[budget.Lane]:
    """The lane of each call that was counted."""
    noted: list[budget.Lane] = []
    known = budget.limit_of

    def noting(which: budget.Lane) -> int:
        noted.append(which)
        return known(which)

    monkeypatch.setattr(budget, "limit_of", noting)
    return noted


@pytest.fixture(autouse=True)
def rules(monkeypatch: pytest.MonkeyPatch, db: Any) -> None:
    install_defaults()
    monkeypatch.setattr("billing_ai.work.wake._waker.wake", lambda task: None)


@pytest.fixture
def chargebee(edge: Edge) -> factories.FakeChargebee:
    """A site that answers over the wire with what the dict holds."""
    known = factories.FakeChargebee()

    def answer(request: httpx.Request) -> httpx.Response:
        kind, _, name = request.url.path.removeprefix("/api/v2/").partition("/")
        held = {"customers": ("customer", known.customers), "invoices": ("invoice", known.invoices)}.get(kind, ("", {}))
        if name and name in held[1]:
            return httpx.Response(200, json={held[0]: held[1][name]})
        if b"limit=" in request.url.query:
            return httpx.Response(200, json={"list": []})
        error = {"message": "gone", "type": "invalid_request", "api_error_code": "resource_not_found", "http_status_code": 404}
        return httpx.Response(404, json=error)

    edge.answer = answer
    return known


def test_people_still_get_their_page_when_batch_reads_have_used_up_their_share(chargebee: Any, edge: Edge, settings: Any) -> None:
    # given a plan of 20 calls a minute, of which batch reads have taken all that they may
    settings.CHARGEBEE_RATE_PER_MINUTE = 20
    case = factories.case(chargebee, first_name="Greta")
    for _ in range(12):
        reads.retrieve_invoice(case.chargebee_invoice_id)
    with pytest.raises(Retryable) as refused:
        reads.retrieve_invoice(case.chargebee_invoice_id)
    assert refused.value.code == budget.SPENT
    edge.requests.clear()
    # when a specialist opens a case
    client = Client()
    client.force_login(factories.user("specialist"))
    page = client.get(f"/console/case/{case.pk}/").content.decode()
    # then it is there, with its live facts, while a batch read still waits
    assert "Greta" in page
    assert 0 < len(edge.requests) <= 8
    with pytest.raises(Retryable):
        reads.retrieve_invoice(case.chargebee_invoice_id)


def test_the_console_reads_in_the_lane_of_people(chargebee: Any, lanes: list[budget.Lane]) -> None:
    case = factories.case(chargebee)
    client = Client()
    client.force_login(factories.user("specialist"))
    client.get(f"/console/case/{case.pk}/")
    client.post("/console/queue/find/", {"who": "Lovelace"})
    assert lanes
    assert set(lanes) == {budget.Lane.PEOPLE}


def test_execution_reads_and_writes_in_its_own_lane(chargebee: Any, lanes: list[budget.Lane], settings: Any) -> None:
    settings.SEND_DELAY_SECONDS = 0
    case = factories.case(chargebee, words=None)
    one = factories.proposal(case, action="add_comment", step="comment:1", payload={"notes": "Looked at."})
    assert one.current is not None
    transitions.approve(
        one.pk,
        factories.user("specialist"),
        content_hash=one.current.content_hash,
        facts_hash=facts_hash(case.chargebee_invoice_id),
    )
    lanes.clear()
    execution.execute_due()
    assert lanes
    assert set(lanes) == {budget.Lane.EXECUTION}


def test_agents_and_reconciliation_go_last(chargebee: Any, lanes: list[budget.Lane]) -> None:
    case = factories.case(chargebee)
    runs.start_for_event("payment_failed", "ev_1", "0" * 32, case.chargebee_customer_id, (case.chargebee_invoice_id,))
    runner.run_due()
    reconcile.run()
    assert lanes
    assert set(lanes) == {budget.Lane.BATCH}
