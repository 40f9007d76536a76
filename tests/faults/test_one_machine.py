"""The faults that one machine has too, with SQLite and the file-system broker: no server to fall back on, and nothing lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from approvals.models import ExecutionAttempt
from audit.verify import verify
from billing_ai.inbox.models import Event
from tests.faults.conftest import heal
from tests.faults.rig import Rig, until
from tests.faults.test_machines import PAST_ANY_LEASE, go, waiting_retry, webhook


@pytest.fixture
def rig(alone: Rig) -> Iterator[Rig]:
    """Healed before and after each test."""
    heal(alone)
    yield alone
    heal(alone)


@pytest.mark.slow
def test_kill_9_of_a_worker_between_call_and_commit(rig: Rig) -> None:
    # given a charge that has been made, and whose answer is still on its way
    retry = waiting_retry(rig)
    rig.to_chargebee.hold_answer_to(f"/invoices/{retry.chargebee_invoice_id}/collect_payment".encode())
    go(rig, retry)
    rig.to_chargebee.wait_held()
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


def test_the_broker_forgets_and_web_and_beat_are_killed(rig: Rig) -> None:
    # given news that is stored while nobody works
    rig.freeze("worker")
    customer = rig.customer()
    invoice_id = rig.fail(customer)
    until("the event is stored", lambda: Event.objects.filter(chargebee_customer_id=customer["id"]).exists())
    # when every message is gone, and so are web and beat
    for message in (rig.var_dir / "broker" / "queue").glob("*"):
        message.unlink(missing_ok=True)
    rig.kill("web")
    rig.kill("beat")
    rig.start("web")
    rig.start("beat")
    rig.thaw("worker")
    # then the sweep finds the rows, and what was stored is known
    rig.proposal(invoice_id, "send_message")
    until("web is back", rig._web_answers)
    known = Event.objects.filter(chargebee_customer_id=customer["id"]).values_list("chargebee_event_id", flat=True)[0]
    assert rig.post(webhook(known, customer["id"])).json() == {"received": known, "new": False}


def test_the_ledger_is_whole_after_all_of_it(rig: Rig) -> None:
    report = verify()
    assert report.is_whole, report
