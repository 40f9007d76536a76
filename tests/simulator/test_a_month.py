"""A month of a site, through webhooks, ends with books that balance."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Count

from billing_ai.inbox import reconcile
from billing_ai.inbox.models import Event
from billing_ai.integrations.chargebee.events import HANDLED
from billing_ai.kernel import clock
from tests.simulator.receiving import own_endpoint
from tests.simulator.running import RunningSimulator, running_simulator

DAY = 86_400


def _balanced(simulator: RunningSimulator) -> None:
    answer = simulator.get("/control/books")
    assert {currency: entry["difference"] for currency, entry in answer["books"].items()} == dict.fromkeys(answer["books"], 0)


@pytest.mark.django_db
def test_a_month_of_500_customers_through_our_own_webhook_balances(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CHARGEBEE_WEBHOOK_USER, settings.CHARGEBEE_WEBHOOK_PASSWORD = "u", "p"
    settings.CHARGEBEE_WEBHOOK_SECRET_PATH = settings.REDIS_URL = ""
    settings.VAR_DIR, settings.CHARGEBEE_RATE_PER_MINUTE = tmp_path, 100_000
    monkeypatch.setattr("billing_ai.work.wake._waker.wake", lambda task: None)
    monkeypatch.setattr("billing_ai.inbox.reception.wake", lambda task: None)
    with running_simulator(customers=500, history_months=1, seed=3) as simulator, own_endpoint() as ours:
        # given a site that sends some events twice and some late, all to our own webhook
        simulator.post("/control/settings", duplicate_share=0.02, late_share=0.02)
        simulator.post("/control/webhooks", url=ours.url, user="u", password="p")
        ours.during(lambda: simulator.post("/control/deliver"))
        _balanced(simulator)
        before = simulator.get("/control/ready")["counts"]["invoice"]
        # when a month goes by
        for _ in range(6):
            ours.during(lambda: simulator.advance(5 * DAY + 7_200))
            _balanced(simulator)
        ours.during(lambda: simulator.post("/control/deliver"))
        ready = simulator.get("/control/ready")
        # then each event was answered well and stored once, and Chargebee's own list has none that did not arrive
        assert set(ours.answers) == {200}
        assert ours.answers[200] > ready["counts"]["event"]
        assert ready["deliveries_open"] == 0
        assert Event.objects.count() == ready["counts"]["event"]
        settings.CHARGEBEE_API_URL, settings.CHARGEBEE_READ_API_KEY = simulator.api_url, simulator.read_only_key
        clock.shift(timedelta(seconds=simulator.now() - clock.now().timestamp()))
        try:
            assert re.fullmatch(r"\d\d+ events looked at, 0 had not arrived", reconcile.run())
        finally:
            clock.shift(timedelta())
    assert ready["counts"]["invoice"] - before > 400
    of_type = dict(Event.objects.values_list("event_type").annotate(Count("id")))
    assert of_type["subscription_renewed"] > 400
    assert of_type["payment_succeeded"] > 350
    assert of_type["payment_failed"] > 50
    of_status = set(Event.objects.values_list("status", "event_type"))
    assert {name for status, name in of_status if status == Event.WAITING} == set(HANDLED) & set(of_type)
    assert {status for status, name in of_status if name not in HANDLED} == {Event.IGNORED}


def test_what_is_due_happens_in_its_order(own_simulator: RunningSimulator) -> None:
    own_simulator.advance(40 * DAY)
    cb = own_simulator.client()
    events, offset = [], None
    while True:
        page = cb.Event.list({"limit": 100, "sort_by": {"asc": "occurred_at"}} | ({"offset": offset} if offset else {}))
        events += [entry.event for entry in page.list]
        offset = page.next_offset
        if not offset:
            break
    versions = [e.content["invoice"]["resource_version"] for e in events if "invoice" in e.content]
    assert versions == sorted(versions)
    assert [e.occurred_at for e in events] == sorted(e.occurred_at for e in events)
