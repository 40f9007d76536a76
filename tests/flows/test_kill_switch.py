"""The kill switch turned in the middle of the work: the call that is on the wire finishes and is shown, and nothing follows it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection, transaction
from django.test import Client

from approvals.admin.kill_switch import on_the_wire
from approvals.models import Execution, ExecutionAttempt, KillSwitch
from approvals.policy import gate, rollout, switch_turn
from billing_ai.integrations import ports, registry
from billing_ai.integrations.chargebee import writes
from billing_ai.kernel import clock
from tests.database import address_of_the_test_database
from tests.flows.conftest import World

ROOT = Path(__file__).parents[2]


class TurnedDuringTheFirstCall:
    """The real mail adapter at the edge; while its first message is under way a lead turns the switch in the console."""

    def __init__(self, client: Client, scope: str) -> None:
        self.real, self.client, self.scope, self.said = registry.mail(), client, scope, ""

    def send(self, mail: ports.OutgoingMail, *, key: str) -> ports.SentReceipt:
        if not self.said:
            answer = self.client.post("/console/switch/", {"scope": self.scope, "turn": "on", "reason": "Something is wrong."})
            assert answer.status_code == 302
            (self.said,) = [str(message) for message in get_messages(answer.wsgi_request)]
        return self.real.send(mail, key=key)

    def look_up(self, key: str) -> ports.LookUp:
        return self.real.look_up(key)


@pytest.mark.parametrize("scope", ["all", "dunning"])
def test_at_most_the_calls_on_the_wire_finish_and_they_are_shown(world: World, monkeypatch: pytest.MonkeyPatch, scope: str) -> None:
    # given five approved messages that are due
    customers = [world.customer("en") for _ in range(5)]
    invoices = [world.fail(customer) for customer in customers]
    world.hear()
    for invoice_id in invoices:
        world.approve(world.proposal(invoice_id, "send_message"))
    client = Client()
    client.force_login(world.people["lead"])
    turned = TurnedDuringTheFirstCall(client, scope)
    monkeypatch.setattr(registry, "mail", lambda: turned)
    # when the switch is turned while the first of them is under way
    world.act()
    # then that one arrives, and it was shown as being on the wire; nothing else went out
    arrived = [customer for customer in customers if world.mail_to(customer)]
    assert len(arrived) == 1
    first = invoices[customers.index(arrived[0])]
    assert turned.said == f"Nothing goes out any more. On the wire, and still to finish: 1 (Send message, invoice {first})."
    messages = Execution.objects.filter(action="send_message", proposal__chargebee_invoice_id__in=invoices)
    assert sorted(messages.values_list("status", flat=True)) == ["done", "waiting", "waiting", "waiting", "waiting"]
    # and lifting it needs a reason
    client.post("/console/switch/", {"scope": scope, "turn": "off", "reason": " "})
    world.advance(minutes=3)
    world.act()
    assert sum(len(world.mail_to(customer)) for customer in customers) == 1
    client.post("/console/switch/", {"scope": scope, "turn": "off", "reason": "It was a false alarm."})
    world.advance(minutes=3)
    world.act()
    assert [len(world.mail_to(customer)) for customer in customers] == [1, 1, 1, 1, 1]


def test_turned_after_the_gate_looked_no_payment_page_is_made(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    customer = world.customer("en")
    invoice_id = world.fail(customer)
    world.hear()
    world.approve(world.proposal(invoice_id, "send_message"))
    judge = gate.judge

    def judged_then_turned(*args: Any, **named: Any) -> Any:
        verdict = judge(*args, **named)
        if named["moment"] == "execute":
            rollout.set_kill_switch("all", True, world.people["lead"], reason="A test.")
        return verdict

    monkeypatch.setattr(gate, "judge", judged_then_turned)
    before = _pages(world)
    world.act()
    assert (_pages(world) - before, world.mail_to(customer)) == (0, [])
    row = Execution.objects.get(action="send_message", proposal__chargebee_invoice_id=invoice_id)
    assert (row.status, row.settle_after, row.reason.split(":")[0]) == ("waiting", None, "kill_switch")


def test_payment_pages_that_are_being_made_are_shown_and_their_message_is_not_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    customer = world.customer("en")
    invoice_id = world.fail(customer)
    world.hear()
    world.approve(world.proposal(invoice_id, "send_message"))
    client, said = Client(), []
    client.force_login(world.people["lead"])
    make = writes.create_collect_now_page

    def turned_meanwhile(*args: Any, **named: Any) -> Any:
        answer: Any = client.post("/console/switch/", {"scope": "dunning", "turn": "on", "reason": "Something is wrong."})
        said.extend(str(message) for message in get_messages(answer.wsgi_request))
        return make(*args, **named)

    monkeypatch.setattr(writes, "create_collect_now_page", turned_meanwhile)
    world.act()
    named = f"Payment pages for a message that will not be sent, invoice {invoice_id}"
    assert said == [f"Nothing goes out any more. On the wire, and still to finish: 1 ({named})."]
    assert world.mail_to(customer) == []
    row = Execution.objects.get(action="send_message", proposal__chargebee_invoice_id=invoice_id)
    assert (row.status, row.settle_after, row.attempts.count()) == ("waiting", None, 0)
    # and once the switch is lifted it goes out, once
    monkeypatch.setattr(writes, "create_collect_now_page", make)
    client.post("/console/switch/", {"scope": "dunning", "turn": "off", "reason": "It was a false alarm."})
    world.advance(minutes=3)
    world.act()
    assert len(world.mail_to(customer)) == 1


def test_the_switch_says_when_nothing_is_on_the_wire(world: World) -> None:
    client = Client()
    client.force_login(world.people["lead"])

    answer: Any = client.post("/console/switch/", {"scope": "all", "turn": "on", "reason": "A test."})

    assert [str(message) for message in get_messages(answer.wsgi_request)] == ["Nothing goes out any more. No call is on the wire."]


def test_turned_while_many_workers_are_at_it_nothing_begins_that_was_not_on_the_wire(world: World, tmp_path: Path) -> None:
    # given sixteen customers with a message and a comment each, all approved and due, and comments that take their time on the wire
    invoices = {world.fail(customer): customer for customer in [world.customer() for _ in range(16)]}
    world.hear()
    for invoice_id in invoices:
        for action in ("send_message", "add_comment"):
            world.approve(world.proposal(invoice_id, action))
    ours = Execution.objects.filter(proposal__chargebee_invoice_id__in=invoices, action__in=("send_message", "add_comment"))
    world.site.post("/control/faults", kind="delay", method="POST", path="/comments", seconds=0.4)
    client = Client()
    client.force_login(world.people["lead"])
    # when a lead turns the switch while three processes with four threads each carry them out
    workers = [_worker(world, tmp_path) for _ in range(3)]
    try:
        _until(lambda: ours.filter(status="done").count() >= 4)
        answer = client.post("/console/switch/", {"scope": "all", "turn": "on", "reason": "Something is wrong."})
        shown_at, had_arrived = clock.now(), _arrived(world, invoices)
        (said,) = [str(message) for message in get_messages(answer.wsgi_request)]
        for worker in workers:
            assert worker.wait(timeout=120) == 0, _told(worker)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    # then every call that was ever made was committed as begun before the switch was turned
    turned_at = KillSwitch.objects.get(scope="all").changed_at
    assert turned_at is not None
    begun = set(ExecutionAttempt.objects.filter(execution__in=ours).values_list("execution_id", flat=True))
    assert ExecutionAttempt.objects.filter(execution__in=ours, started_at__gt=turned_at).count() == 0
    assert set(ours.filter(status="done").values_list("pk", flat=True)) == begun
    assert 4 <= len(begun) < len(invoices) * 2
    assert set(ours.exclude(pk__in=begun).values_list("status", flat=True)) == {"waiting"}
    # and outside exactly those have arrived: what came after the turn was named as being on the wire
    arrived = _arrived(world, invoices)
    assert len(arrived) == len(begun)
    count = int(said.split("still to finish: ")[1].split(" ")[0]) if "still to finish" in said else 0
    assert len(arrived) - len(had_arrived) <= count <= 12
    late = ours.filter(attempts__finished_at__gt=shown_at).values_list("proposal__chargebee_invoice_id", flat=True)
    assert set(late) <= _named(said)


def test_a_switch_is_not_turned_between_the_last_look_and_the_commit_of_a_call(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time: nobody can turn a switch inside another's transaction")
    # given a worker that has looked at the switch and has not yet committed its call as begun
    customer = world.customer("en")
    invoice_id = world.fail(customer)
    world.hear()
    world.approve(world.proposal(invoice_id, "send_message"))
    looked, may_commit, turned = threading.Event(), threading.Event(), threading.Event()
    take = gate.take

    def slow_take(*args: Any, **named: Any) -> Any:
        answer = take(*args, **named)
        looked.set()
        may_commit.wait(20)
        return answer

    monkeypatch.setattr(gate, "take", slow_take)
    said: list[list[Execution]] = []

    def turn() -> None:
        rollout.set_kill_switch("all", True, world.people["lead"], reason="A test.")
        said.append(on_the_wire("all"))
        turned.set()

    beginner, turner = _thread(world.act), _thread(turn)
    beginner.start()
    assert looked.wait(20)
    # when a lead turns the switch
    turner.start()
    # then it takes effect after that call is committed as begun, and shows it
    assert not turned.wait(1.0)
    may_commit.set()
    assert turned.wait(20)
    beginner.join()
    turner.join()
    assert [one.proposal.chargebee_invoice_id for one in said[0]] in ([invoice_id], [])  # it may have arrived by then
    (row,) = Execution.objects.filter(action="send_message", proposal__chargebee_invoice_id=invoice_id)
    assert row.status == "done"
    turned_at = KillSwitch.objects.get(scope="all").changed_at
    assert turned_at is not None
    assert row.first_sent_at is not None
    assert row.first_sent_at <= turned_at


def test_a_switch_does_not_wait_for_ever_for_a_worker_that_hangs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time: nobody can turn a switch inside another's transaction")
    monkeypatch.setattr(switch_turn, "LONGEST_WAIT_SECONDS", 1)
    looked, may_commit = threading.Event(), threading.Event()

    def begin() -> None:
        with transaction.atomic():
            switch_turn.begin_before_a_turn()
            looked.set()
            may_commit.wait(20)

    beginner = _thread(begin)
    beginner.start()
    assert looked.wait(20)
    rollout.set_kill_switch("all", True, world.people["lead"], reason="A test.")
    assert KillSwitch.objects.get(scope="all").is_on
    may_commit.set()
    beginner.join()


def _worker(world: World, folder: Path) -> subprocess.Popen[str]:
    site = world.site
    environment = {
        **os.environ, "DATABASE_URL": address_of_the_test_database(), "DEMO": "true", "VAR_DIR": str(folder), "REDIS_URL": "",
        "CHARGEBEE_API_URL": site.api_url, "CHARGEBEE_API_KEY": site.api_key, "CHARGEBEE_READ_API_KEY": site.read_only_key,
        "CHARGEBEE_RATE_PER_MINUTE": "100000", "EMAIL_URL": f"smtp://127.0.0.1:{site.smtp_port}", "LOG_LEVEL": "ERROR",
        "DJANGO_SETTINGS_MODULE": "billing_ai.settings",
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.flows.switch_worker", str(clock.offset().total_seconds()), "4"]
    with (folder / f"worker-{time.monotonic_ns()}.log").open("w") as log:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True)


def _thread(work: Callable[[], None]) -> threading.Thread:
    """A thread with a connection of its own, closed at its end."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    return threading.Thread(target=run)


def _told(worker: subprocess.Popen[str]) -> str:
    return f"a worker ended with {worker.returncode}: its log is in the test's folder"


def _until(holds: Any) -> None:
    last = time.monotonic() + 90
    while not holds():
        assert time.monotonic() < last, "the workers did not come so far"
        time.sleep(0.02)


def _arrived(world: World, invoices: dict[str, Any]) -> list[str]:
    """What the outside has of these customers: their mails, and the comments on their invoices."""
    addresses = {customer["email"] for customer in invoices.values()}
    calls = world.site.calls(limit=5_000)
    mails = [call["subject"] for call in calls if call["channel"] == "mail" and call["subject"] in addresses]
    comments = [
        call["details"]["entity_id"] for call in calls if call["what"] == "comment.create" and call["details"].get("entity_id") in invoices
    ]
    return [*mails, *comments]


def _pages(world: World) -> int:
    return sum(call["what"].startswith("hosted_page.") for call in world.site.calls(limit=5_000))


def _named(said: str) -> set[str]:
    return {part.split("invoice ")[1].rstrip(").") for part in said.split(";") if "invoice " in part}
