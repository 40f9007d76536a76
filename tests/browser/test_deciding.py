"""A specialist's work, with the real console in a real browser: read, edit, approve, reject, take back, and all else that a case may need."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from approvals.models import Case, Decision, Execution, Promise, Proposal, Suppression
from approvals.policy import rollout
from audit.models import Entry, PersonalDataRead
from billing_ai.kernel import clock
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[..., Page]


@pytest.fixture
def sam(rules: None) -> Any:
    return factories.user("specialist", "sam", first_name="Sam", last_name="Ortiz")


def test_the_queue_puts_the_largest_stake_first_and_opens_by_key_without_a_page_load(sign_in: SignIn, sam: Any, chargebee: Any) -> None:
    small = factories.case(chargebee, due_minor=1_000, headline="A small one")
    large = factories.case(chargebee, due_minor=150_000, headline="A large one", first_name="Greta")
    page = sign_in(sam)
    titles = page.locator("tr[data-row] .what > a").all_text_contents()
    assert titles == ["A large one", "A small one"]
    page.evaluate("window.stillTheSame = true")

    page.keyboard.press("j")
    page.keyboard.press("Enter")

    expect(page.locator("[data-page=case] h2").first).to_have_text("A large one")
    assert page.evaluate("window.stillTheSame") is True
    assert str(large.pk) in page.url
    page.keyboard.press("j")
    expect(page.locator("[data-page=case] h2").first).to_have_text("A small one")
    assert str(small.pk) in page.url
    assert PersonalDataRead.objects.filter(user_id=str(sam.pk)).count() == 2


def test_approving_by_one_key_binds_to_what_was_shown_and_goes_on_to_the_next(sign_in: SignIn, sam: Any, chargebee: Any) -> None:
    first = factories.case(chargebee, due_minor=9_000, headline="First", retry_in_days=3)
    factories.case(chargebee, due_minor=5_000, headline="Second")
    page = sign_in(sam, path=f"/console/case/{first.pk}/")
    expect(page.frame_locator("iframe").locator("body")).to_contain_text("€90.00")

    page.keyboard.press("a")

    expect(page.locator("[data-page=case] h2").first).to_have_text("Second")
    expect(page.get_by_role("status").filter(has_text="Approved")).to_be_visible()
    approved = dict(Proposal.objects.filter(case=first).values_list("action", "status"))
    # With our own retry goes the pause of Chargebee's, so that the customer is not charged twice.
    assert approved == {"send_message": "approved", "collect_payment": "approved", "pause_dunning": "approved"}
    message = Proposal.objects.get(case=first, action="send_message")
    decision = Decision.objects.get(proposal=message)
    assert (decision.kind, decision.by, decision.content_hash) == ("approve", sam, message.current.content_hash)

    page.keyboard.press("u")

    expect(page.locator("[data-page=case] h2").first).to_have_text("First")
    taken_back = dict(Proposal.objects.filter(case=first).values_list("action", "status"))
    assert (taken_back["send_message"], taken_back["collect_payment"]) == ("waiting", "waiting")
    assert (
        not Execution.objects.filter(proposal__case=first, action__in=("send_message", "collect_payment"))
        .exclude(status="withdrawn")
        .exists()
    )


def test_an_approval_can_be_taken_back_until_it_goes_out_and_the_page_says_how_long(sign_in: SignIn, sam: Any, chargebee: Any) -> None:
    lead = factories.user("lead")
    for rule in ("contact.quiet_hours", "contact.days_off"):
        rollout.change_policy(rule, lead, reason="What is approved in this test goes out at any hour.", is_enabled=False)
    first = factories.case(chargebee, due_minor=9_000, headline="First")
    factories.case(chargebee, due_minor=5_000, headline="Second")
    page = sign_in(sam, path=f"/console/case/{first.pk}/")
    page.clock.install()
    page.keyboard.press("a")
    title, offer = page.locator("[data-page=case] h2").first, page.locator(".undo-offer")
    expect(title).to_have_text("Second")
    expect(offer).to_have_text(re.compile(r"Undo u[45]:\d\d"))
    # It is still offered after a page load, and by key.
    page.goto("/console/queue/")
    expect(offer).to_have_text(re.compile(r"Undo u[45]:\d\d"))
    page.keyboard.press("u")
    expect(title).to_have_text("First")
    expect(page.get_by_role("status").filter(has_text="Taken back")).to_be_visible()
    assert Proposal.objects.get(case=first).status == "waiting"

    # On the case itself it is the button that stands where “Approve” stood.
    page.keyboard.press("Shift+A")
    undo = page.locator(".actions form[data-undo]")
    expect(undo).to_contain_text(re.compile(r"goes out in [45]:\d\d"))
    expect(offer).to_have_count(0)
    undo.get_by_role("button").click()
    expect(page.get_by_role("button", name="Approve & next")).to_be_visible()
    page.keyboard.press("Shift+A")
    expect(undo).to_be_visible()
    # When it is out, the page says so by itself.
    Proposal.objects.filter(case=first).update(status="done")
    page.clock.fast_forward("06:00")
    expect(page.locator(".step", has_text="Message").get_by_text("Done")).to_be_visible()
    expect(undo).to_have_count(0)
    page.keyboard.press("u")
    expect(page.get_by_text("There is nothing to undo: what was approved last has gone out.")).to_be_visible()


def test_an_edit_keeps_the_chips_and_is_checked_while_typing(sign_in: SignIn, sam: Any, chargebee: Any) -> None:
    case = factories.case(chargebee)
    page = sign_in(sam, path=f"/console/case/{case.pk}/")
    page.keyboard.press("e")
    body = page.get_by_role("textbox", name="Text")
    expect(body).to_be_focused()
    expect(body.locator(".chip").first).to_have_text("Ada")

    page.keyboard.press("Control+End")
    page.keyboard.type("\nPay 12.00 USD by tomorrow or we will sue.")

    expect(page.locator("[data-findings]")).to_contain_text("Legal action")
    page.get_by_role("button", name="Cancel").click()
    page.keyboard.press("e")
    page.keyboard.press("Control+End")
    page.keyboard.type("\nThank you.")
    page.keyboard.press("Control+Enter")

    expect(page.get_by_text("edited by Sam Ortiz, revision 2")).to_be_visible()
    from approvals.revisions import read_words

    message = Proposal.objects.get(case=case)
    said = read_words(message.current)
    assert said is not None
    assert said.body == factories.ENGLISH.body + "\nThank you."
    assert said.subject == factories.ENGLISH.subject
    expect(page.locator("ins").first).to_contain_text("Thank", use_inner_text=False)


def test_a_stale_page_is_refused_in_words_and_shows_what_changed(sign_in: SignIn, sam: Any, chargebee: Any) -> None:
    case = factories.case(chargebee, due_minor=9_000)
    page = sign_in(sam, path=f"/console/case/{case.pk}/")
    chargebee.invoices[case.chargebee_invoice_id]["amount_due"] = 4_000
    chargebee.invoices[case.chargebee_invoice_id]["resource_version"] = 2
    from billing_ai.facts import sync

    sync.refresh_invoice(case.chargebee_invoice_id)

    page.keyboard.press("a")

    expect(page.get_by_role("alert").filter(has_text="has changed since you opened this page")).to_be_visible()
    expect(page.get_by_text("Due was €90.00, now it is €40.00.")).to_be_visible()
    assert Proposal.objects.get(case=case).status == "waiting"
    assert not Execution.objects.exists()
    assert Entry.objects.filter(kind="console.refused", case_id=case.pk).get().data["code"] == "stale_facts"


def test_of_two_people_one_wins_and_the_other_is_told(sign_in: SignIn, sam: Any, chargebee: Any) -> None:
    lena = factories.user("lead", "lena", first_name="Lena", last_name="Berg")
    case = factories.case(chargebee)
    first = sign_in(sam, path=f"/console/case/{case.pk}/")
    second = sign_in(lena, path=f"/console/case/{case.pk}/")
    expect(second.get_by_text("Sam Ortiz has this open too")).to_be_visible()
    first.keyboard.press("Shift+A")
    expect(first.get_by_text("Approved, not yet out")).to_be_visible()

    second.keyboard.press("a")

    expect(second.get_by_role("alert").filter(has_text="Nothing was approved: this was approved meanwhile")).to_be_visible()
    assert Decision.objects.filter(proposal__case=case, kind="approve").count() == 1


def test_nobodys_edit_is_overwritten_and_the_typed_text_stays(sign_in: SignIn, sam: Any, chargebee: Any) -> None:
    lena = factories.user("lead", "lena")
    case = factories.case(chargebee)
    page = sign_in(sam, path=f"/console/case/{case.pk}/")
    page.keyboard.press("e")
    page.keyboard.press("Control+End")
    page.keyboard.type("\nMine.")
    from approvals import transitions

    message = Proposal.objects.get(case=case)
    transitions.edit(message.pk, lena, base_revision_id=message.current_id, body=factories.ENGLISH.body + "\nTheirs.")

    page.keyboard.press("Control+Enter")

    expect(page.get_by_role("alert").filter(has_text="someone else has edited this text meanwhile")).to_be_visible()
    expect(page.get_by_role("textbox", name="Text")).to_contain_text("Mine.")
    assert Proposal.objects.get(case=case).revisions.count() == 2


def test_rejecting_asks_why_and_an_instruction_makes_a_new_run(sign_in: SignIn, sam: Any, chargebee: Any) -> None:
    case = factories.case(chargebee)
    page = sign_in(sam, path=f"/console/case/{case.pk}/")
    page.keyboard.press("r")
    page.get_by_label("The tone does not fit this customer").check()
    page.get_by_label("What should a new draft do otherwise?").fill("Be warmer.")
    page.get_by_role("button", name="Reject what is ticked").click()

    expect(page.get_by_text("a new draft is being written")).to_be_visible()
    message = Proposal.objects.get(case=case)
    assert (message.status, message.decisions.get().reason_code) == ("rejected", "wrong_tone")
    from agents.models import AgentRun

    assert AgentRun.objects.get().instruction == "Be warmer."


@pytest.mark.parametrize("role", ["specialist", "lead"])
def test_every_other_order_on_a_case(sign_in: SignIn, rules: None, chargebee: Any, role: str) -> None:
    lena = factories.user("lead", "lena", first_name="Lena", last_name="Berg")
    page = sign_in(factories.user(role, "sam"))

    def opened(**columns: Any) -> Case:
        made = factories.case(chargebee, **columns)
        page.goto(f"/console/case/{made.pk}/")
        return made

    def more(name: str) -> Any:
        page.keyboard.press("m")
        page.locator("summary", has_text=name).click()
        return page.locator("details[name=more][open] form")

    def said(text: str) -> None:
        expect(page.get_by_role("status").filter(has_text=text).last).to_be_visible()

    case = opened()
    page.keyboard.press("s")
    page.get_by_role("button", name="3 days").click()
    said("Sleeps until")
    case.refresh_from_db()
    assert case.snoozed_until is not None
    assert timedelta(days=2) < case.snoozed_until - clock.now() < timedelta(days=4)

    case = opened()
    page.keyboard.press("p")
    page.get_by_label("Amount in EUR").fill("20,50")
    page.get_by_label("By", exact=True).fill((clock.now() + timedelta(days=5)).date().isoformat())
    page.get_by_role("button", name="Note the promise").click()
    said("Promise noted")
    promise = Promise.objects.get(case=case)
    assert (promise.amount_minor, promise.status) == (2_050, "open")
    assert Proposal.objects.get(case=case).status == "withdrawn"

    case = opened()
    page.keyboard.press("c")
    page.get_by_role("textbox", name="What was said").fill("Rang, pays on Monday <b>sure</b>.")
    page.get_by_role("button", name="Log the call").click()
    said("The call is logged")
    expect(page.get_by_text("Rang, pays on Monday <b>sure</b>.")).to_be_visible()

    case = opened()
    form = more("Hand over")
    form.get_by_label("To").select_option(str(lena.pk))
    form.get_by_role("button").click()
    said("Lena Berg looks after it")
    case.refresh_from_db()
    assert case.owner == lena

    case = opened()
    form = more("Escalate")
    form.get_by_label("Why").fill("Large and silent.")
    form.get_by_role("button", name="To a lead").click()
    said("Handed to the leads")
    case.refresh_from_db()
    assert case.escalated_to_lead is True

    case = opened()
    form = more("The customer disputes it")
    form.get_by_label("What").select_option("amount")
    form.get_by_role("button").click()
    said("In dispute")
    case.refresh_from_db()
    assert case.status == "disputed"
    assert Proposal.objects.get(case=case, action="pause_dunning").status == "approved"
    page.goto(f"/console/case/{case.pk}/")
    form = more("Settle the dispute")
    form.get_by_label("How it was settled").fill("A credit was given.")
    form.get_by_role("button").click()
    said("The dispute is settled")
    case.refresh_from_db()
    assert case.status == "open"

    case = opened()
    more("Says it is already paid").get_by_role("button").click()
    said("Nothing goes out for three days")

    for name, kind in (("Wrong person", "wrong_person"), ("Do not contact", "do_not_contact")):
        case = opened()
        more(name).get_by_role("button").click()
        expect(page.locator("[data-page]")).to_be_visible()
        page.wait_for_function("document.querySelector('.toast') !== null")
        assert Suppression.objects.get(chargebee_customer_id=case.chargebee_customer_id).kind == kind

    case = opened()
    form = more("Tags")
    form.get_by_label("Tags").fill("payday, VIP")
    form.get_by_role("button").click()
    said("Tags set")
    case.refresh_from_db()
    assert case.tags == ["payday", "vip"]

    case = opened()
    if role == "specialist":
        expect(page.locator("summary", has_text="Close the case")).to_have_count(0)
        return
    form = more("Close the case")
    form.get_by_label("Why").fill("Not worth it.")
    form.get_by_role("button").click()
    said("The case is closed")
    case.refresh_from_db()
    assert (case.status, Proposal.objects.get(case=case).status) == ("closed", "withdrawn")


def test_a_text_message_shows_as_a_bubble_with_its_size(sign_in: SignIn, sam: Any, chargebee: Any) -> None:
    case = factories.case(chargebee, words=factories.SMS)
    page = sign_in(sam, path=f"/console/case/{case.pk}/")
    expect(page.locator(".bubble")).to_contain_text("€49.00")
    expect(page.locator("[data-show=size]")).to_have_text("2 segments, 171 characters, GSM-7")  # with the way out


def test_the_essentials_work_without_scripts(sign_in: SignIn, sam: Any, chargebee: Any) -> None:
    case = factories.case(chargebee, headline="Without scripts")
    page = sign_in(sam, scripts=False)
    page.get_by_role("link", name="Without scripts").click()
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="Approved")).to_be_visible()
    assert Proposal.objects.get(case=case).status == "approved"
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Taken back: it waits for a decision again.")).to_be_visible()
    assert Proposal.objects.get(case=case).status == "waiting"


def test_when_chargebee_is_away_the_page_says_so_and_nothing_can_be_approved(sign_in: SignIn, sam: Any, chargebee: Any) -> None:
    case = factories.case(chargebee)
    chargebee.away = True
    page = sign_in(sam, path=f"/console/case/{case.pk}/")
    expect(page.get_by_text("Chargebee does not answer.")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    expect(page.locator("summary", has_text="Snooze")).to_be_visible()
