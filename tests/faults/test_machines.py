"""Machines fail: workers are killed and frozen, the broker is flushed, the database restarts. Each event counts once, each effect happens once."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest
from redis.exceptions import OutOfMemoryError

from agents.models import AgentRun
from approvals.models import ExecutionAttempt, Proposal
from audit.models import Entry
from audit.verify import verify
from billing_ai.inbox.models import Event
from tests.faults.rig import Rig, until

PAST_ANY_LEASE = {"minutes": 5}


def waiting_retry(rig: Rig) -> Proposal:
    """An approved charge that is due: its customer's card would pay now."""
    customer = rig.customer()
    invoice_id = rig.fail(customer)
    retry = rig.approve(rig.proposal(invoice_id, "collect_payment"))
    # Chargebee's own dunning is held by then: else it would take the money first.
    rig.wait_execution(rig.proposal(invoice_id, "pause_dunning"), "done")
    rig.site.post("/control/truth", customer_id=customer["id"], state="ok")
    return retry


def go(rig: Rig, retry: Proposal) -> None:
    """Its time has come."""
    assert retry.not_before is not None
    rig.advance_to(retry.not_before)


def test_kill_9_of_a_worker_between_call_and_commit(rig: Rig) -> None:
    # given a charge that has been made, and whose answer is still on its way
    retry = waiting_retry(rig)
    rig.to_chargebee.hold_answer_to(f"/invoices/{retry.chargebee_invoice_id}/collect_payment".encode())
    go(rig, retry)
    rig.to_chargebee.wait_held()
    assert rig.execution(retry).status == "executing"
    # when the worker is killed, and another one takes over
    rig.kill("worker")
    rig.to_chargebee.let_through()
    rig.start("worker")
    rig.advance(**PAST_ANY_LEASE)
    # then the charge is looked up, and was made once
    found = rig.wait_execution(retry, "done")
    assert found.settled_by == "look-up"
    assert rig.charges(retry.chargebee_invoice_id) == 1
    assert ExecutionAttempt.objects.filter(execution=found).count() == 1


@pytest.mark.slow
def test_a_worker_that_is_frozen_past_its_lease(rig: Rig) -> None:
    # given an event that a worker has claimed and asks Chargebee about
    customer = rig.customer()
    rig.to_chargebee.hold_answer_to(f"/customers/{customer['id']}".encode())
    invoice_id = rig.fail(customer)
    rig.to_chargebee.wait_held()
    event = until("the event is claimed", lambda: Event.objects.filter(chargebee_customer_id=customer["id"], status="leased").first())
    # when that worker stands still until its lease is over, and another one does the work
    rig.freeze("worker")
    rig.advance(**PAST_ANY_LEASE)
    rig.start("worker-2")
    until("another worker has routed it", lambda: Event.objects.filter(pk=event.pk, status="done", attempt__gte=2).exists())
    # then the first, which gets its answer now, writes nothing
    rig.thaw("worker")
    rig.to_chargebee.let_through()
    until("the first has noticed", lambda: "lease.lost" in rig.log("worker").read_text())
    assert Entry.objects.filter(kind="event.routed", subject_id=event.chargebee_event_id).count() == 1
    assert rig.proposal(invoice_id, "send_message").status == "waiting"
    assert Proposal.objects.filter(chargebee_invoice_id=invoice_id, action="send_message").count() == 1


def test_a_pool_child_is_killed(rig: Rig) -> None:
    customer = rig.customer()
    rig.to_chargebee.hold_answer_to(f"/customers/{customer['id']}".encode())
    invoice_id = rig.fail(customer)
    rig.to_chargebee.wait_held()
    for pid in rig.pool("worker"):
        os.kill(pid, signal.SIGKILL)
    rig.to_chargebee.let_through()
    rig.advance(**PAST_ANY_LEASE)
    # then the same worker, with new children, does what the dead ones had begun
    rig.proposal(invoice_id, "send_message")
    assert AgentRun.objects.filter(subject_id=invoice_id, status="done").count() == 1
    assert rig.child("worker").process.poll() is None


def test_the_broker_is_flushed(rig: Rig) -> None:
    # given a wake-up that nobody has taken yet
    rig.freeze("worker")
    customer = rig.customer()
    invoice_id = rig.fail(customer)
    until("the event is stored", lambda: Event.objects.filter(chargebee_customer_id=customer["id"]).exists())
    # when all of it is forgotten
    rig.redis.client().flushall()
    rig.thaw("worker")
    # then the next sweep finds the row
    rig.proposal(invoice_id, "send_message")


def test_the_broker_is_frozen(rig: Rig) -> None:
    rig.redis.freeze()
    customer = rig.customer()
    # given a broker that takes connections and answers nothing: webhooks are accepted all the same
    answers = [rig.post(webhook(f"ev_frozen_{number}", customer["id"])) for number in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    invoice_id = rig.fail(customer)
    until("the events are stored", lambda: Event.objects.filter(chargebee_customer_id=customer["id"]).count() >= 4)
    # when it thaws, what waited is done
    rig.redis.thaw()
    rig.proposal(invoice_id, "send_message")
    until("all of it", lambda: not Event.objects.filter(chargebee_customer_id=customer["id"], status__in=["waiting", "leased"]).exists())


def test_the_broker_is_full_or_evicts(rig: Rig) -> None:
    # given a wake-up that nobody has taken yet, in a broker that then has no room and says so to whoever acknowledges or publishes
    rig.freeze("worker")
    customer = rig.customer()
    invoice_id = rig.fail(customer)
    client = rig.redis.client()
    until("the wake-up is published", lambda: client.llen("billing-ai:celery"))
    had_failed = rig.log("web").read_text().count("wake.failed")
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", 1)
    try:
        rig.thaw("worker")
        assert rig.post(webhook("ev_full", customer["id"])).status_code == 200
        until("a wake-up has failed", lambda: rig.log("web").read_text().count("wake.failed") > had_failed)
        until("the worker has met it", lambda: "OutOfMemoryError" in rig.log("worker").read_text())
        # when it makes room by forgetting what it held
        client.config_set("maxmemory-policy", "allkeys-lru")
        with contextlib.suppress(OutOfMemoryError):
            client.set("one more", "")
        assert client.dbsize() == 0
    finally:
        client.config_set("maxmemory", 0)
    # then the same worker, which the refusal has not ended, does what waits
    rig.proposal(invoice_id, "send_message")
    assert rig.child("worker").process.poll() is None


def test_the_broker_dies_and_comes_back_empty(rig: Rig) -> None:
    rig.redis.kill()
    customer = rig.customer()
    try:
        assert rig.post(webhook("ev_no_broker", customer["id"])).status_code == 200
        invoice_id = rig.fail(customer)
        until("the event is stored", lambda: Event.objects.filter(chargebee_customer_id=customer["id"]).count() >= 2)
    finally:
        rig.redis.start()
    rig.proposal(invoice_id, "send_message")


def test_the_database_restarts_at_once(rig: Rig) -> None:
    customer = rig.customer()
    invoice_id = rig.fail(customer)
    rig.restart_database()
    # what was refused is sent again after two minutes; what was claimed is free again after its lease
    rig.advance(**PAST_ANY_LEASE)
    # then web, worker and beat go on with new connections, and what was accepted is done
    rig.proposal(invoice_id, "send_message")
    other = rig.fail(rig.customer())
    rig.proposal(other, "send_message")
    assert Entry.objects.filter(kind="case.opened", chargebee_invoice_id__in=[invoice_id, other]).count() == 2


@pytest.mark.slow
def test_two_beats(rig: Rig) -> None:
    rig.start("beat-2")
    retry = waiting_retry(rig)
    go(rig, retry)
    rig.wait_execution(retry, "done")
    assert rig.charges(retry.chargebee_invoice_id) == 1
    # and when the first is gone, the second goes on
    rig.kill("beat")
    rig.proposal(rig.fail(rig.customer()), "send_message")


@pytest.mark.slow
def test_deploy_in_the_middle_of_a_task(rig: Rig) -> None:
    # given a charge whose answer is on its way when the worker is told to end
    retry = waiting_retry(rig)
    rig.to_chargebee.hold_answer_to(f"/invoices/{retry.chargebee_invoice_id}/collect_payment".encode())
    go(rig, retry)
    rig.to_chargebee.wait_held()
    rig.child("worker").process.terminate()
    rig.to_chargebee.let_through()
    assert rig.end("worker") == 0
    # then it has ended its task first
    found = rig.execution(retry)
    assert (found.status, found.settled_by) == ("done", "answer")
    # and the new one takes what comes
    rig.start("worker")
    rig.proposal(rig.fail(rig.customer()), "send_message")
    assert rig.charges(retry.chargebee_invoice_id) == 1


def test_the_ledger_is_whole_after_all_of_it(rig: Rig) -> None:
    report = verify()
    assert report.is_whole, report


def webhook(event_id: str, customer_id: str) -> dict[str, object]:
    """An event that names a customer and nothing else."""
    return {
        "id": event_id,
        "object": "event",
        "event_type": "customer_changed",
        "api_version": "v2",
        "source": "api",
        "occurred_at": 1_760_000_000,
        "content": {"customer": {"id": customer_id, "resource_version": 1}},
    }
