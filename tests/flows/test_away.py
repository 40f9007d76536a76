"""Another system is away for a day: nothing is tried in vain, nothing is left to people, and all of it is done soon after."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from agents import runner
from agents.models import AgentRun
from approvals import execution, settling, transitions, ways_out
from approvals.actions import send_message
from approvals.actions.contract import Absent
from approvals.models import Execution, ExecutionAttempt, Proposal
from audit.models import Entry
from billing_ai.inbox import intake, routing
from billing_ai.inbox.models import Event
from billing_ai.integrations import site_state
from billing_ai.integrations.chargebee import reads
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Retryable, Unknown
from tests.faults.proxy import Proxy
from tests.flows.conftest import World

EVERY = timedelta(hours=2)
A_DAY = 13
"""So many times."""


@pytest.fixture
def line(world: World, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The line to the site, which can be cut. What the processes know of the site goes by the moved clock here, or a day would not pass for it."""
    proxy = Proxy(int(world.site.base_url.rpartition(":")[2]))
    settings.CHARGEBEE_API_URL = world.site.api_url.replace(world.site.base_url, f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setattr(site_state, "wall_clock", lambda: clock.now().timestamp())
    monkeypatch.setattr("billing_ai.integrations.chargebee.call.sleep", lambda seconds: None)
    yield proxy
    proxy.close()


def sweep() -> None:
    """What beat has done again and again."""
    while routing.process_due():
        pass
    while runner.run_due():
        pass
    while execution.execute_due():
        pass
    settling.expire_leases()
    settling.settle_unknowns()


def store_news(world: World) -> None:
    """As webhooks would: an outage of the site's own interface need not stop what it sends."""
    for envelope in reads.list_events(occurred_after=world.started - timedelta(minutes=1)):
        if envelope.customer_id in world.mine:
            with transaction.atomic():
                intake.store(envelope, body_sha256="0" * 64, found_by="test")


def approved_message(world: World, customer: dict[str, Any]) -> Proposal:
    """To a customer whose payment failed."""
    invoice_id = world.fail(customer)
    world.hear()
    return world.approve(world.proposal(invoice_id, "send_message"))


def left_to_people() -> list[str]:
    rows = [*Event.objects.filter(status="parked"), *AgentRun.objects.filter(status="parked")]
    return [row.reason for row in (*rows, *Execution.objects.filter(status__in=("parked", "person")))]


@pytest.mark.parametrize("how", ["the line is cut", "503"])
def test_chargebee_is_away_for_a_day(how: str, world: World, line: Proxy) -> None:
    # given news that nobody has looked at, a message that is approved and due, and a run that somebody asked for
    customers = [world.customer() for _ in range(3)]
    first = world.fail(customers[0])
    world.hear()
    message = world.approve(world.proposal(first, "send_message"))
    others = [world.fail(customer) for customer in customers[1:]]
    store_news(world)
    AgentRun.objects.create(
        agent="dunning", subject_kind="invoice", subject_id=first, cause="again", chargebee_customer_id=customers[0]["id"]
    )
    # when the site is away for a day
    if how == "503":
        world.site.post("/control/faults", kind="status", status=503, path="/api/v2/")
    else:
        line.refuse()
    for _ in range(A_DAY):
        sweep()
        clock.shift(clock.offset() + EVERY)
    # then nothing was left to people, and next to nothing was tried
    assert left_to_people() == []
    assert Event.objects.filter(status="waiting").count() >= 2
    assert ExecutionAttempt.objects.count() == 0
    # and soon after it is back, all of it is done
    world.site.delete("/control/faults")
    line.let_through()
    world.site.post("/control/clock", to=int(clock.now().timestamp()))
    for _ in range(3):
        clock.shift(clock.offset() + timedelta(minutes=2))
        sweep()
    assert left_to_people() == []
    assert not Event.objects.filter(status__in=("waiting", "leased")).exists()
    assert not AgentRun.objects.filter(status__in=("waiting", "leased"), not_before__lte=clock.now()).exists()
    for invoice_id in others:
        assert Proposal.objects.filter(chargebee_invoice_id=invoice_id, action="send_message", status="waiting").exists()
    # the message goes out, or waits for an hour or a day on which it may
    held = Execution.objects.get(proposal=message)
    assert held.status == "done" or (held.status, held.reason.split(".")[0]) == ("waiting", "contact"), held.reason


def test_the_mail_server_is_away_for_an_hour(world: World, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # given three messages that are approved and due, and a comment
    monkeypatch.setattr(site_state, "wall_clock", lambda: clock.now().timestamp())
    proxy = Proxy(world.site.smtp_port)
    settings.EMAIL_PORT = proxy.port
    customers = [world.customer() for _ in range(3)]
    invoices = [world.fail(customer) for customer in customers]
    world.hear()
    messages = [world.approve(world.proposal(invoice_id, "send_message")) for invoice_id in invoices]
    effects = Execution.objects.filter(proposal__in=messages)
    # when no connection to the mail server comes about for an hour of sweeps
    proxy.refuse()
    for _ in range(80):
        while execution.execute_due():
            pass
        clock.shift(clock.offset() + timedelta(seconds=45))
    # then one of them tried, every five minutes at most, and none has lost an attempt
    assert {held.status for held in effects} == {"waiting"}
    assert min(held.max_attempts - held.attempt for held in effects) >= 8
    tries = ExecutionAttempt.objects.filter(execution__in=effects)
    assert set(tries.values_list("outcome", "code")) == {("away", "mail.unreachable")}
    assert 12 <= tries.count() <= 18
    [outage] = ways_out.outages()
    assert (outage.label, outage.since < clock.now() - timedelta(minutes=55)) == ("The mail server", True)
    assert left_to_people() == []
    # when it is back, then all of them go out within minutes, once each
    proxy.let_through()
    for _ in range(7):
        clock.shift(clock.offset() + timedelta(seconds=50))
        sweep()
    assert {held.status for held in effects.all()} == {"done"}, [held.reason for held in effects.all()]
    assert [len(world.mail_to(customer)) for customer in customers] == [1, 1, 1]
    assert ways_out.outages() == []
    assert Entry.objects.filter(kind="execution.done", subject_id__in=[str(one.pk) for one in messages]).count() == 3
    proxy.close()


def test_a_message_that_the_server_refuses_for_now_each_time_ends_with_a_person(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # given one recipient whom the server does not take today, and an effect that was never parked before
    customer = world.customer()
    message = approved_message(world, customer)

    def greylisted(*_: Any, **__: Any) -> Any:
        raise Retryable("mail.recipient_refused", "The mail server does not take mail for the customer's address at the moment.")

    with monkeypatch.context() as patched:
        patched.setattr(send_message.SendMessage, "act", greylisted)
        for _ in range(9):
            world.act()
            clock.shift(clock.offset() + timedelta(minutes=1))
    # then it does not wait where nobody looks
    held = Execution.objects.get(proposal=message)
    assert (held.status, held.attempt, held.attempts.count()) == ("parked", 8, 8)
    assert held.reason == "given up after 8 attempts: The mail server does not take mail for the customer's address at the moment."
    assert Entry.objects.filter(kind="execution.parked", subject_id=str(message.pk)).count() == 1
    message.refresh_from_db()
    assert message.status == "approved"
    # and goes out when a person says so
    transitions.replay_parked(held.pk, world.people["lead"], "They take it now.")
    world.act()
    assert len(world.mail_to(customer)) == 1


def test_a_charge_of_which_nothing_is_ever_found_ends_with_a_person(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # given an effect at its last attempt, whose answer is lost, and of which the other system has nothing
    message = approved_message(world, world.customer())
    Execution.objects.filter(proposal=message).update(max_attempts=1)

    def lost(*_: Any, **__: Any) -> Any:
        raise Unknown("chargebee.timeout", "Chargebee did not answer in time.")

    monkeypatch.setattr(send_message.SendMessage, "act", lost)
    monkeypatch.setattr(send_message.SendMessage, "look_up", lambda *_, **__: Absent(may_repeat=True))
    world.act()
    clock.shift(clock.offset() + timedelta(minutes=3))
    settling.settle_unknowns()
    held = Execution.objects.get(proposal=message)
    assert (held.status, held.reason) == ("person", "No answer came in 1 attempts, and the other system has nothing of it.")
