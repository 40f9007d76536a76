"""What one event sets off, with a scripted edge in the place of Chargebee."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from agents.models import AgentRun
from audit.actor import TraceFilter
from audit.models import Entry
from billing_ai.facts import sync
from billing_ai.facts.models import Customer, Invoice
from billing_ai.facts.sync import Refreshed
from billing_ai.inbox import intake, routing, tasks
from billing_ai.inbox.models import Event
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Away, Retryable, Terminal, Unknown
from billing_ai.work import claims
from tests import factories

pytestmark = pytest.mark.django_db


class Edge:
    """Answers `sync.refresh` as told, per customer, and remembers who was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.scripts: dict[str, Callable[[], Refreshed]] = {}

    def refresh(self, customer_id: str, invoice_ids: tuple[str, ...]) -> Refreshed:
        self.asked.append((customer_id, invoice_ids))
        script = self.scripts.get(customer_id)
        return script() if script else Refreshed(customer_id, invoice_ids)

    def fails(self, customer_id: str, error: Exception) -> None:
        def script() -> Refreshed:
            raise error

        self.scripts[customer_id] = script


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:
    made = Edge()
    monkeypatch.setattr(sync, "refresh", made.refresh)
    monkeypatch.setattr("billing_ai.work.wake._waker.wake", lambda task: None)
    yield made
    clock.shift(timedelta())


def arrived(event_id: str, event_type: str = "payment_failed", customer_id: str = "cus_1", invoice_id: str = "INV-1") -> Event:
    """An event that came in through the one way in."""
    body = {
        "id": event_id,
        "event_type": event_type,
        "occurred_at": 1_760_000_000,
        "content": {"customer": {"id": customer_id}, "invoice": {"id": invoice_id, "customer_id": customer_id}},
    }
    assert intake.store(intake.read_envelope(body), body_sha256="0" * 64)
    return Event.objects.get(chargebee_event_id=event_id)


@pytest.fixture
def owed() -> None:
    """The invoice of the events is unpaid, so that the dunning agent wants them."""
    Invoice.objects.create(
        pk="INV-1", chargebee_customer_id="cus_1", status="not_paid", currency="EUR", total_minor=4_900, amount_due_minor=4_900,
        issued_on=clock.utc_date(clock.now()), due_on=clock.utc_date(clock.now()), dunning_status="in_progress", fetched_at=clock.now(),
    )  # fmt: skip


def test_an_event_starts_a_run_and_is_written_down(edge: Edge, owed: None, caplog: pytest.LogCaptureFixture) -> None:
    made = arrived("ev_1")
    caplog.set_level(logging.INFO)
    caplog.handler.addFilter(TraceFilter())
    assert routing.process_due() == 1
    assert [(one.message, one.event_id, one.trace_id) for one in caplog.records if one.name == routing.__name__] == [  # type: ignore[attr-defined]
        ("event.routed", "ev_1", made.trace_id)
    ]
    made.refresh_from_db()
    assert (made.status, made.reason) == ("done", "")
    assert made.finished_at is not None
    assert edge.asked == [("cus_1", ("INV-1",))]
    asked = AgentRun.objects.order_by("agent").values_list("agent", "subject_kind", "subject_id", "cause", "trace_id")
    assert list(asked) == [
        ("churn", "customer", "cus_1", "ev_1", made.trace_id),
        ("dunning", "invoice", "INV-1", "ev_1", made.trace_id),
    ]
    entry = Entry.objects.get(kind="event.routed")
    assert (entry.chargebee_event_id, entry.chargebee_customer_id, entry.trace_id) == ("ev_1", "cus_1", made.trace_id)
    assert entry.data == {"type": "payment_failed", "runs": 2, "invoices": ["INV-1"]}


@pytest.mark.parametrize(
    ("error", "at_least", "left"),
    [
        (Away("chargebee.rate_limited", "Chargebee asks to wait.", timedelta(minutes=9)), timedelta(minutes=9), 8),
        (Away("chargebee.unreachable", "Chargebee asks to wait."), timedelta(seconds=30), 8),
        (Retryable("chargebee.server_error", "Chargebee asks to wait.", timedelta(0)), timedelta(seconds=5), 7),
        (Unknown("chargebee.no_answer", "Chargebee asks to wait."), timedelta(seconds=30), 7),
    ],
)
def test_while_chargebee_is_away_the_event_waits(edge: Edge, owed: None, error: Exception, at_least: timedelta, left: int) -> None:
    made = arrived("ev_1")
    edge.fails("cus_1", error)
    before = clock.now()
    routing.process_due()
    made.refresh_from_db()
    assert (made.status, made.attempt, made.reason) == ("waiting", 1, "Chargebee asks to wait.")
    # what failed by itself has used up an attempt; what met an outage has not
    assert made.max_attempts - made.attempt == left
    assert made.not_before >= before + at_least
    assert (AgentRun.objects.count(), Entry.objects.count()) == (0, 0)
    # and goes on by itself when it is back
    edge.scripts.clear()
    clock.shift(timedelta(minutes=10))
    routing.process_due()
    made.refresh_from_db()
    assert (made.status, made.attempt) == ("done", 2)


def test_a_request_that_fails_each_time_ends_with_a_person(edge: Edge) -> None:
    made = arrived("ev_1")
    edge.fails("cus_1", Retryable("chargebee.server_error", "Chargebee has a fault of its own (status 500)."))
    for _ in range(8):
        assert routing.process_due() == 1
        clock.shift(clock.offset() + timedelta(hours=2))
    assert routing.process_due() == 0
    made.refresh_from_db()
    assert (made.status, made.reason) == ("parked", "given up after 8 attempts: Chargebee has a fault of its own (status 500).")


def test_an_outage_is_waited_out_for_two_weeks_and_no_longer(edge: Edge) -> None:
    made = arrived("ev_1")
    edge.fails("cus_1", Away("chargebee.unreachable", "Chargebee could not be reached."))
    for _ in range(27):
        routing.process_due()
        made.refresh_from_db()
        assert (made.status, made.max_attempts - made.attempt) == ("waiting", 8)
        clock.shift(clock.offset() + timedelta(hours=12))
    # then a person is told why
    clock.shift(clock.offset() + timedelta(hours=13))
    routing.process_due()
    made.refresh_from_db()
    assert (made.status, made.reason) == ("parked", "not done within 14 days: Chargebee could not be reached.")


def test_of_a_batch_that_meets_an_outage_the_first_tries_for_all(edge: Edge) -> None:
    # given more events than one batch, and a site that is away for the first of them
    for number in range(25):
        arrived(f"ev_{number}", customer_id=f"cus_{number}", invoice_id=f"INV-{number}")
    edge.fails("cus_0", Away("chargebee.unreachable", "Chargebee could not be reached."))
    # when a worker takes what is due, then it stops at once, and nobody has lost an attempt
    tasks.process()
    assert edge.asked == [("cus_0", ("INV-0",))]
    assert {row.max_attempts - row.attempt for row in Event.objects.all()} == {8}
    assert set(Event.objects.values_list("status", flat=True)) == {"waiting"}
    # and the next sweep does the others
    tasks.process()
    assert Event.objects.filter(status="done").count() == 24


def test_while_the_site_is_known_to_be_away_nothing_is_claimed(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    made = arrived("ev_1")
    monkeypatch.setattr("billing_ai.integrations.chargebee.call.is_away", lambda: True)
    before = Event.objects.values().get(pk=made.pk)
    tasks.process()
    assert Event.objects.values().get(pk=made.pk) == before
    assert edge.asked == []


def test_the_rest_of_a_batch_that_takes_long_is_put_off_in_time(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a batch of which each event takes half a minute, since the site's limit of calls holds it up
    for number in range(6):
        arrived(f"ev_{number}", customer_id=f"cus_{number}", invoice_id=f"INV-{number}")
    monkeypatch.setattr("billing_ai.work.claims.monotonic", lambda: 30.0 * len(edge.asked))
    assert routing.process_due() == 6
    # then it stops well inside its lease, and the others lose nothing by it
    assert len(edge.asked) == 3
    rest = Event.objects.filter(status="waiting")
    assert {(row.max_attempts - row.attempt, row.reason) for row in rest} == {(8, claims.NEXT_TURN)}
    monkeypatch.setattr("billing_ai.work.claims.monotonic", lambda: 0.0)
    assert routing.process_due() == 3
    assert not rest.all().exists()


def test_a_final_no_is_parked_with_its_reason(edge: Edge) -> None:
    made = arrived("ev_1")
    edge.fails("cus_1", Terminal("chargebee.unauthorized", "The API key is not accepted."))
    routing.process_due()
    made.refresh_from_db()
    assert (made.status, made.reason) == ("parked", "chargebee.unauthorized: The API key is not accepted.")
    assert AgentRun.objects.count() == 0


@pytest.mark.parametrize("error", [ValueError("no currency"), TypeError("no currency"), KeyError("currency")])
def test_an_answer_that_cannot_be_understood_is_parked(edge: Edge, error: Exception) -> None:
    made = arrived("ev_1")
    edge.fails("cus_1", error)
    routing.process_due()
    made.refresh_from_db()
    assert made.status == "parked"
    assert made.reason.startswith(f"Chargebee's answer could not be understood: {type(error).__name__}")
    assert AgentRun.objects.count() == 0


def test_a_customer_who_was_deleted_is_marked_and_their_case_ends(edge: Edge) -> None:
    case = factories.case(words=factories.ENGLISH)
    made = arrived("ev_1", "customer_deleted", case.chargebee_customer_id, case.chargebee_invoice_id)
    edge.scripts[case.chargebee_customer_id] = lambda: Refreshed(
        case.chargebee_customer_id, (), (f"customer:{case.chargebee_customer_id}",)
    )
    routing.process_due()
    made.refresh_from_db()
    case.refresh_from_db()
    assert (made.status, made.reason) == ("done", f"gone: customer:{case.chargebee_customer_id}")
    assert Customer.objects.get(pk=case.chargebee_customer_id).is_deleted is True
    assert (case.status, case.waiting_count) == ("closed", 0)
    assert case.proposals.get().status == "withdrawn"


def test_a_poison_event_does_not_hold_up_the_others(edge: Edge) -> None:
    # given one that raises something nobody foresaw, first in the queue
    poison = arrived("ev_0", customer_id="cus_0", invoice_id="INV-0")
    edge.fails("cus_0", ZeroDivisionError("nobody foresaw it"))
    others = [arrived(f"ev_{number}", customer_id=f"cus_{number}", invoice_id=f"INV-{number}") for number in range(1, 4)]
    # then the others of its batch are done at their first attempt
    assert routing.process_due() == 4
    for made in others:
        made.refresh_from_db()
        assert (made.status, made.attempt) == ("done", 1)
    poison.refresh_from_db()
    assert (poison.status, poison.attempt) == ("waiting", 1)
    assert poison.reason == "ZeroDivisionError while it was routed; the log has the trace"
    # and it is parked after its last, still to be seen
    for _ in range(7):
        clock.shift(clock.offset() + timedelta(hours=2))
        routing.process_due()
    poison.refresh_from_db()
    assert (poison.status, poison.attempt) == ("parked", 8)


def test_what_fails_after_the_facts_leaves_nothing_half_done(edge: Edge, owed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    made = arrived("ev_1")

    def breaks(*_: Any, **__: Any) -> None:
        raise RuntimeError("in between")

    with monkeypatch.context() as patch:
        patch.setattr(routing.ledger, "append_with", breaks)
        routing.process_due()
    made.refresh_from_db()
    assert made.status == "waiting"
    assert AgentRun.objects.count() == 0  # rolled back with it
    clock.shift(timedelta(minutes=1))
    routing.process_due()
    assert AgentRun.objects.count() == 2  # one an agent


def test_payments_are_routed_before_news(edge: Edge) -> None:
    arrived("ev_1", "payment_failed", "cus_1")
    arrived("ev_2", "customer_changed", "cus_2")
    arrived("ev_3", "payment_succeeded", "cus_3")
    routing.process_due()
    assert [customer for customer, _ in edge.asked] == ["cus_3", "cus_1", "cus_2"]


def test_a_worker_that_lost_its_lease_writes_no_entry(edge: Edge, owed: None) -> None:
    arrived("ev_1")
    [slow] = claims.claim(Event, 1, routing.LEASE)
    clock.shift(routing.LEASE * 2)
    [fast] = claims.claim(Event, 1, routing.LEASE)
    routing.route(fast)
    routing.route(slow)
    assert Entry.objects.filter(kind="event.routed").count() == 1
    assert AgentRun.objects.count() == 2  # one an agent


def test_the_task_goes_on_until_nothing_is_due(edge: Edge) -> None:
    for number in range(45):
        arrived(f"ev_{number}", customer_id=f"cus_{number}", invoice_id=f"INV-{number}")
    tasks.process()
    assert Event.objects.filter(status="done").count() == 45
    tasks.process()
    assert len(edge.asked) == 45


def test_a_backlog_that_nobody_wants_is_ended_without_asking_chargebee_and_holds_up_nothing(edge: Edge, owed: None) -> None:
    # given types that were acted on when they came, and are not any more
    for number in range(60):
        arrived(f"ev_{number}", customer_id=f"cus_{number}")
    Event.objects.update(event_type="quote_created")
    wanted = arrived("ev_wanted")
    # when the first batch is claimed
    assert routing.process_due() == 20
    # then the whole backlog has ended, by whole batches and not event by event
    assert set(Event.objects.exclude(pk=wanted.pk).values_list("status", "reason")) == {
        ("ignored", "nothing here acts on this type of event")
    }
    assert edge.asked == []
    assert (Entry.objects.count(), AgentRun.objects.count()) == (0, 0)
    # and the one that is wanted is routed next
    assert routing.process_due() == 1
    wanted.refresh_from_db()
    assert (wanted.status, edge.asked) == ("done", [("cus_1", ("INV-1",))])
