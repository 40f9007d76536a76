"""Lost webhooks are found in Chargebee's own list, whatever arrived since."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from billing_ai.inbox import intake, reconcile
from billing_ai.inbox.models import Event
from billing_ai.integrations.chargebee import reads
from billing_ai.integrations.chargebee.events import EventEnvelope
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Retryable
from billing_ai.work.models import Tick

pytestmark = pytest.mark.django_db


class EventList:
    """Chargebee's list of events: lists what it holds since the cursor, and goes away after `answers` of them when told."""

    def __init__(self) -> None:
        self.events: list[EventEnvelope] = []
        self.cursors: list[datetime] = []
        self.answers = 10**9

    def holds(self, event_id: str, at: datetime) -> EventEnvelope:
        envelope = intake.read_envelope(
            {"id": event_id, "event_type": "payment_failed", "occurred_at": clock.to_seconds(at), "content": {}}
        )
        self.events.append(envelope)
        return envelope

    def since(self, cursor: datetime) -> Iterator[EventEnvelope]:
        self.cursors.append(cursor)
        due = [one for one in self.events if one.occurred_at is not None and one.occurred_at > cursor - reads.EVENT_LIST_LAG]
        for number, one in enumerate(sorted(due, key=lambda one: one.occurred_at or cursor)):
            if number >= self.answers:
                raise Retryable("chargebee.unreachable", "Chargebee does not answer.")
            yield one


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> EventList:
    made = EventList()
    monkeypatch.setattr(reads, "events_to_reconcile", made.since)
    monkeypatch.setattr(reconcile, "wake", lambda task: None)
    return made


def stored() -> set[tuple[str, str]]:
    return set(Event.objects.values_list("chargebee_event_id", "found_by"))


def test_what_no_webhook_brought_is_found_once(listed: EventList) -> None:
    now = clock.now()
    intake.store(listed.holds("ev_1", now - timedelta(minutes=3)), body_sha256="0" * 64)
    listed.holds("ev_2", now - timedelta(minutes=2))
    assert reconcile.run() == "2 events looked at, 1 had not arrived"
    assert stored() == {("ev_1", "webhook"), ("ev_2", "reconcile")}
    assert reconcile.run() == "2 events looked at, 0 had not arrived"
    assert Event.objects.count() == 2


def test_a_webhook_that_arrives_after_an_outage_does_not_hide_what_was_lost_in_it(listed: EventList) -> None:
    now = clock.now()
    listed.holds("ev_before", now - timedelta(hours=5))
    reconcile.run()
    # given three hours in which no webhook could be taken, and then one that could
    listed.holds("ev_lost", now - timedelta(hours=3))
    intake.store(listed.holds("ev_after", now), body_sha256="0" * 64)
    reconcile.run()
    assert stored() == {("ev_before", "reconcile"), ("ev_lost", "reconcile"), ("ev_after", "webhook")}


def test_an_event_with_a_time_in_the_future_hides_nothing(listed: EventList) -> None:
    now = clock.now()
    listed.holds("ev_wrong", now + timedelta(days=900))
    reconcile.run()
    assert clock.to_seconds(listed.cursors[0]) == pytest.approx(clock.to_seconds(now - timedelta(days=1)), abs=60)
    listed.holds("ev_next", now - timedelta(minutes=4))
    reconcile.run()
    assert ("ev_next", "reconcile") in stored()


def test_a_list_that_breaks_off_is_gone_on_with(listed: EventList) -> None:
    now = clock.now()
    for number in range(4):
        listed.holds(f"ev_{number}", now - timedelta(hours=20 - 5 * number))
    listed.answers = 2
    assert reconcile.run() == "stopped after 2 events: Chargebee does not answer."
    assert clock.to_seconds(now - timedelta(hours=15)) == Tick.objects.get(schedule=reconcile.CURSOR).slot
    listed.answers = 10
    assert reconcile.run() == "3 events looked at, 2 had not arrived"
    assert Event.objects.count() == 4


def test_a_long_backlog_is_taken_in_several_runs(listed: EventList, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "_MOST", 3)
    now = clock.now()
    for number in range(8):
        listed.holds(f"ev_{number}", now - timedelta(seconds=100 - number))
    said = [reconcile.run() for _ in range(4)]
    assert said[0] == "3 events looked at, 3 had not arrived"
    assert Event.objects.count() == 8
    assert said[-1] == "8 events looked at, 0 had not arrived"
