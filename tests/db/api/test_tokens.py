"""Tokens: what opens the API and what does not, how often, and how they are made, rotated and revoked."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit.models import Entry
from billing_ai.api import clients, tokens
from billing_ai.api.models import ApiClient, ApiToken, IdempotentCall
from billing_ai.kernel import clock
from billing_ai.signals.models import UsageEvent
from tests.db.api.conftest import ACTOR, BASE, Answer, Caller, MakeToken, customer


def run(*words: str) -> str:
    said = io.StringIO()
    call_command("api_token", *words, stdout=said)
    return said.getvalue()


def secret_in(said: str) -> str:
    found = re.search(r"^token +(bai_\S+)$", said, re.MULTILINE)
    assert found is not None
    return found[1]


def opened(secret: str) -> Answer:
    return Caller(secret, ApiToken()).get("/me")


# -- what opens ------------------------------------------------------------------------------------------------------------------


def test_a_token_says_whose_it_is(token: MakeToken) -> None:
    caller = token("customers:read", "act", rate_per_minute=50)
    said = caller.get("/me")
    assert said.status == 200
    assert {name: said.body[name] for name in ("client", "scopes", "may_act_as", "rate_per_minute")} == {
        "client": "north",
        "scopes": ["act", "customers:read"],
        "may_act_as": ["auditor", "lead", "specialist"],
        "rate_per_minute": 50,
    }


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer bai_wrong", "Bearer \xe4\xf6", "Token x", "Bearer bai_" + "x" * 200]
)
def test_without_a_good_token_nothing_opens(header: str, client: Any, db: Any) -> None:
    said = Answer(client.get(f"{BASE}/me", headers={"Authorization": header}))
    assert (said.status, said.code) == (401, "no_valid_token")
    assert said.header("WWW-Authenticate") == 'Bearer realm="api"'


def test_a_session_of_the_console_opens_nothing(client: Any, people: Any) -> None:
    client.force_login(people["lead"])
    assert client.get(f"{BASE}/customers").status_code == 401


def test_only_a_hash_is_stored(token: MakeToken) -> None:
    caller = token("customers:read")
    stored = str(ApiToken.objects.filter(pk=caller.token.pk).values().get())
    assert caller.secret not in stored
    assert caller.token.hint == caller.secret[:10]
    assert caller.secret not in str(list(Entry.objects.values_list("data", flat=True)))


def test_an_expired_token_opens_nothing(token: MakeToken) -> None:
    caller = token("customers:read", lives=timedelta(hours=1))
    assert caller.get("/me").status == 200
    clock.shift(timedelta(hours=1, seconds=1))
    assert caller.get("/me").code == "no_valid_token"


def test_a_client_that_is_switched_off_takes_its_tokens_along(token: MakeToken, north: ApiClient) -> None:
    caller = token("customers:read")
    clients.change(
        north.pk, title="", covers_everyone=False, business_entity_ids=["be_north"], is_active=False, reason="contract ended", actor=ACTOR
    )
    assert caller.get("/me").code == "no_valid_token"
    with pytest.raises(tokens.BadToken, match="switched off"):
        tokens.make(ApiClient.objects.get(pk=north.pk), label="x", scopes=["customers:read"], lives=timedelta(days=1), actor=ACTOR)


# -- how often -------------------------------------------------------------------------------------------------------------------


def test_so_many_calls_a_minute(token: MakeToken) -> None:
    # given two calls a minute, and the beginning of a minute
    now = clock.now()
    clock.shift(timedelta(seconds=60 - now.second))
    caller, other = token("customers:read", rate_per_minute=2), token("customers:read", rate_per_minute=2)
    first, second, third = caller.get("/me"), caller.get("/me"), caller.get("/me")
    # then the third is refused with how long to wait, and another token is not touched
    assert [first.status, second.status, third.status] == [200, 200, 429]
    assert (first.header("RateLimit-Limit"), first.header("RateLimit-Remaining"), second.header("RateLimit-Remaining")) == ("2", "1", "0")
    assert third.code == "too_many_calls"
    assert 1 <= int(third.header("Retry-After")) <= 60
    assert other.get("/me").status == 200
    # and the next minute is a new one
    clock.shift(clock.offset() + timedelta(seconds=60))
    assert caller.get("/me").status == 200


def test_calls_that_are_refused_count_too(token: MakeToken) -> None:
    caller = token("customers:read", rate_per_minute=2)
    statuses = [caller.get("/cases").status for _ in range(3)]
    assert statuses == [403, 403, 429]


def test_a_write_over_the_limit_writes_nothing(token: MakeToken) -> None:
    customer("cus_1")
    caller = token("usage:write", rate_per_minute=1)
    event = {"customer": {"id": "cus_1"}, "name": "login", "occurred_at": clock.now().isoformat()}
    assert caller.post("/usage-events", {"events": [{"id": "e1", **event}]}).status == 200
    assert caller.post("/usage-events", {"events": [{"id": "e2", **event}]}, Idempotency_Key="k").status == 429
    assert list(UsageEvent.objects.values_list("external_id", flat=True)) == ["e1"]
    assert not IdempotentCall.objects.exists()


# -- made, rotated, revoked ------------------------------------------------------------------------------------------------------


def test_the_command_makes_a_client_and_a_token(db: Any) -> None:
    said = run("make", "crm-eu", "--scopes", "customers:read,usage:write", "--everyone", "--label", "Salesforce sync", "--days", "10")
    assert opened(secret_in(said)).body["label"] == "Salesforce sync"
    made = ApiToken.objects.select_related("client").get()
    assert (made.client.name, made.client.covers_everyone, made.scopes) == ("crm-eu", True, ["customers:read", "usage:write"])
    assert timedelta(days=9, hours=23) < made.expires_at - clock.now() <= timedelta(days=10)
    kinds = list(Entry.objects.filter(kind__startswith="api.").order_by("pk").values_list("kind", "actor_label"))
    assert kinds == [("api.client_made", "api_token"), ("api.token_made", "api_token")]
    assert [row.history_change_reason for row in made.history.all()] == ["made"]


def test_the_command_lists_without_secrets(db: Any, token: MakeToken) -> None:
    caller = token("customers:read", "act")
    unused = token("usage:write")
    caller.get("/me")
    listed = run("list", "north")
    assert str(caller.token.pk) in listed
    assert f"{caller.token.hint}…  live" in listed
    assert "as auditor,lead,specialist" in listed
    assert f"used {clock.now():%Y-%m-%d}" in listed
    assert listed.count("never used") == 1
    assert caller.secret not in listed
    assert unused.secret not in listed
    assert run("list", "nobody") == ""


def test_a_rotated_token_overlaps_for_a_day(token: MakeToken) -> None:
    caller = token("customers:read", "act", rate_per_minute=77)
    said = run("rotate", str(caller.token.pk))
    fresh = secret_in(said)
    # then both open the same, the new one for as long as the old one was to live
    now, old = opened(fresh).body, caller.get("/me").body
    assert {name: now[name] == old[name] for name in ("scopes", "may_act_as", "rate_per_minute", "label")} == dict.fromkeys(
        ("scopes", "may_act_as", "rate_per_minute", "label"), True
    )
    # when a day is over
    clock.shift(timedelta(hours=24, seconds=1))
    assert caller.get("/me").status == 401
    assert opened(fresh).status == 200
    # and nothing is rotated twice
    with pytest.raises(CommandError, match="replaced already"):
        run("rotate", str(caller.token.pk))


def test_a_revoked_token_opens_nothing_at_once(token: MakeToken) -> None:
    caller = token("customers:read")
    assert run("revoke", str(caller.token.pk)) == "revoked\n"
    assert caller.get("/me").status == 401
    assert "nothing changed" in run("revoke", str(caller.token.pk))
    assert Entry.objects.filter(kind="api.token_revoked").count() == 1
    assert [row.history_change_reason for row in caller.token.history.order_by("history_id")] == ["made", "revoked"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["make", "crm", "--scopes", "customers:read"], "say whom it reaches"),
        (["make", "Crm EU", "--scopes", "customers:read", "--everyone"], "small letters"),
        (["make", "crm", "--scopes", "customers:write", "--everyone"], "unknown scope customers:write"),
        (["make", "crm", "--scopes", "", "--everyone"], "at least one scope"),
        (["make", "crm", "--scopes", "customers:read", "--everyone", "--days", "367"], "at most 366 days"),
        (["make", "crm", "--scopes", "customers:read", "--everyone", "--days", "0"], "at most 366 days"),
        (["make", "crm", "--scopes", "act", "--everyone"], "at least one person"),
        (["make", "crm", "--scopes", "act", "--everyone", "--act-as", "ghost"], "no active user ghost"),
        (["make", "crm", "--scopes", "customers:read", "--everyone", "--rate", "0"], "between 1 and 100000"),
        (["make", "north", "--scopes", "customers:read", "--everyone"], "is there already"),
        (["rotate", "nonsense"], "no token with this id"),
        (["revoke", "3b1f8c1e-6f3a-4d5c-9a54-5f0c2f6f3c11"], "no token with this id"),
    ],
)
def test_what_cannot_be_made_is_not(words: list[str], why: str, north: ApiClient) -> None:
    with pytest.raises(CommandError, match=re.escape(why)):
        run(*words)
    assert not ApiToken.objects.exists()
    assert list(ApiClient.objects.all()) == [north]
