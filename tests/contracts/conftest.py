"""The network's edge, replaced: every request that the pooled client would send is caught here, and answered as the test says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from billing_ai.integrations import http, site_state
from billing_ai.integrations.chargebee import budget, call, circuit

Handler = Callable[[httpx.Request], httpx.Response]


class Edge:
    """What went out, and what comes back: `answer` is a handler, or `answers` a queue of responses and exceptions."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answers: list[httpx.Response | Exception] = []
        self.answer: Handler | None = None
        self.is_down = False
        self.looks = 0
        """How often the site was asked whether it answers at all, where no handler answers that too."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        if request.url.path.endswith("/configurations") and self.answer is None:
            self.looks += 1
            if self.is_down:
                raise httpx.ConnectError("refused")
            return httpx.Response(200, json={})
        self.requests.append(request)
        if self.answers:
            following = self.answers.pop(0)
            if isinstance(following, Exception):
                raise following
            return following
        assert self.answer is not None, f"nothing was prepared for {request.method} {request.url}"
        return self.answer(request)

    @property
    def paths(self) -> list[str]:
        return [f"{request.method} {request.url.path}" for request in self.requests]


@pytest.fixture
def edge() -> Iterator[Edge]:
    caught = Edge()
    before = http.use_client(httpx.Client(transport=httpx.MockTransport(caught)))
    yield caught
    http.use_client(before)


@pytest.fixture(autouse=True)
def outside(settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every vendor set up, none of them real, and nothing known of calls before."""
    monkeypatch.setattr(site_state, "_states", {})
    monkeypatch.setattr(site_state, "_unreachable_until", 0.0)
    monkeypatch.setattr(circuit, "_failed_here", False)
    settings.VAR_DIR = tmp_path
    settings.REDIS_URL = ""
    settings.CHARGEBEE_SITE = "contract-test"
    settings.CHARGEBEE_API_KEY = "key-that-writes"
    settings.CHARGEBEE_READ_API_KEY = "key-that-reads"
    settings.CHARGEBEE_API_URL = "http://chargebee.test/api/v2"
    settings.CHARGEBEE_RATE_PER_MINUTE = 3500
    settings.SMS_API_URL = "http://sms.test"
    settings.SMS_ACCOUNT = "AC1"
    settings.SMS_TOKEN = "token"
    settings.SMS_FROM = "+15005550006"
    settings.ZENDESK_URL = "http://desk.test"
    settings.ZENDESK_USER = "agent@desk.test/token"
    settings.ZENDESK_TOKEN = "token"
    settings.SALESFORCE_URL = "http://salesforce.test"
    settings.SALESFORCE_TOKEN = "token"
    settings.HUBSPOT_URL = "http://hubspot.test"
    settings.HUBSPOT_TOKEN = "token"
    settings.DEFAULT_FROM_EMAIL = "Northwind <billing@northwind.example>"
    settings.OUTSIDE_TIMEOUT_SECONDS = 5.0


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody waits in a test: the clock jumps instead, and what would have been waited is noted."""
    noted: list[float] = []
    start = float(int(time.time()))
    monkeypatch.setattr(site_state, "wall_clock", lambda: start + sum(noted))
    monkeypatch.setattr(call, "sleep", noted.append)
    monkeypatch.setattr(budget, "sleep", noted.append)
    return noted
