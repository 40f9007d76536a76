"""What somebody who sets the site up reads."""

from __future__ import annotations

from datetime import timedelta
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from celery.signals import worker_ready

from billing_ai.celery import app
from billing_ai.inbox import tasks
from billing_ai.integrations.chargebee.events import HANDLED
from billing_ai.integrations.chargebee.setup_check import Level, check_site, missing_events
from billing_ai.kernel import clock
from billing_ai.work.models import Tick
from tests.contracts.conftest import Edge

OURS = "https://billing.example/webhooks/chargebee/"


class Site:
    """A site in good order, until a test changes something."""

    def __init__(self) -> None:
        self.catalog = "v2"
        self.endpoints: list[dict[str, Any]] = [{"id": "w", "url": OURS, "api_version": "v2", "enabled_events": list(HANDLED)}]
        self.forbidden: tuple[str, ...] = ()
        self.date: str | None = formatdate(usegmt=True)
        self.status = 200

    def __call__(self, request: httpx.Request) -> httpx.Response:
        headers = {"date": self.date} if self.date else {}
        if self.status != 200 or any(name in request.url.path for name in self.forbidden):
            error = {"message": "m", "type": "", "api_error_code": "api_authorization_failed", "http_status_code": 403}
            return httpx.Response(self.status if self.status != 200 else 403, json=error, headers=headers)
        if request.url.path.endswith("/configurations"):
            return httpx.Response(200, json={"configurations": [{"domain": "d", "product_catalog_version": self.catalog}]}, headers=headers)
        rows = [{"webhook_endpoint": endpoint} for endpoint in self.endpoints] if request.url.path.endswith("/webhook_endpoints") else []
        return httpx.Response(200, json={"list": rows}, headers=headers)


@pytest.fixture
def site(edge: Edge) -> Site:
    made = Site()
    edge.answer = made
    return made


def found(webhook_url: str = OURS) -> dict[str, Level]:
    return {finding.code: finding.level for finding in check_site(webhook_url=webhook_url)}


def test_a_site_in_good_order(site: Site) -> None:
    assert found() == dict.fromkeys(
        ["site.reachable", "clock.right", "scope.read", "catalog.v2", "webhook.registered", "keys.separate"], Level.FINE
    )


def test_a_check_changes_nothing(site: Site, edge: Edge) -> None:
    check_site(webhook_url=OURS)
    assert {request.method for request in edge.requests} == {"GET"}


def test_a_site_that_is_not_there(edge: Edge) -> None:
    edge.is_down = True
    [finding] = check_site()
    assert (finding.code, finding.level) == ("site.unreachable", Level.BLOCKING)
    assert finding.sentence == "The site at chargebee.test cannot be reached. Chargebee could not be reached. Nothing was sent."


def test_a_wrong_key(site: Site) -> None:
    site.status = 401
    assert found() == {"key.refused": Level.BLOCKING}


def test_no_key_at_all(settings: Any, edge: Edge) -> None:
    settings.CHARGEBEE_READ_API_KEY = ""
    assert found() == {"chargebee.no_key": Level.BLOCKING}
    assert edge.requests == []


def test_a_scope_that_the_key_lacks(site: Site) -> None:
    site.forbidden = ("/transactions",)
    assert found()["scope.transactions"] is Level.BLOCKING
    [finding] = [finding for finding in check_site() if finding.code == "scope.transactions"]
    assert "It lacks the scope “read: transaction” (transaction.list)" in finding.sentence


def test_the_old_catalogue(site: Site) -> None:
    site.catalog = "v1"
    assert found()["catalog.v1"] is Level.BLOCKING


def test_clocks_that_differ(site: Site) -> None:
    site.date = formatdate(1_000_000_000, usegmt=True)
    assert found()["clock.skewed"] is Level.WARNING


@pytest.mark.parametrize("date", [None, "half past nine"])
def test_a_site_that_does_not_say_the_time(date: str | None, site: Site) -> None:
    site.date = date
    assert found()["clock.unknown"] is Level.WARNING


@pytest.mark.parametrize(
    ("endpoints", "code", "level"),
    [
        ([], "webhook.missing", Level.BLOCKING),
        ([{"url": OURS, "disabled": True}], "webhook.missing", Level.BLOCKING),
        ([{"url": "https://elsewhere.example/"}], "webhook.missing", Level.BLOCKING),
        ([{"url": OURS, "enabled_events": ["payment_failed"]}], "webhook.events", Level.WARNING),
        ([{"url": OURS, "api_version": "v1"}], "webhook.version", Level.WARNING),
        ([{"url": OURS.rstrip("/")}], "webhook.registered", Level.FINE),
    ],
)
def test_the_webhook(endpoints: list[dict[str, Any]], code: str, level: Level, site: Site) -> None:
    site.endpoints = endpoints
    assert found()[code] is level


def test_one_key_for_everything(site: Site, settings: Any) -> None:
    settings.CHARGEBEE_READ_API_KEY = settings.CHARGEBEE_API_KEY
    assert found()["keys.shared"] is Level.WARNING


def test_which_events_an_endpoint_misses() -> None:
    assert missing_events({"enabled_events": [name for name in HANDLED if name != "dunning_updated"]}) == ("dunning_updated",)
    assert missing_events({"enabled_events": []}) == ()
    assert missing_events({"enabled_events": "odd"}) == ()


# -- at the start ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_worker_that_starts_looks_and_the_console_keeps_what_it_found(site: Site, edge: Edge) -> None:
    site.endpoints = []
    tasks.check_site()
    tick = Tick.objects.get(schedule="chargebee.set_up")
    assert tick.result == "blocking: No active webhook is registered; without one nothing is noticed. It can be created."
    # and another worker that starts in the same minute does not look again
    asked = len(edge.requests)
    tasks.check_site()
    assert len(edge.requests) == asked


def test_a_clock_that_the_demo_has_moved_is_not_taken_for_a_wrong_one(site: Site) -> None:
    clock.shift(timedelta(days=9))
    try:
        assert found()["clock.right"] is Level.FINE
    finally:
        clock.shift(timedelta())


@pytest.mark.django_db
def test_a_site_in_good_order_is_said_to_be(site: Site) -> None:
    tasks.check_site()
    assert Tick.objects.get(schedule="chargebee.set_up").result == "the site is set up"


def test_it_is_asked_for_when_a_worker_is_ready_and_by_beat() -> None:
    asked: list[str] = []

    class Worker:
        app = SimpleNamespace(send_task=asked.append)

    worker_ready.send(sender=Worker())
    assert asked == ["inbox.check_site"]
    assert app.conf.beat_schedule["site"]["task"] == "inbox.check_site"
