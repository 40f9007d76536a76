"""Whoever decides walks through a day: one log-in, every step that the work may need, as a specialist and as a lead."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from agents.models import AgentRun
from approvals import transitions
from approvals.models import Case, Proposal
from approvals.policy import rollout
from billing_ai.facts.queries import facts_hash
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[..., Page]


def _approve(case: Case, user: Any) -> None:
    one = case.proposals.get()
    assert one.current is not None
    transitions.approve(one.pk, user, content_hash=one.current.content_hash, facts_hash=facts_hash(case.chargebee_invoice_id))


@pytest.mark.parametrize("role", ["specialist", "lead"])
def test_a_day(sign_in: SignIn, chargebee: Any, role: str) -> None:
    ruth = factories.user("lead", "ruth", first_name="Ruth", last_name="Amar")
    for rule in ("contact.quiet_hours", "contact.days_off"):
        rollout.change_policy(rule, ruth, reason="What is approved in this test goes out at any hour.", is_enabled=False)
    rollout.change_limit("dunning", "second_pair_of_eyes_above", 60_000, ruth, reason="A test.")
    first, second, third, large = (
        factories.case(chargebee, due_minor=due, headline=headline, overdue_days=days, **more)
        for due, headline, days, more in (
            (40_000, "First", 3, {"retry_in_days": 2}), (30_000, "Second", 3, {}), (20_000, "Third", 40, {"currency": "GBP"}), (90_000, "Large", 3, {"stake": 1}),
        )
    )  # fmt: skip
    large.proposals.update(amount_minor=90_000)
    page = sign_in(factories.user(role, "sam", first_name="Sam", last_name="Ortiz"))
    title = page.locator("[data-page=case] h2").first

    def said(text: str | re.Pattern[str]) -> None:
        expect(page.locator(".toast").filter(has_text=text)).to_be_visible()

    def more(name: str) -> Any:
        page.keyboard.press("m")
        page.locator("summary", has_text=name).click()
        return page.locator("details[name=more][open] form")

    # a view of one's own is an address
    page.get_by_label("Currency").select_option("GBP")
    page.wait_for_url(re.compile("currency=GBP"))
    page.get_by_label("Overdue").select_option("31-60")
    page.wait_for_url(re.compile("age=31-60"))
    expect(page.locator("tr[data-row] .what > a")).to_have_text(["Third"])
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(title).to_have_text("Third")
    assert "currency=GBP" in page.url
    page.keyboard.press("q")
    expect(page.locator("tr[data-row] .what > a")).to_have_text(["Third"])
    page.goto("/console/queue/")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(title).to_have_text("First")
    # a command finds the editor; what was changed shows word for word
    page.keyboard.press("Control+k")
    page.keyboard.type("edit")
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Text")).to_be_focused()
    page.keyboard.press("Control+End")
    page.keyboard.type("\nThank you for your patience.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("edited by Sam Ortiz, revision 2")).to_be_visible()
    page.get_by_text("What was changed in the agent's draft").click()
    expect(page.locator("ins", has_text="patience")).to_be_visible()
    # approve and next; taken back; without the retry; and on
    page.keyboard.press("a")
    expect(title).to_have_text("Second")
    page.keyboard.press("u")
    said("Taken back: it waits for a decision again.")
    expect(title).to_have_text("First")
    page.get_by_label("Payment retry: include in the decision").uncheck()
    page.keyboard.press("a")
    said("Approved.")
    expect(title).to_have_text("Second")
    now = dict(first.proposals.values_list("action", "status"))
    assert (now["send_message"], now["collect_payment"]) == ("approved", "waiting")
    # rejected with an instruction, which makes a new draft
    page.keyboard.press("r")
    page.get_by_label("The tone does not fit this customer").check()
    page.get_by_label("What should a new draft do otherwise?").fill("Warmer, and name the plan.")
    page.get_by_role("button", name="Reject what is ticked").click()
    said("Rejected; a new draft is being written.")
    assert AgentRun.objects.get().instruction == "Warmer, and name the plan."
    # handed over, to be looked at by a time, to the help desk
    page.goto(f"/console/case/{third.pk}/")
    form = more("Deadline")
    form.get_by_label("To be looked at by").fill("2031-02-03T09:30")
    form.get_by_role("button", name="Set").click()
    said("To be looked at by")
    expect(page.locator(".case-head")).to_contain_text("3 Feb 2031")
    form = more("Escalate")
    form.get_by_label("Why").fill("Asks for another invoice address.")
    form.get_by_role("button", name="To the help desk").click()
    said("A help-desk ticket with the whole case is on its way.")
    assert third.proposals.get(action="create_ticket").status == "approved"
    # a promise by one button, and taken back
    page.goto(f"/console/case/{second.pk}/")
    page.keyboard.press("p")
    page.get_by_role("button", name="A week").last.click()
    said("Promise noted: €300.00 by")
    page.goto(f"/console/case/{second.pk}/")
    page.keyboard.press("p")
    page.get_by_role("button", name="The promise no longer stands").click()
    said("The promise no longer stands.")
    # two pairs of eyes: a specialist's are the first, a lead's may be the second; never the same person's twice
    if role == "lead":
        _approve(large, factories.user("lead", "otto", first_name="Otto", last_name="Vogel"))  # Ruth changed the rules today
    page.goto(f"/console/case/{large.pk}/")
    expect(page.get_by_text("Otto Vogel has approved this; it waits for a lead who is somebody else.")).to_have_count(int(role == "lead"))
    page.keyboard.press("Shift+A")
    said("Approved.")
    assert Proposal.objects.get(case=large).status == ("approved" if role == "lead" else "waiting_second")
    if role == "specialist":
        expect(page.get_by_text("Sam Ortiz has approved this; it waits for a lead who is somebody else.")).to_be_visible()
        # A second time is nothing that a specialist could press.
        expect(page.get_by_role("button", name="Approve", exact=True)).to_have_count(0)
        expect(page.get_by_role("button", name="Pass to a lead & next")).to_be_visible()
