"""What is parked is replayed, corrected or dropped, with a reason, and the ledger says what it was."""

from __future__ import annotations

from typing import Any

import pytest

from agents.models import AgentRun
from audit.models import Entry
from billing_ai.inbox.models import Event
from billing_ai.kernel import clock
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def parked_event() -> Event:
    return Event.objects.create(
        chargebee_event_id="ev_1", event_type="payment_failed", occurred_at=clock.now(), body_sha256="0" * 64, status="parked", attempt=8,
        reason="given up after 8 attempts: Chargebee has no such customer.", chargebee_customer_id="cus_wrong",
        resources=[{"kind": "customer", "id": "cus_wrong", "version": 1}],
    )  # fmt: skip


@pytest.fixture
def client(as_user: Any, chargebee: Any) -> Any:
    return as_user(factories.user("lead"))


def order(client: Any, row: Event | AgentRun, what: str, **fields: str) -> str:
    """What the page says afterwards."""
    kind = "event" if isinstance(row, Event) else "run"
    return str(client.post(f"/console/parked/{kind}/{row.pk}/", {"what": what, **fields}, follow=True).content.decode())


def test_the_page_says_why_and_gives_the_trace(client: Any, parked_event: Event) -> None:
    page = client.get("/console/parked/").content.decode()
    assert parked_event.reason in page
    assert f"8 attempts, trace <code>{parked_event.trace_id}</code>" in page


def test_the_cause_is_corrected_and_the_event_goes_on(client: Any, parked_event: Event) -> None:
    said = order(client, parked_event, "correct", note="merged last week", customer_id="cus_right", invoice_id="INV-7")
    assert "Corrected; it goes on." in said
    parked_event.refresh_from_db()
    assert (parked_event.status, parked_event.chargebee_customer_id, parked_event.max_attempts) == ("waiting", "cus_right", 16)
    assert [(one["kind"], one["id"]) for one in parked_event.resources] == [("customer", "cus_right"), ("invoice", "INV-7")]
    corrected, replayed = Entry.objects.filter(kind__startswith="parked.").order_by("id")
    assert (corrected.kind, replayed.kind) == ("parked.corrected", "parked.replayed")
    assert (parked_event.reason, corrected.trace_id) == ("let go on: merged last week", parked_event.trace_id)
    assert "merged last week" not in str([corrected.data, replayed.data])  # an erasure could not reach it there
    assert corrected.data["before"]["chargebee_customer_id"] == "cus_wrong"
    assert corrected.data["after"]["chargebee_customer_id"] == "cus_right"


def test_a_run_is_corrected_too(client: Any) -> None:
    run = AgentRun.objects.create(agent="dunning", subject_kind="invoice", subject_id="INV-wrong", cause="ev_1", status="parked")
    assert "Corrected; it goes on." in order(client, run, "correct", note="typed wrongly", invoice_id="INV-7")
    run.refresh_from_db()
    assert (run.status, run.subject_id) == ("waiting", "INV-7")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"note": "x"}, "give the id of the customer or of the invoice"),
        ({"note": "x", "customer_id": "cus 1/../2"}, "give the id of the customer or of the invoice"),
        ({"note": "", "customer_id": "cus_2"}, "Say why."),
    ],
    ids=["without an id", "with no id of theirs", "without a reason"],
)
def test_a_correction_that_is_refused_changes_nothing(client: Any, parked_event: Event, fields: dict[str, str], says: str) -> None:
    before = Event.objects.values().get()
    assert says in order(client, parked_event, "correct", **fields)
    assert Event.objects.values().get() == before
    assert not Entry.objects.filter(kind__startswith="parked.").exists()


def test_an_effect_is_never_corrected(client: Any) -> None:
    said = client.post("/console/parked/execution/1/", {"what": "correct", "note": "x", "customer_id": "cus_2"}, follow=True)
    assert "Replay it, correct it or drop it." in said.content.decode()
