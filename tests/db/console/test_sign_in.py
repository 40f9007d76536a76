"""Who may not come in, does not: guessing ends, a session is its owner's, and no other site can click for them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse, reverse_lazy

from approvals.models import KillSwitch
from audit.models import TriedPassword
from billing_ai.console import sign_in
from billing_ai.kernel import clock
from tests import factories

pytestmark = pytest.mark.django_db
LOGIN = reverse_lazy("admin:login")


@pytest.fixture
def lead() -> User:
    return factories.user("lead")


def sign(client: Client, password: str, **environ: Any) -> bool:
    """Whether that lets them in."""
    client.post(LOGIN, {"username": "lead", "password": password}, **environ)
    return "_auth_user_id" in client.session


def test_brute_force_ends_after_ten_guesses_and_the_right_one_does_not_help_then(lead: User) -> None:
    for _ in range(sign_in.GUESSES):
        assert not sign(Client(), "guess")
    assert not sign(Client(), factories.PASSWORD)
    # but its owner, who is somewhere else, comes in
    assert sign(Client(), factories.PASSWORD, REMOTE_ADDR="198.51.100.7")


def test_brute_force_from_many_addresses_ends_too(lead: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "GUESSES_FROM_ANYWHERE", 5)
    for number in range(5):
        assert not sign(Client(), "guess", REMOTE_ADDR=f"198.51.100.{number}")
    assert not sign(Client(), factories.PASSWORD, REMOTE_ADDR="198.51.100.77")


def test_guesses_are_counted_over_all_hosts(lead: User) -> None:
    for _ in range(sign_in.GUESSES):
        assert not sign(Client(), "guess")
        cache.clear()  # the next one arrives at another host, which knows nothing of its own
    assert not sign(Client(), factories.PASSWORD)


def test_guesses_at_the_same_moment_are_all_counted(lead: User, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []
    look = ModelBackend.authenticate

    def slow_look(backend: Any, request: Any, username: Any = None, password: Any = None, **more: Any) -> Any:
        """While one is being looked at, the next arrives."""
        looked_at.append(password)
        if len(looked_at) < 50:
            Client().post(LOGIN, {"username": "lead", "password": f"guess {len(looked_at)}"})
        return look(backend, request, username=username, password=password, **more)

    monkeypatch.setattr(ModelBackend, "authenticate", slow_look)
    Client().post(LOGIN, {"username": "lead", "password": "guess"})
    assert len(looked_at) == sign_in.GUESSES


def test_a_closed_door_opens_after_a_quarter_of_an_hour_however_often_somebody_knocks(lead: User, monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.now()
    monkeypatch.setattr(sign_in.clock, "now", lambda: now)
    for _ in range(sign_in.GUESSES):
        sign(Client(), "guess")
    now += timedelta(minutes=14)
    assert not sign(Client(), "guess")
    now += timedelta(minutes=2)
    assert sign(Client(), factories.PASSWORD)
    # and nothing is kept of it, nor who it was while it lasted
    assert not TriedPassword.objects.exists()
    sign(Client(), "guess", REMOTE_ADDR="198.51.100.7")
    [tried] = TriedPassword.objects.values()
    assert not [value for value in tried.values() if "lead" in str(value) or "198.51.100.7" in str(value)]


def test_mistyping_a_few_times_locks_nobody_out(lead: User) -> None:
    for _ in range(3):
        for _ in range(sign_in.GUESSES - 1):
            assert not sign(Client(), "mistyped")
        assert sign(Client(), factories.PASSWORD)


def test_a_session_that_was_planted_or_stolen_is_worth_nothing(lead: User) -> None:
    # given a session that someone else knows from before the sign-in
    client = Client()
    client.get(LOGIN)
    session = client.session
    session["planted"] = True
    session.save()
    planted = session.session_key
    client.cookies["sessionid"] = planted
    assert sign(client, factories.PASSWORD)
    # then the sign-in has made another one, out of reach of scripts and other sites
    cookie = client.cookies["sessionid"]
    assert cookie.value != planted
    assert (bool(cookie["httponly"]), cookie["samesite"]) == (True, "Lax")
    # and one that was stolen ends with signing out, and with a new password
    thief = Client()
    thief.cookies["sessionid"] = cookie.value
    assert thief.get(reverse("admin:index")).status_code == 200
    client.post(reverse("admin:logout"))
    assert thief.get(reverse("admin:index")).status_code == 302
    assert sign(client, factories.PASSWORD)
    thief.cookies["sessionid"] = client.cookies["sessionid"].value
    lead.set_password("another correct horse")
    lead.save()
    assert thief.get(reverse("admin:index")).status_code == 302


def test_an_order_of_a_page_that_is_too_old_is_refused_in_words(lead: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(lead)
    answer = client.post("/console/switch/", {"scope": "all", "turn": "on", "reason": "x"})
    assert answer.status_code == 403
    page = answer.content.decode()
    assert "This page is too old to act from" in page
    assert "Nothing was changed." in page
    assert "Load the page again" in page
    assert reverse("console:queue") in page
    assert "CSRF" not in page
    # an address that nobody has told the console about is said to whoever runs it
    elsewhere = client.post("/console/switch/", {"scope": "all"}, headers={"Origin": "https://console.example.com"}).content.decode()
    assert "CSRF_TRUSTED_ORIGINS" in elsewhere


def test_csrf_no_other_site_can_click_for_a_colleague(lead: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(lead)
    before = list(KillSwitch.objects.values_list("scope", "is_on"))
    for path in ("/console/switch/", "/console/parked/event/1/", reverse("admin:logout")):
        response = client.post(
            path, {"scope": "all", "on": "1", "reason": "x", "what": "drop", "note": "x"}, headers={"Origin": "https://evil.example"}
        )
        assert response.status_code == 403, path
    assert list(KillSwitch.objects.values_list("scope", "is_on")) == before
    assert client.get(reverse("admin:index")).status_code == 200
