"""A real Chromium on a live server, signed in as each role. Nothing outside this machine is asked for: a request elsewhere fails the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

# Playwright's synchronous interface keeps an event loop in this thread; Django would otherwise refuse the ORM here.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests import factories

# Generous: the machine may be busy, and waiting longer never makes a wrong page right.
expect.set_options(timeout=45_000)

ARGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is needed for the browser tests and is not on the path")
        pytest.skip("Chromium is not on the path")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(ARGS))
        yield opened
        opened.close()


@pytest.fixture
def chargebee(monkeypatch: pytest.MonkeyPatch) -> factories.FakeChargebee:
    return factories.FakeChargebee().install(monkeypatch)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.core.cache import cache

    cache.clear()
    # A wake-up would need a broker; nothing here waits for a worker.
    monkeypatch.setattr("billing_ai.work.wake._waker.wake", lambda task: None)


@pytest.fixture
def rules(transactional_db: Any) -> None:
    """The rules and groups that a new installation has."""
    from django.apps import apps

    from approvals.groups import bring_up_to_date
    from approvals.policy.defaults import install_defaults

    bring_up_to_date(list(apps.get_app_configs())[-1])
    install_defaults()


@pytest.fixture
def sign_in(browser: Browser, live_server: Any, rules: None) -> Iterator[Callable[..., Page]]:
    """`sign_in(user, width=1280, dark=False, scripts=True)` gives a page at the queue. Any error on a page fails the test at its end."""
    from django.conf import settings as django_settings
    from django.test import Client

    contexts: list[BrowserContext] = []
    trouble: list[str] = []

    def opened(user: Any, *, path: str = "/console/queue/", width: int = 1280, dark: bool = False, scripts: bool = True) -> Page:
        own = Client()
        own.force_login(user)
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", java_script_enabled=scripts, locale="en-GB",
            base_url=live_server.url, timezone_id="Europe/Berlin",
        )  # fmt: skip
        context.set_default_timeout(60_000)
        contexts.append(context)
        context.add_cookies(
            [
                {
                    "name": django_settings.SESSION_COOKIE_NAME,
                    "value": own.cookies[django_settings.SESSION_COOKIE_NAME].value,
                    "url": live_server.url,
                }
            ]
        )
        page = context.new_page()
        page.on("pageerror", lambda error: trouble.append(f"{page.url}: {error}"))
        page.on(
            "request",
            lambda request: None if request.url.startswith((live_server.url, "data:", "about:", "blob:")) else trouble.append(request.url),
        )
        page.on("dialog", lambda dialog: (trouble.append(f"a dialog said {dialog.message}"), dialog.dismiss()))
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert trouble == []
