"""/metrics: who may read it, what it says, and that it says nothing about a customer."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import reverse
from prometheus_client.parser import text_string_to_metric_families

from approvals import ways_out
from approvals.models import Execution, KillSwitch
from billing_ai import health
from billing_ai.inbox.models import Event
from billing_ai.integrations import site_state
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Away
from billing_ai.work import claims
from billing_ai.work.models import Lane
from tests import factories

pytestmark = pytest.mark.django_db
ROOMS = [Path(__file__).parents[3] / name for name in ("approvals/tasks.py", "billing_ai/inbox/tasks.py", "agents/tasks.py")]


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    # Whole seconds and standing still enough: ages are compared with a margin of seconds, in minutes.
    yield
    clock.shift(timedelta())


def scrape(**headers: str) -> dict[tuple[str, ...], float]:
    """(name, label values …) → value."""
    response = Client().get("/metrics", **headers)
    assert response.status_code == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def minutes(seconds: float) -> int:
    return int(seconds // 60)


def event(number: int, **columns: Any) -> Event:
    values: dict[str, Any] = {"event_type": "payment_failed", "occurred_at": clock.now(), "body_sha256": "0" * 64}
    return Event.objects.create(chargebee_event_id=f"ev_{number}", **values | columns)


def test_a_system_that_is_away_is_named_with_since_when(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(site_state, "_states", {})
    ways_out.note_away(Away("mail.unreachable", "The mail server could not be reached."))
    monkeypatch.setattr(site_state, "wall_clock", lambda: time.time() + 20 * 60)
    told = scrape()
    assert minutes(told["billing_outage_seconds", "mail"]) == 20
    assert told["billing_outage_seconds", "chargebee"] == 0
    # and the page for people says so
    reader = factories.user("lead")
    client = Client()
    client.force_login(reader)
    assert "The mail server" in client.get(reverse("admin:index")).content.decode()


def test_an_idle_system_says_nought() -> None:
    told = scrape()
    assert told["billing_oldest_seconds", "events", "waiting"] == 0
    assert told["billing_items", "events", "waiting"] == 0
    assert told["billing_oldest_seconds", "executions", "unknown"] == 0


def test_the_oldest_of_each_queue_is_told() -> None:
    now = clock.now()
    event(1, lane=Lane.NEWS, not_before=now - timedelta(minutes=7, seconds=10))
    event(2, lane=Lane.PAYMENT, not_before=now - timedelta(minutes=2))
    event(3, not_before=now + timedelta(hours=1))  # not due: nobody waits for it
    event(4, status="parked", received_at=now - timedelta(minutes=90, seconds=10))
    event(5, status="done")
    case = factories.case()
    for number, status in enumerate(("unknown", "person"), start=1):
        proposal = factories.proposal(case, action="add_comment", step=f"comment:{number}", status="unknown")
        Execution.objects.create(
            proposal=proposal, action="add_comment", business_key=status, idempotency_key=status, trace_id=case.trace_id, status=status,
            first_sent_at=now - timedelta(minutes=11 * number, seconds=10),
        )  # fmt: skip
    told = scrape()
    assert minutes(told["billing_oldest_seconds", "events", "waiting"]) == 7
    assert minutes(told["billing_oldest_seconds", "events", "parked"]) == 90
    assert minutes(told["billing_oldest_seconds", "executions", "unknown"]) == 11
    assert minutes(told["billing_oldest_seconds", "executions", "person"]) == 22
    assert told["billing_items", "events", "waiting"] == 3
    assert told["billing_items", "events", "parked"] == 1
    assert told["billing_items", "executions", "unknown"] == 1
    assert told["billing_items", "proposals", "waiting"] == 1


def test_counting_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "COUNT_STOPS_AT", 3)
    for number in range(5):
        event(number)
    assert scrape()["billing_items", "events", "waiting"] == 3


def test_each_sweep_says_how_long_ago_it_ran() -> None:
    tick = claims.claim_tick("inbox.reconcile", timedelta(minutes=1))
    assert tick is not None
    clock.shift(timedelta(minutes=4, seconds=10))
    told = scrape()
    assert minutes(told["billing_tick_started_seconds", "inbox.reconcile"]) == 4
    assert ("billing_tick_finished_seconds", "inbox.reconcile") not in told
    claims.finish_tick(tick, "nothing")
    assert minutes(scrape()["billing_tick_finished_seconds", "inbox.reconcile"]) == 0


def test_a_sweep_that_does_not_come_again_is_overdue() -> None:
    claims.claim_tick("inbox.reconcile", timedelta(minutes=5))
    assert scrape()["billing_tick_overdue_seconds", "inbox.reconcile"] == 0
    clock.shift(timedelta(minutes=12, seconds=10))
    assert minutes(scrape()["billing_tick_overdue_seconds", "inbox.reconcile"]) == 7


def test_what_a_sweep_found_wrong_shows_until_it_finds_nothing() -> None:
    tick = claims.claim_tick("audit.verify", timedelta(minutes=1))
    assert tick is not None
    claims.finish_tick(tick, "3 faults", problems=3)
    assert scrape()["billing_tick_problems", "audit.verify"] == 3
    claims.finish_tick(tick, "whole")
    assert scrape()["billing_tick_problems", "audit.verify"] == 0


def test_rates_are_taken_from_counters_that_only_grow() -> None:
    assert scrape()["billing_rows_total", "events"] == 0
    newest = [event(number, status="done") for number in range(3)][-1]
    told = scrape()
    assert told["billing_rows_total", "events"] == newest.pk
    assert {kind for name, kind, *_ in told if name == "billing_rows_total"} == {"events", "approvals", "executions", "calls", "ledger"}


def test_latencies_are_those_of_what_has_just_ended() -> None:
    now = clock.now()
    for number in range(1, 100):
        event(number, status="done", received_at=now - timedelta(seconds=number), finished_at=now)
    event(200, status="done", received_at=now - timedelta(hours=9), finished_at=now - timedelta(hours=1))
    told = scrape()
    assert [told["billing_latency_seconds", quantile, "event"] for quantile in ("0.5", "0.95", "0.99")] == [50, 95, 99]
    assert ("billing_latency_seconds", "0.5", "run") not in told


def test_the_alert_rules_name_figures_that_there_are() -> None:
    """docs/reliability.md is where they are copied from."""
    rules = re.findall(r"^ +expr: (.+)$", (Path(__file__).parents[3] / "docs/reliability.md").read_text(), re.MULTILINE)
    named = set(re.findall(r"billing_\w+", " ".join(rules)))
    event(1, status="done", finished_at=clock.now())
    claims.claim_tick("inbox.reconcile", timedelta(minutes=5))
    KillSwitch.objects.get_or_create(scope="all")
    assert len(rules) >= 12
    assert named <= {name for name, *_ in scrape()}
    wanted = set(re.findall(r'schedule="([\w.]+)"', " ".join(rules)))
    assert wanted <= set(re.findall(r'claim_tick\("([\w.]+)"', " ".join(path.read_text() for path in ROOMS)))


def test_a_kill_switch_shows() -> None:
    KillSwitch.objects.update_or_create(scope="all", defaults={"is_on": True, "reason": "a test"})
    assert scrape()["billing_kill_switch_on", "all"] == 1


def test_nothing_in_it_names_a_customer() -> None:
    case = factories.case()
    text = Client().get("/metrics").content.decode()
    for secret in (case.chargebee_customer_id, case.chargebee_invoice_id, "4900"):
        assert secret not in text


# -- who may -------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"REMOTE_ADDR": "127.0.0.1"}, 200),
        ({"REMOTE_ADDR": "::1"}, 200),
        ({"REMOTE_ADDR": "10.0.0.7"}, 403),
        ({"REMOTE_ADDR": ""}, 403),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.9"}, 403),
        ({"REMOTE_ADDR": "10.0.0.7", "HTTP_X_FORWARDED_FOR": "127.0.0.1"}, 403),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_AUTHORIZATION": "Bearer "}, 200),
    ],
)
def test_without_a_token_only_this_machine_may_read(settings: Any, headers: dict[str, str], status: int) -> None:
    settings.METRICS_TOKEN = ""
    response = Client().get("/metrics", **headers)
    assert response.status_code == status
    assert (b"billing_" in response.content) is (status == 200)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"HTTP_AUTHORIZATION": "Bearer a-long-token", "REMOTE_ADDR": "10.0.0.7", "HTTP_X_FORWARDED_FOR": "203.0.113.9"}, 200),
        ({"HTTP_AUTHORIZATION": "Bearer another"}, 401),
        ({"HTTP_AUTHORIZATION": "a-long-token"}, 401),
        ({"REMOTE_ADDR": "127.0.0.1"}, 401),
    ],
)
def test_with_a_token_only_its_bearer_may_read(settings: Any, headers: dict[str, str], status: int) -> None:
    settings.METRICS_TOKEN = "a-long-token"
    response = Client().get("/metrics", **headers)
    assert response.status_code == status
    assert (b"billing_" in response.content) is (status == 200)


def test_it_is_only_read(settings: Any) -> None:
    assert Client().post("/metrics").status_code == 405


def test_without_a_database_it_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> None:
        raise OperationalError("the server went away")

    monkeypatch.setattr(health, "_oldest_due", away)
    assert Client().get("/metrics").status_code == 503
