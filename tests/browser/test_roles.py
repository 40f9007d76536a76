"""Each role walks through the console in a real browser: what it may do works, what it may not do is not there or is refused in words."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from agents.models import AgentRun
from approvals import case_transitions
from approvals.models import Case, Contact, Limit, Phase, Policy
from approvals.policy import rollout
from audit.models import Entry
from billing_ai.inbox.models import Event
from billing_ai.kernel import clock
from tests import factories
from tests.db.console import orders

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[..., Page]

ORDERS = ["Reject", "Snooze", "Promise", "Call", "Note", "More"]
MORE = [
    "Hand over", "Escalate", "The customer disputes it", "Says it is already paid", "Wrong person", "Do not contact", "Tags", "Deadline",
]  # fmt: skip


def parked_event(number: int = 1) -> Event:
    return Event.objects.create(
        chargebee_event_id=f"ev_{number}", event_type="payment_failed", occurred_at=clock.now(), body_sha256="0" * 64, status="parked", attempt=8,
        reason="given up after 8 attempts: Chargebee has no such customer.", chargebee_customer_id="cus_wrong",
    )  # fmt: skip


def force(page: Page, case: Case, role: str) -> None:
    """Send every order that a role may not give from its own browser all the same: each is refused in words, and is in the ledger."""
    Event.objects.filter(status="parked").update(status="dropped")
    orders.parked(factories.case(status="closed"))
    orders.api(case)
    orders.offered(case)
    orders.suppressed(case)
    sent = [
        {"name": name, "url": reverse(order.of, args=order.args(case)), "form": {**order.form(case), **order.more}}
        for name, order in orders.ORDERS.items()
        if role not in order.who and name != "put a model live"
    ]
    for one in sent:
        one["form"] = {key: str(value) for key, value in one["form"].items()}
    noted = Entry.objects.filter(kind="console.refused").count()
    # One after the other: a page may say what was refused after a redirect, and would else say it of another order.
    answers = page.evaluate(
        """async orders => {
        if (!document.cookie.includes("csrftoken=")) document.cookie = `csrftoken=${"a".repeat(32)};path=/`;
        const headers = { Accept: "application/json, text/html", "X-CSRFToken": document.cookie.match(/csrftoken=(\\w+)/)[1] };
        const found = {};
        for (const { name, url, form } of orders) {
            const answer = await fetch(url, { method: "POST", headers, body: new URLSearchParams(form) });
            if ((answer.headers.get("Content-Type") || "").includes("json")) found[name] = (await answer.json()).said;
            else found[name] = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".alert-bad, h1 + p")?.textContent;
        }
        return found; }""",
        sent,
    )
    assert [
        name
        for name, said in answers.items()
        if not re.search("(?i)leads?\\b|may (not|approve|decide|settle|edit|look)|role|for those who", said or "")
    ] == [], answers
    assert Entry.objects.filter(kind="console.refused").count() - noted == len(sent)


def is_offered(page: Page, command: str) -> bool:
    """Does the palette know it?"""
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox")).to_be_focused()
    page.keyboard.type(command)
    found = page.locator("#palette-list [role=option] > span").all_text_contents()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    return command in found


@pytest.mark.parametrize("role", ["specialist", "lead", "finance", "auditor"])
def test_a_role_finds_what_it_may_do_and_nothing_else(sign_in: SignIn, chargebee: Any, role: str) -> None:
    works, leads = role in ("specialist", "lead"), role == "lead"
    case, event = factories.case(chargebee, first_name="Greta", headline="To look at"), parked_event()
    user = factories.user(role)
    rollout.change_policy("contact.frequency", factories.user("lead", "ruth"), reason="Complaints.", params={"messages": 2, "days": 7})
    page = sign_in(user)

    def there(selector: str, count: int) -> None:
        expect(page.locator(selector)).to_have_count(count)

    # the queue
    there("[data-all]", int(leads))
    there("form[action$='/queue/find/']", int(role != "auditor"))
    # filters, a file of what is filtered, and what a colleague changed in a rule are for everybody who looks
    page.get_by_label("Currency").select_option("GBP")
    page.wait_for_url("**/queue/?currency=GBP")
    expect(page.get_by_text("No case in “To decide” fits these filters.")).to_be_visible()
    page.goto("/console/approvals/case/?status=open")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download as CSV").click()
    assert case.chargebee_invoice_id in Path(waiting.value.path()).read_text(encoding="utf-8-sig")
    page.goto("/console/approvals/policy/contact.frequency/history/")
    expect(page.locator("ins").first).to_be_visible()
    page.goto("/console/queue/")
    page.get_by_role("link", name="To look at").click()
    # the case
    expect(page.locator(".case-head")).to_contain_text(case.chargebee_customer_id if role == "auditor" else "Greta")
    expect(page.get_by_text("Greta")).to_have_count(0) if role == "auditor" else None
    there("[data-edit], [data-hotkey]", 0) if not works else None
    assert [is_offered(page, command) for command in ("Reject", "Escalate", "Edit the text", "Close the case")] == [
        works,
        works,
        works,
        leads,
    ]
    shown = [text.split("\n")[0] for text in page.locator("details.act > summary").all_inner_texts()]
    assert [text[:-2] if text[-2:-1] == " " else text for text in shown] == (ORDERS if works else [])
    more = page.locator("details[name=more] > summary").all_text_contents()
    assert more == (([*MORE, "Close the case"] if leads else MORE) if works else [])
    for key in "aerptcs" if not works else "s":
        page.keyboard.press(key)
    assert case.proposals.get().status == "waiting"
    if works:
        page.get_by_role("button", name="Tomorrow").first.click()
        expect(page.get_by_role("status").filter(has_text="Sleeps until")).to_be_visible()
    case.refresh_from_db()
    assert (case.snoozed_until is not None) is works
    # what is parked
    page.goto("/console/parked/")
    expect(page.get_by_text("Chargebee has no such customer.")).to_be_visible()
    there("form[action*='/parked/event/']", int(works))
    if works:
        page.get_by_label("Why").fill("It was merged.")
        page.get_by_role("button", name="Drop").click()
        expect(page.get_by_text("Dropped.")).to_be_visible()
    event.refresh_from_db()
    assert event.status == ("dropped" if works else "parked")
    # rules and other systems
    for path, words in (
        ("rule/policy/contact.frequency/", "Only leads change rules."),
        ("api/client/new/", "Only leads change who uses the API."),
    ):
        page.goto(f"/console/{path}")
        expect(page.get_by_text(words)).to_have_count(int(not leads))
        there("#main form[method=post] .btn-main, .cx form[method=post] .btn-main", int(leads))
    page.goto(f"/console/contact/{case.chargebee_customer_id}/")
    there(".cx form[method=post]:has([value=suppress])", int(works))
    page.goto("/console/")
    expect(page.get_by_role("heading", name="Kill switch")).to_have_count(int(leads))
    page.goto(f"/console/audit/entry/trace/{_trace(case)}/")
    expect(page.get_by_role("button", name="evidence")).to_have_count(int(role in ("lead", "auditor")))
    # a page that is not theirs says so in words
    page.goto("/console/suppressions/import/")
    if leads:
        expect(page.get_by_label("List")).to_be_visible()
        assert not Entry.objects.filter(kind="console.refused").exists()
    else:
        expect(page.get_by_text("Importing a list of suppressions is for leads. Nothing was changed.")).to_be_visible()
        assert Entry.objects.get(kind="console.refused").actor_id == str(user.pk)
    force(page, case, role)


def _trace(case: Case) -> str:
    """A trace to look at, of a case on which somebody has written."""
    case_transitions.add_note(case.pk, factories.user("lead", "otto"), "Seen.", "note")
    return Entry.objects.filter(case_id=case.pk).latest("pk").trace_id


@pytest.mark.parametrize("role", ["integration", "nobody"])
def test_without_a_role_there_is_no_case_to_see(sign_in: SignIn, chargebee: Any, role: str) -> None:
    case = factories.case(chargebee, headline="Secret")
    page = sign_in(factories.user(role))
    expect(page.get_by_role("heading")).to_have_text("Your role may not do this")
    expect(page.get_by_text("Your account may not see cases.")).to_be_visible()
    page.goto(f"/console/case/{case.pk}/")
    expect(page.get_by_text("Secret")).to_have_count(0)
    page.goto("/console/")
    expect(page.get_by_role("link", name="Queue")).to_have_count(0)
    force(page, case, role)


def test_what_is_parked_is_replayed_corrected_and_dropped_with_a_reason(sign_in: SignIn, chargebee: Any) -> None:
    replayed, dropped = parked_event(1), parked_event(2)
    run = AgentRun.objects.create(
        agent="dunning", subject_kind="invoice", subject_id="INV-wrong", cause="ev_9", status="parked", reason="no such invoice"
    )
    page = sign_in(factories.user("specialist", "sam"), path="/console/parked/")

    def row(shown: str) -> Any:
        return page.locator("tr", has_text=shown)

    row("ev_1").get_by_role("button", name="Replay").click()
    # the browser itself asks for the reason
    assert row("ev_1").get_by_label("Why").evaluate("field => field.validity.valueMissing") is True
    row("ev_1").get_by_label("Why").fill("Chargebee is back <b>now</b>.")
    row("ev_1").get_by_role("button", name="Replay").click()
    expect(page.get_by_text("It goes on.")).to_be_visible()
    row("INV-wrong").get_by_label("Why").fill("Typed wrongly.")
    row("INV-wrong").get_by_text("It is about something else").click()
    row("INV-wrong").get_by_label("Invoice id").fill("INV-7")
    row("INV-wrong").get_by_role("button", name="Correct and replay").click()
    expect(page.get_by_text("Corrected; it goes on.")).to_be_visible()
    row("ev_2").get_by_label("Why").fill("A test of theirs.")
    row("ev_2").get_by_role("button", name="Drop").click()
    expect(page.get_by_text("Dropped.")).to_be_visible()
    expect(page.get_by_text("Nothing is parked.")).to_be_visible()
    for one in (replayed, dropped, run):
        one.refresh_from_db()
    assert (replayed.status, dropped.status, run.status, run.subject_id) == ("waiting", "dropped", "waiting", "INV-7")
    assert (dropped.reason, run.reason) == ("dropped: A test of theirs.", "let go on: Typed wrongly.")
    assert set(Entry.objects.filter(kind__startswith="parked.").values_list("kind", flat=True)) == {
        "parked.replayed",
        "parked.corrected",
        "parked.dropped",
    }


def test_rules_are_edited_tried_and_switched(sign_in: SignIn, chargebee: Any) -> None:
    case = factories.case(chargebee, due_minor=400_000, retry_in_days=2)
    for number in range(6):
        at = clock.now() - timedelta(days=3 * number + 1)
        Contact.objects.create(chargebee_customer_id=case.chargebee_customer_id, case=case, channel="email", at=at)
    page = sign_in(factories.user("lead", "lena"), path="/console/rule/policy/contact.frequency/")

    # a policy: tried, refused without a reason, changed, switched off
    page.get_by_label("Messages").fill("1")
    page.get_by_role("button", name="Try on the last 30 days").click()
    expect(page.get_by_text("This change would have denied or put off 5 of the last 30 days' 6 messages.")).to_be_visible()
    expect(page.get_by_label("Messages")).to_have_value("1")
    page.get_by_role("button", name="Change").click()
    expect(page.get_by_text("Say why: the reason is kept with the change.")).to_be_visible()
    page.get_by_label("Messages").fill("1")
    page.get_by_label("Why").fill("Complaints.")
    page.get_by_role("button", name="Change").click()
    expect(page.get_by_text("Changed. The history keeps what it was before")).to_be_visible()
    page.goto("/console/rule/policy/contact.frequency/")
    page.get_by_label("The rule is applied").uncheck()
    page.get_by_label("Why").fill("A day without.")
    page.get_by_role("button", name="Change").click()
    expect(page.get_by_text("Changed. The history keeps what it was before")).to_be_visible()
    row = Policy.objects.get(key="contact.frequency")
    assert (row.params["messages"], row.is_enabled, row.reason) == (1, False, "A day without.")
    # a limit
    limit = Limit.objects.get(agent="dunning", key="specialist_limit")
    page.goto(f"/console/rule/limit/{limit.pk}/")
    page.get_by_label("Value").fill("300000")
    page.get_by_role("button", name="Try on the last 30 days").click()
    expect(page.get_by_text("This change would have needed another approval 1 of the last 30 days' 2 proposals.")).to_be_visible()
    page.get_by_label("Why").fill("Careful.")
    page.get_by_role("button", name="Change").click()
    expect(page.get_by_text("Changed.")).to_be_visible()
    limit.refresh_from_db()
    assert limit.value == 300_000
    # a segment, and its phase
    page.goto("/console/rule/segment/new/")
    page.get_by_label("Name").fill("pilot")
    page.get_by_label("Tag").fill("pilot")
    page.get_by_label("Why").fill("Begin small.")
    page.get_by_role("button", name="Make the segment").click()
    expect(page.get_by_text("Changed.")).to_be_visible()
    phase = Phase.objects.get(segment="pilot")
    page.goto(f"/console/rule/phase/{phase.pk}/")
    page.locator("input[name=phase][value=observe]").check()
    page.get_by_label("Why").fill("Only look.")
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.get_by_text("Changed.")).to_be_visible()
    phase.refresh_from_db()
    assert (phase.phase, phase.match) == ("observe", {"tag": ["pilot"]})
