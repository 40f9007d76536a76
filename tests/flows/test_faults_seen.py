"""Each kind of fault of the site, and the sentence that the specialist then reads in the console."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from approvals import execution, transitions
from approvals.models import Case, Execution, Proposal
from approvals.policy.defaults import install_defaults
from billing_ai.facts.queries import facts_hash
from billing_ai.integrations import http, site_state
from billing_ai.integrations.chargebee import budget, call, circuit
from tests import factories
from tests.simulator.running import RunningSimulator

Rule = dict[str, Any]
NO_APPROVAL = "Nothing can be approved without the live facts; you can still write notes, hand over and snooze."
UNSETTLED = "It may have been carried out; it has to be looked up before anything is repeated."
_steps = itertools.count(1)
LOOKED = "It was only a look; it will be tried again."


@pytest.fixture(scope="module")
def owed(site: RunningSimulator) -> dict[str, Any]:
    """An invoice of the site that is due, for all tests here: what they do leaves it as it is. Of a customer whom no other test takes."""
    for row in site.get("/control/customers", limit=500)["customers"]:
        if row["billing_address"]["country"] in ("US", "CA", "AU", "JP", "BR") and not row["open_invoice_ids"] and row["truth"]:
            invoice_id = site.fail_payment(customer_id=row["id"], code="insufficient_funds")["invoice_id"]
            invoice = site.client().Invoice.retrieve(invoice_id).invoice
            return {
                "customer_id": row["id"],
                "invoice_id": invoice_id,
                "first_name": row["first_name"],
                "due": invoice.amount_due,
                "currency": invoice.currency_code,
            }
    raise AssertionError("no customer overseas owes nothing")


class Desk:
    """A specialist at the console, with one case about the invoice."""

    def __init__(self, site: RunningSimulator, owed: dict[str, Any]) -> None:
        self.site = site
        self.first_name = owed["first_name"]
        self.user = factories.user("specialist")
        self.client = Client()
        self.client.force_login(self.user)
        self.case: Case = factories.case(
            customer_id=owed["customer_id"],
            invoice_id=owed["invoice_id"],
            due_minor=owed["due"],
            currency=owed["currency"],
            words=None,
        )

    def fault(self, **rule: Any) -> None:
        self.site.post("/control/faults", **rule)

    def page(self, path: str = "") -> str:
        """The words of a page, as they are read."""
        answer = self.client.get(path or reverse("console:case", args=[self.case.pk]))
        assert answer.status_code == 200
        text = re.sub(r"<(script|style)[^>]*>.*?</\1>", " ", answer.content.decode(), flags=re.DOTALL)
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())

    def approved_comment(self) -> Proposal:
        """A comment for the invoice in Chargebee, approved and due; each is a step of its own, for all are written on the one invoice."""
        one = factories.proposal(self.case, action="add_comment", step=f"comment:{next(_steps)}", payload={"notes": "Looked at."})
        assert one.current is not None
        return transitions.approve(
            one.pk,
            self.user,
            content_hash=one.current.content_hash,
            facts_hash=facts_hash(self.case.chargebee_invoice_id, self.case.chargebee_customer_id),
        )

    def notes(self) -> int:
        """How many comments the site holds on the invoice, asked past our gateway, which may be holding back."""
        found = self.site.client().Comment.list({"entity_type": "invoice", "entity_id": self.case.chargebee_invoice_id, "limit": 100})
        return len(found.list)


@pytest.fixture
def desk(
    site: RunningSimulator, owed: dict[str, Any], db: None, settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    """Nothing is known of faults before, nobody waits between two tries, and an answer that takes long is given up soon."""
    settings.CHARGEBEE_API_URL = site.api_url
    settings.CHARGEBEE_API_KEY = site.api_key
    settings.CHARGEBEE_READ_API_KEY = site.read_only_key
    settings.CHARGEBEE_RATE_PER_MINUTE = 100_000
    settings.REDIS_URL = ""
    settings.VAR_DIR = tmp_path
    settings.SEND_DELAY_SECONDS = 0
    monkeypatch.setattr(site_state, "_states", {})
    monkeypatch.setattr(site_state, "_unreachable_until", 0.0)
    monkeypatch.setattr(circuit, "_failed_here", False)
    monkeypatch.setattr(call, "sleep", lambda seconds: None)
    monkeypatch.setattr(budget, "sleep", lambda seconds: None)
    monkeypatch.setattr("billing_ai.work.wake._waker.wake", lambda task: None)
    cache.clear()
    install_defaults()
    site.delete("/control/faults")
    yield Desk(site, owed)
    site.delete("/control/faults")


@pytest.fixture
def impatient(desk: Desk) -> Iterator[None]:
    """The process's client, with a shorter time-out, for a site that does not answer within it."""
    before = http.use_client(httpx.Client(timeout=httpx.Timeout(5, read=0.5)))
    yield
    http.client().close()
    http.use_client(before)


READING: dict[str, tuple[Rule, str]] = {
    "503": ({"kind": "status", "status": 503}, f"Chargebee is overloaded or under maintenance. {LOOKED}"),
    "429": (
        {"kind": "status", "status": 429, "retry_after": 40},
        "Chargebee's limit of calls a minute is reached. Nothing was done; it will be tried again.",
    ),
    "401": ({"kind": "status", "status": 401}, "Chargebee does not accept the API key. Somebody has to set it anew."),
    "403": (
        {"kind": "status", "status": 403},
        "The API key may not do this. It lacks the scope “read: invoice” (invoice.retrieve); widen the key in Chargebee under Settings",
    ),
    "404": ({"kind": "status", "status": 404}, "Chargebee has nothing under that id; it may have been deleted."),
    "drop": ({"kind": "drop"}, f"The connection to Chargebee broke before the answer was complete. {LOOKED}"),
    "cut_body": ({"kind": "cut_body"}, "but its answer cannot be read (it is cut off or no JSON). It will be read again."),
    "html 503": ({"kind": "html"}, "Chargebee has a fault of its own (status 503). It will be tried again."),
    "html 200": ({"kind": "html", "status": 200}, "but its answer cannot be read (it is a web page). It will be read again."),
    "empty": ({"kind": "empty"}, "but its answer cannot be read (it is empty). It will be read again."),
}


@pytest.mark.parametrize("name", READING)
def test_a_case_that_is_opened_while_the_site_fails_to_tell(name: str, desk: Desk) -> None:
    rule, sentence = READING[name]
    desk.fault(method="GET", path="/invoices/", **rule)
    page = desk.page()
    # the page is there with what we know ourselves, says what is the matter, and offers no approval
    assert f"{sentence}" in page
    assert NO_APPROVAL in page
    assert desk.case.headline in page
    # and with the next good answer it is whole again
    desk.site.delete("/control/faults")
    site_state.current().succeeded()
    with site_state.shared() as state:
        state.hold(-10.0)
    if name != "429":
        assert NO_APPROVAL not in desk.page()


def test_a_case_that_is_opened_while_the_site_takes_too_long(desk: Desk, impatient: None) -> None:
    desk.fault(method="GET", path="/invoices/", kind="delay", seconds=2)
    page = desk.page()
    assert f"Chargebee did not answer in time. {LOOKED}" in page
    assert NO_APPROVAL in page


def test_a_site_that_flaps_is_asked_again_and_nothing_is_to_be_seen(desk: Desk) -> None:
    desk.fault(method="GET", path="/invoices/", kind="flapping")
    page = desk.page()
    assert NO_APPROVAL not in page
    assert desk.first_name in page


WRITING: dict[str, tuple[Rule, str, str, str, int]] = {
    "503": (
        {"kind": "status", "status": 503},
        "unknown",
        "Outcome unknown",
        f"Chargebee is overloaded or under maintenance. {UNSETTLED}",
        0,
    ),
    "drop before acting": (
        {"kind": "drop"},
        "unknown",
        "Outcome unknown",
        f"The connection to Chargebee broke before the answer was complete. {UNSETTLED}",
        0,
    ),
    "act then drop": (
        {"kind": "act_then_drop"},
        "unknown",
        "Outcome unknown",
        f"The connection to Chargebee broke before the answer was complete. {UNSETTLED}",
        1,
    ),
    "cut body": ({"kind": "cut_body"}, "unknown", "Outcome unknown", f"cannot be read (it is cut off or no JSON). {UNSETTLED}", 1),
    "html": ({"kind": "html"}, "unknown", "Outcome unknown", "Chargebee failed while it worked on this (status 503).", 0),
    "empty": ({"kind": "empty"}, "unknown", "Outcome unknown", f"cannot be read (it is empty). {UNSETTLED}", 0),
    "429": (
        {"kind": "status", "status": 429, "retry_after": 40},
        "approved",
        "Approved, not yet out",
        "Has not gone out yet: Chargebee's limit of calls a minute is reached. Nothing was done; it will be tried again. Next try",
        0,
    ),
    "403": (
        {"kind": "status", "status": 403},
        "failed",
        "Failed",
        "The API key may not do this. It lacks the scope “write: comment” (comment.create); widen the key in Chargebee under Settings",
        0,
    ),
    "409": (
        {"kind": "status", "status": 409},
        "failed",
        "Failed",
        "The record's present state does not allow this; it changed, or it was done already.",
        0,
    ),
}


@pytest.mark.parametrize("name", WRITING)
def test_an_approved_effect_meets_a_fault(name: str, desk: Desk) -> None:
    rule, status, badge, sentence, happened = WRITING[name]
    before = desk.notes()
    one = desk.approved_comment()
    desk.fault(method="POST", path="/comments", times=1, **rule)
    execution.execute_due()
    one.refresh_from_db()
    # one call was made, and the case's page says in words what came of it
    assert (one.status, desk.notes() - before) == (status, happened)
    page = desk.page()
    assert badge in page
    assert sentence in page
    if status == "unknown":
        assert "The answer was lost. Look in the other system: did it happen?" in page
        assert sentence in desk.page(reverse("console:parked"))
    # and so does the page of the execution, which lists each call
    effect = Execution.objects.get(proposal=one)
    assert sentence.removeprefix("Has not gone out yet: ").removesuffix(" Next try") in desk.page(
        reverse("admin:approvals_execution_change", args=[effect.pk])
    )


def test_a_write_that_takes_too_long_is_unknown_and_then_found(desk: Desk, impatient: None) -> None:
    one = desk.approved_comment()
    desk.fault(method="POST", path="/comments", times=1, kind="delay", seconds=2)
    execution.execute_due()
    page = desk.page()
    assert "Outcome unknown" in page
    assert f"Chargebee did not answer in time. {UNSETTLED}" in page
    one.refresh_from_db()
    assert one.status == "unknown"


def test_the_second_look_meets_a_fault_and_the_effect_waits(desk: Desk) -> None:
    before = desk.notes()
    one = desk.approved_comment()
    desk.fault(method="GET", path="/invoices/", times=3, kind="status", status=503)
    execution.execute_due()
    one.refresh_from_db()
    assert (one.status, desk.notes()) == ("approved", before)
    page = desk.page()
    assert f"Has not gone out yet: Chargebee is overloaded or under maintenance. {LOOKED} Next try" in page


def test_while_the_circuit_is_open_the_console_says_so_everywhere(desk: Desk) -> None:
    # given so many failures in a row that nobody calls any more
    one = desk.approved_comment()
    desk.fault(path="/api/v2/", kind="drop")
    while not circuit.state().is_open:
        desk.page()
    # when the site is back, and half a minute has not passed
    desk.site.delete("/control/faults")
    execution.execute_due()
    # then the case and the dashboard say so, and the effect waits untouched
    page = desk.page()
    assert f"Chargebee is down at the moment; calls wait until it is back. {NO_APPROVAL}" in page
    dashboard = desk.page(reverse("admin:index"))
    assert re.search(r"Look: Chargebee first noticed (now|\d+ \w+ ago) Chargebee is down: \d+ calls in a row failed\.", dashboard)
    one.refresh_from_db()
    effect = Execution.objects.get(proposal=one)
    assert (one.status, effect.status, effect.attempt) == ("approved", "waiting", 0)


def test_a_dashboard_of_a_site_in_good_order(desk: Desk) -> None:
    desk.page()
    assert "Chargebee Chargebee answers." in desk.page(reverse("admin:index"))


def test_a_site_with_a_wrong_clock_is_named_on_the_page_about_it(desk: Desk) -> None:
    desk.fault(path="/configurations", kind="clock")
    assert "This machine's clock differs from Chargebee's by" in desk.page(reverse("console:chargebee"))
    desk.site.delete("/control/faults")
    assert "The clocks agree." in desk.page(reverse("console:chargebee"))
