"""Claims: one row, one worker; a lost lease writes nothing; what never ends is parked for a person."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from agents.models import AgentRun
from audit.actor import person
from audit.models import Entry
from billing_ai.inbox.models import Event
from billing_ai.kernel import clock
from billing_ai.work import claims, fairness, parked
from billing_ai.work.models import Lane, Tick

pytestmark = pytest.mark.django_db
LEASE = timedelta(minutes=3)


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    yield
    clock.shift(timedelta())


def event(number: int = 1, **columns: Any) -> Event:
    values: dict[str, Any] = {"event_type": "payment_failed", "occurred_at": clock.now(), "body_sha256": "0" * 64}
    return Event.objects.create(chargebee_event_id=f"ev_{number}", **values | columns)


def later(by: timedelta) -> None:
    """Time passes, for the database's clock too."""
    clock.shift(clock.offset() + by)


# -- claiming --------------------------------------------------------------------------------------------------------------------------------


def test_a_claim_leases_the_row_and_counts_the_attempt() -> None:
    made = event()
    [row] = claims.claim(Event, 10, LEASE)
    made.refresh_from_db()
    assert (made.status, made.attempt) == ("leased", 1)
    assert made.lease_until is not None
    assert timedelta(minutes=2) < made.lease_until - clock.now() <= LEASE
    assert (row.status, row.attempt, row.lease_until) == (made.status, made.attempt, made.lease_until)
    assert claims.claim(Event, 10, LEASE) == []


def test_what_is_not_due_yet_is_left_alone() -> None:
    event(not_before=clock.now() + timedelta(seconds=30))
    assert claims.claim(Event, 10, LEASE) == []
    later(timedelta(seconds=31))
    assert len(claims.claim(Event, 10, LEASE)) == 1


def test_clock_skew_of_a_host_makes_nothing_due_early_or_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """On PostgreSQL, where there may be several hosts; SQLite is on one, whose clock is the database's."""
    if connection.vendor != "postgresql":
        pytest.skip("one host, one clock")
    now = clock.now()
    event(1, not_before=now)
    event(2, not_before=now + timedelta(minutes=30))
    # given a host that is an hour ahead
    monkeypatch.setattr(clock, "now", lambda: now + timedelta(hours=1))
    [due] = claims.claim(Event, 10, LEASE)
    assert due.chargebee_event_id == "ev_1"
    # and one that is an hour behind: the first's lease has not run out for it, and would not have in an hour's time of its own
    monkeypatch.setattr(clock, "now", lambda: now - timedelta(hours=1))
    assert claims.claim(Event, 10, LEASE) == []
    assert due.lease_until is not None
    assert timedelta(0) < due.lease_until - now <= LEASE + timedelta(minutes=1)
    assert claims.complete(due) is True


@pytest.mark.parametrize("status", ["done", "parked", "ignored", "dropped"])
def test_what_has_ended_is_not_claimed(status: str) -> None:
    event(status=status)
    assert claims.claim(Event, 10, LEASE) == []


def test_the_most_urgent_lane_goes_first_then_the_oldest() -> None:
    now = clock.now()
    event(1, lane=Lane.BATCH, not_before=now - timedelta(hours=9))
    event(2, lane=Lane.NEWS, not_before=now - timedelta(minutes=1))
    event(3, lane=Lane.NEWS, not_before=now - timedelta(minutes=2))
    event(4, lane=Lane.PAYMENT, not_before=now)
    event(5, lane=Lane.PERSON, not_before=now)
    assert [row.pk and row.chargebee_event_id for row in claims.claim(Event, 3, LEASE)] == ["ev_4", "ev_5", "ev_3"]
    assert [row.chargebee_event_id for row in claims.claim(Event, 3, LEASE)] == ["ev_2", "ev_1"]


def test_a_claim_may_be_narrowed() -> None:
    event(1, chargebee_customer_id="cus_1")
    event(2, chargebee_customer_id="cus_2")
    rows = claims.claim(Event, 10, LEASE, of=lambda due: due.filter(chargebee_customer_id="cus_2"))
    assert [row.chargebee_event_id for row in rows] == ["ev_2"]


@pytest.mark.django_db(transaction=True)
def test_eight_claimants_never_get_the_same_row() -> None:
    for number in range(60):
        event(number)
    got: list[list[int]] = []
    start = threading.Barrier(8)

    def work() -> None:
        mine: list[int] = []
        start.wait()
        try:
            while rows := claims.claim(Event, 3, LEASE):
                mine.extend(row.pk for row in rows)
        finally:
            got.append(mine)
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [pk for mine in got for pk in mine]
    assert len(everything) == 60
    assert set(everything) == set(Event.objects.values_list("pk", flat=True))
    assert set(Event.objects.values_list("attempt", "status")) == {(1, "leased")}


# -- fairness between customers ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def nobody_served() -> Iterator[None]:
    fairness._served.clear()
    yield
    fairness._served.clear()


def storm(count: int, *, first: int = 1_000, customer_id: str = "cus_storm", **columns: Any) -> None:
    began = clock.now() - timedelta(hours=2)
    for number in range(count):
        event(first + number, chargebee_customer_id=customer_id, not_before=began + timedelta(seconds=number), **columns)


def of_each(rows: list[Event]) -> dict[str, int]:
    return dict(Counter(row.chargebee_customer_id for row in rows))


def test_a_storm_from_one_customer_does_not_starve_the_rest(nobody_served: None) -> None:
    storm(60)
    for number in range(12):
        event(number, chargebee_customer_id=f"cus_{number:02}")
    event(99, chargebee_customer_id="")
    # then the storm has a quarter of each batch for as long as others wait, and each of them gets their turn
    first = claims.claim(Event, 8, LEASE)
    assert of_each(first) == {"cus_storm": 2, "": 1, **{f"cus_{number:02}": 1 for number in range(5)}}
    assert of_each(claims.claim(Event, 8, LEASE)) == {"cus_storm": 2, **{f"cus_{number:02}": 1 for number in range(5, 11)}}
    assert of_each(claims.claim(Event, 8, LEASE)) == {"cus_storm": 7, "cus_11": 1}
    assert of_each(claims.claim(Event, 8, LEASE)) == {"cus_storm": 8}
    # and what is kept of it is in its own order
    numbers = [row.chargebee_event_id for row in first if row.chargebee_customer_id == "cus_storm"]
    assert numbers == ["ev_1000", "ev_1001"]


def test_two_storms_at_once_share_the_batch_with_the_rest(nobody_served: None) -> None:
    storm(30)
    storm(30, first=2_000, customer_id="cus_second")
    event(1, chargebee_customer_id="cus_quiet")
    assert of_each(claims.claim(Event, 8, LEASE)) == {"cus_storm": 4, "cus_second": 3, "cus_quiet": 1}


def test_what_is_not_due_gives_no_turn(nobody_served: None) -> None:
    storm(10)
    event(1, chargebee_customer_id="cus_later", not_before=clock.now() + timedelta(hours=1))
    assert of_each(claims.claim(Event, 8, LEASE)) == {"cus_storm": 8}


def test_looking_for_others_is_one_hop_each_however_long_the_storm(nobody_served: None) -> None:
    storm(300)
    for number in range(6):
        event(number, chargebee_customer_id=f"cus_{number:02}")
    with CaptureQueriesContext(connection) as statements:
        assert len(claims.claim(Event, 8, LEASE)) == 8
    hops = [one["sql"] for one in statements if "ORDER BY" in one["sql"]]
    # The first look of PostgreSQL's finds the batch full and takes nothing of it.
    assert len(hops) == (2 if connection.vendor == "postgresql" else 1) + 6


def test_a_claim_is_one_statement_where_rows_can_be_skipped() -> None:
    for number in range(3):
        event(number)
    with CaptureQueriesContext(connection) as asked:
        assert [row.attempt for row in claims.claim(Event, 4, LEASE)] == [1, 1, 1]
    if connection.vendor == "postgresql":
        assert len(asked) == 1
        assert "SKIP LOCKED" in asked[0]["sql"]
    assert set(Event.objects.values_list("status", "attempt")) == {("leased", 1)}


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite, without figures about its rows, prefers another index and sorts")
def test_a_batch_of_what_is_due_is_picked_in_order_without_sorting_the_rest() -> None:
    same = clock.now() - timedelta(hours=1)  # after a storm, or an outage, many rows have one moment
    for number in range(300):
        event(number, not_before=same)
    due = claims._due(Event).order_by("lane", "not_before", "pk")[:20]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # three hundred rows are few enough to read them all
        cursor.execute("SET LOCAL enable_bitmapscan = off")
    plan = due.explain()
    assert "event_due" in plan
    assert "sort" not in plan.lower()


# -- ending what needs no work ---------------------------------------------------------------------------------------------------------------


def test_what_nobody_wants_is_ended_in_bulk_and_nothing_else_is_touched() -> None:
    for number in range(5):
        event(number, event_type="quote_created")
    event(5)
    event(6, event_type="quote_created", not_before=clock.now() + timedelta(minutes=1))
    event(7, event_type="quote_created", status="parked")
    event(8, event_type="quote_created")
    claims.claim(Event, 1, LEASE, of=lambda due: due.filter(chargebee_event_id="ev_8"))

    def ended(limit: int) -> int:
        return claims.end_due(Event, limit, lambda due: due.filter(event_type="quote_created"), "ignored", "nobody wants it")

    # as many as asked for, the oldest first, then the rest, then none
    assert ended(3) == 3
    assert set(Event.objects.filter(status="ignored").values_list("chargebee_event_id", flat=True)) == {"ev_0", "ev_1", "ev_2"}
    assert (ended(3), ended(3)) == (2, 0)
    done = Event.objects.filter(status="ignored")
    assert {(row.reason, row.attempt, row.finished_at is not None) for row in done} == {("nobody wants it", 0, True)}
    # the wanted, the later, the parked and the leased one are as they were
    others = Event.objects.exclude(status="ignored").order_by("pk").values_list("chargebee_event_id", "status")
    assert list(others) == [("ev_5", "waiting"), ("ev_6", "waiting"), ("ev_7", "parked"), ("ev_8", "leased")]


# -- leases and fencing ------------------------------------------------------------------------------------------------------------------------


def test_a_lease_that_ran_out_is_claimed_again_under_the_next_number() -> None:
    event()
    [first] = claims.claim(Event, 1, LEASE)
    later(LEASE - timedelta(seconds=5))
    assert claims.claim(Event, 1, LEASE) == []
    later(timedelta(seconds=10))
    [second] = claims.claim(Event, 1, LEASE)
    assert (second.pk, first.attempt, second.attempt) == (first.pk, 1, 2)


def test_whoever_lost_the_lease_writes_nothing() -> None:
    made = event()
    [first] = claims.claim(Event, 1, LEASE)
    later(LEASE * 2)
    [second] = claims.claim(Event, 1, LEASE)
    before = Event.objects.values().get(pk=made.pk)
    assert claims.complete(first, reason="late") is False
    assert claims.put_back(first, timedelta(0), "late") is False
    assert claims.park(first, "late") is False
    assert Event.objects.values().get(pk=made.pk) == before
    # and the one that holds it may end it, once
    assert claims.complete(second, finished_at=clock.now()) is True
    assert claims.complete(second, reason="again") is False
    made.refresh_from_db()
    assert (made.status, made.reason, made.lease_until) == ("done", "", None)


def test_a_row_that_was_put_back_waits_its_time() -> None:
    event()
    [row] = claims.claim(Event, 1, LEASE)
    assert claims.put_back(row, timedelta(minutes=5), "Chargebee does not answer.") is True
    held = Event.objects.get()
    assert (held.status, held.reason, held.attempt, held.lease_until) == ("waiting", "Chargebee does not answer.", 1, None)
    assert claims.claim(Event, 1, LEASE) == []
    later(timedelta(minutes=5, seconds=1))
    assert claims.claim(Event, 1, LEASE)[0].attempt == 2


def test_the_last_attempt_is_parked_instead_of_put_back() -> None:
    event(max_attempts=2)
    for _ in range(2):
        [row] = claims.claim(Event, 1, LEASE)
        assert claims.put_back(row, timedelta(0), "Chargebee does not answer.") is True
        later(timedelta(seconds=1))
    held = Event.objects.get()
    assert (held.status, held.reason) == ("parked", "given up after 2 attempts: Chargebee does not answer.")
    assert claims.claim(Event, 1, LEASE) == []


def test_what_is_put_off_keeps_its_attempts_and_its_number_still_grows() -> None:
    made = event(max_attempts=2)
    for number in range(1, 6):
        [row] = claims.claim(Event, 1, LEASE)
        assert row.attempt == number  # the fencing number never goes down
        assert claims.put_off(row, timedelta(seconds=30), "Chargebee is away.", since=made.received_at) is True
        assert claims.claim(Event, 1, LEASE) == []
        later(timedelta(seconds=31))
    held = Event.objects.get()
    assert (held.status, held.attempt, held.max_attempts, held.reason) == ("waiting", 5, 7, "Chargebee is away.")
    # whoever lost the lease puts nothing off
    [lost] = claims.claim(Event, 1, LEASE)
    later(LEASE * 2)
    claims.claim(Event, 1, LEASE)
    assert claims.put_off(lost, timedelta(0), "late", since=made.received_at) is False


def test_a_row_that_kills_its_worker_each_time_is_parked() -> None:
    event(1, max_attempts=2)
    event(2)
    for _ in range(2):
        claims.claim(Event, 10, LEASE)
        assert claims.park_exhausted(Event) == 0  # its last worker may still be at it
        later(LEASE + timedelta(seconds=1))
    # it is not claimed a third time, and the other one is
    assert [row.chargebee_event_id for row in claims.claim(Event, 10, LEASE)] == ["ev_2"]
    assert claims.park_exhausted(Event) == 1
    held = Event.objects.get(chargebee_event_id="ev_1")
    assert (held.status, held.attempt, held.reason) == ("parked", 2, "its worker died or ran out of time at every attempt")
    assert claims.park_exhausted(Event) == 0


def test_a_run_is_not_put_back_beside_a_newer_one_for_the_same_subject() -> None:
    subject = {"agent": "dunning", "subject_kind": "invoice", "subject_id": "INV-1"}
    AgentRun.objects.create(cause="ev_1", **subject)
    [run] = claims.claim(AgentRun, 1, LEASE)
    newer = AgentRun.objects.create(cause="ev_2", **subject)
    assert claims.put_back(run, timedelta(0), "Chargebee does not answer.") is True
    run.refresh_from_db()
    newer.refresh_from_db()
    assert (run.status, newer.status) == ("skipped", "waiting")
    assert run.reason == "a newer one waits for the same subject; this one stopped at: Chargebee does not answer."


def test_the_pauses_grow_to_an_hour() -> None:
    assert [int(claims.backoff(number).total_seconds()) for number in range(1, 8)] == [5, 20, 80, 320, 1280, 3600, 3600]


# -- ticks -----------------------------------------------------------------------------------------------------------------------------------


def at_slot_start(every: timedelta) -> None:
    """Move the clock to just after the start of a slot, so that the slot does not end while the test runs."""
    seconds = every.total_seconds()
    later(timedelta(seconds=seconds - claims.db_now().timestamp() % seconds + 1))


def test_a_tick_is_claimed_once_a_slot() -> None:
    hour = timedelta(hours=1)
    at_slot_start(hour)
    first = claims.claim_tick("reconcile", hour)
    assert first is not None
    assert claims.claim_tick("reconcile", hour) is None
    assert claims.claim_tick("another", hour) is not None
    later(hour)
    second = claims.claim_tick("reconcile", hour)
    assert second is not None
    assert second.slot == first.slot + 1


def test_a_tick_that_was_overtaken_does_not_write_over_the_next() -> None:
    hour = timedelta(hours=1)
    first = claims.claim_tick("reconcile", hour)
    later(hour)
    second = claims.claim_tick("reconcile", hour)
    assert first is not None
    assert second is not None
    claims.finish_tick(second, "2 events")
    claims.finish_tick(first, "late")
    assert Tick.objects.get().result == "2 events"


@pytest.mark.django_db(transaction=True)
def test_of_two_beats_one_gets_the_tick() -> None:
    day = timedelta(days=1)
    at_slot_start(day)
    got: list[bool] = []
    start = threading.Barrier(6)

    def beat() -> None:
        start.wait()
        try:
            got.append(claims.claim_tick("housekeeping", day) is not None)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=beat) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False] * 5 + [True]


# -- parked ----------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def lead() -> User:
    return User.objects.create_user("lea")


def test_a_person_replays_a_parked_row(lead: User) -> None:
    row = event(status="parked", attempt=8, reason="given up")
    assert parked.replay(row, person(lead), "Chargebee is back", subject=("event", str(row.pk)), trace_id=row.trace_id) is True
    row.refresh_from_db()
    # why is kept on the row, where an erasure reaches it, and not in the ledger
    assert (row.status, row.max_attempts, row.reason) == ("waiting", 16, "let go on: Chargebee is back")
    [again] = claims.claim(Event, 1, LEASE)
    assert again.attempt == 9
    entry = Entry.objects.get()
    assert (entry.kind, entry.actor_label, entry.data, entry.trace_id) == (
        "parked.replayed",
        "lea",
        {},
        row.trace_id,
    )
    # whoever clicks next is too late, and nothing more is written
    assert parked.replay(row, person(lead), "me too", subject=("event", str(row.pk)), trace_id=row.trace_id) is False
    assert parked.drop(row, person(lead), "me too", subject=("event", str(row.pk)), trace_id=row.trace_id) is False
    assert Entry.objects.count() == 1


def test_a_person_drops_a_parked_row_and_it_stays(lead: User) -> None:
    row = event(status="parked", attempt=8)
    assert parked.drop(row, person(lead), "a customer of the old site", subject=("event", str(row.pk)), trace_id=row.trace_id) is True
    row.refresh_from_db()
    assert (row.status, row.reason) == ("dropped", "dropped: a customer of the old site")
    assert Entry.objects.get().kind == "parked.dropped"
    assert claims.claim(Event, 1, LEASE) == []
    assert parked.replay(row, person(lead), "oh", subject=("event", str(row.pk)), trace_id=row.trace_id) is False


@pytest.mark.parametrize("status", ["waiting", "leased", "done"])
def test_only_what_is_parked_can_be_replayed_or_dropped(lead: User, status: str) -> None:
    row = event(status=status)
    assert parked.replay(row, person(lead), "x", subject=("event", "1"), trace_id=row.trace_id) is False
    assert parked.drop(row, person(lead), "x", subject=("event", "1"), trace_id=row.trace_id) is False
    row.refresh_from_db()
    assert row.status == status
    assert Entry.objects.count() == 0
