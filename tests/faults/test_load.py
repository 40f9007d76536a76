"""Much at once: a backlog of a million events, and a migration while webhooks come in."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from django.db import connection, connections
from django.urls import reverse

from billing_ai import supervisor
from billing_ai.inbox.models import Event
from billing_ai.management.commands.seed import PASSWORD
from tests.faults.rig import AUTH, Rig, until
from tests.faults.test_machines import webhook

pytestmark = pytest.mark.slow
MILLION = 1_000_000


@pytest.fixture
def backlog(rig: Rig) -> None:
    """A million events of 5,000 customers whom the site does not know, in the order in which they came; gone afterwards."""
    rig.kill("beat")
    rig.kill("worker")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO inbox_event (chargebee_event_id, event_type, occurred_at, received_at, source, api_version, found_by, "
            "chargebee_customer_id, resources, body_sha256, trace_id, status, lane, not_before, attempt, max_attempts, reason) "
            "SELECT 'ev_backlog_' || n, 'customer_changed', now(), now(), 'api', 'v2', 'webhook', 'cus_backlog_' || n %% 5000, '[]', "
            "repeat('0', 64), md5(n::text), 'waiting', 2, now() - interval '1 hour' + n * interval '1 millisecond', 0, 8, '' "
            "FROM generate_series(1, %s) AS n",
            [MILLION],
        )
        cursor.execute("ANALYZE inbox_event")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM inbox_event WHERE chargebee_event_id LIKE 'ev\\_backlog\\_%%'")


def kilobytes(pids: list[int]) -> int:
    """Resident memory of the largest of them. Linux only."""
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return max(int(line.split()[1]) for status in statuses for line in status.splitlines() if line.startswith("VmRSS"))


def handled() -> int:
    return Event.objects.filter(chargebee_event_id__startswith="ev_backlog_").exclude(status="waiting").count()


def test_a_backlog_of_a_million(rig: Rig, backlog: None) -> None:
    rig.start("worker")
    rig.start("beat")
    until("the backlog is begun", lambda: handled() >= 500)
    pool = rig.pool("worker")
    at_first = kilobytes(pool)
    # when a payment comes in, it goes before the million
    customer = rig.customer()
    payment = webhook("ev_payment_before_a_million", customer["id"]) | {"event_type": "payment_succeeded"}
    assert rig.post(payment).status_code == 200
    until("the payment is routed", lambda: Event.objects.filter(chargebee_event_id=payment["id"], status="done").exists())
    # and the console and the figures are there meanwhile
    page = rig.http.get(reverse("admin:login"))
    token = page.text.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
    signed_in = rig.http.post(
        reverse("admin:login"),
        data={"username": "lead", "password": PASSWORD, "next": reverse("admin:index"), "csrfmiddlewaretoken": token},
        follow_redirects=True,
    )
    assert signed_in.status_code == 200
    assert "Today" in signed_in.text
    figures = rig.http.get("/metrics").text
    assert 'billing_items{queue="events",status="waiting"} 10000.0' in figures
    # then memory stays where it was
    until("much more is done", lambda: handled() >= 3_000, seconds=400)
    assert kilobytes(rig.pool("worker")) <= at_first * 1.1
    # and each customer's events were taken in their order: what is done is older than what waits
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT chargebee_customer_id, max(not_before) FILTER (WHERE status <> 'waiting') AS newest_taken, "
            "min(not_before) FILTER (WHERE status = 'waiting' AND attempt = 0) AS oldest_left FROM inbox_event "
            "WHERE chargebee_event_id LIKE 'ev\\_backlog\\_%%' GROUP BY 1) AS each WHERE newest_taken > oldest_left"
        )
        assert cursor.fetchone() == (0,)


def test_a_migration_while_webhooks_come_in(rig: Rig) -> None:
    customer = rig.customer()
    answers: dict[str, int] = {}
    stop = threading.Event()

    def send() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{rig.web_port}", timeout=60, trust_env=False) as client:
            while not stop.is_set():
                name = f"ev_migrating_{threading.get_ident()}_{len(answers)}"
                answers[name] = client.post("/webhooks/chargebee/", json=webhook(name, customer["id"]), headers=AUTH).status_code
                time.sleep(0.2)
        connections.close_all()

    senders = [threading.Thread(target=send, daemon=True) for _ in range(2)]
    for sender in senders:
        sender.start()
    try:
        for target in (["inbox", "0001"], []):
            done = subprocess.run(
                [sys.executable, "manage.py", "migrate", "--no-input", *target],
                cwd=supervisor.ROOT, env=rig.env, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            enough = len(answers) + 10
            until("webhooks are taken after it", lambda enough=enough: len(answers) >= enough)
    finally:
        stop.set()
        for sender in senders:
            sender.join(60)
    # then none was refused, each is there, and all of it is done
    assert set(answers.values()) == {200}
    mine = Event.objects.filter(chargebee_event_id__startswith="ev_migrating_")
    assert mine.count() == len(answers)
    until("all of it is routed", lambda: not mine.filter(status__in=("waiting", "leased")).exists(), seconds=400)
