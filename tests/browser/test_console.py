"""What else the console has, in a real browser: English on request, calls, two people, no invoice, views, search, files, history, commands, roles."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from approvals.contract import Words
from approvals.drafts import built_in
from approvals.models import Case, Contact, KillSwitch, Outcome, Proposal, Suppression
from approvals.policy import rollout
from billing_ai.kernel import clock
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[..., Page]


@pytest.fixture
def sam(rules: None) -> Any:
    return factories.user("specialist", "sam", first_name="Sam", last_name="Ortiz")


@pytest.fixture
def lena(rules: None) -> Any:
    return factories.user("lead", "lena", first_name="Lena", last_name="Berg")


def _german() -> Words:
    said = built_in.compose(
        {
            "language": "de", "channel": "email", "tone": "warm", "stage": "first_notice", "reason_category": "insufficient_funds",
            "allowed_slots": ("customer.first_name", "invoice.amount_due", "invoice.number", "invoice.due_date", "links.pay", "support.email"),
        }
    )  # fmt: skip
    return Words("email", "de", "warm", said["subject"], said["body"])


def _retention(customer_of: Case) -> Case:
    """A case about a customer as a whole, as the churn agent opens it."""
    made = Case.objects.create(
        kind="churn", agent="churn", chargebee_customer_id=customer_of.chargebee_customer_id, currency="EUR", amount_due_minor=0,
        headline="34% likely to leave within 90 days. Usage has halved.", likelihood_bp=6_600, uplift_bp=340, stake=8_000, trace_id="c" * 32,
        next_action="The owner calls", language="en", country="GB",
        reasons=[{"code": "usage", "sentence": "Usage has halved.", "weight": -0.7, "fact": f"customer:{customer_of.chargebee_customer_id}"}],
    )  # fmt: skip
    factories.proposal(made, action="alert", step="high", payload={"customer_id": made.chargebee_customer_id, "subject": "Look at them"})
    return made


def test_a_text_in_another_language_says_what_it_says_in_english_by_one_key(sign_in: SignIn, sam: Any, chargebee: Any) -> None:
    case = factories.case(chargebee, words=_german(), locale="de-DE", first_name="Käthe")
    page = sign_in(sam, path=f"/console/case/{case.pk}/")
    page.keyboard.press("g")
    english = page.get_by_label("In English, for you only")
    expect(english).to_contain_text("Hello Käthe,")
    expect(english).to_contain_text("The payment of €49.00 for invoice")
    page.keyboard.press("g")
    expect(english).to_be_hidden()
    expect(page.frame_locator("iframe").locator("body")).to_contain_text("Käthe")
    without = sign_in(sam, path=f"/console/case/{case.pk}/", scripts=False)
    without.get_by_role("button", name="In English").click()
    expect(without.get_by_text("Hello Käthe,")).to_be_visible()


def test_a_case_is_taken_a_call_is_planned_and_logged(sign_in: SignIn, sam: Any, chargebee: Any) -> None:
    case = factories.case(chargebee)
    page = sign_in(sam, path=f"/console/case/{case.pk}/")
    page.keyboard.press("t")
    expect(page.get_by_role("button", name="Take it")).to_have_count(0)
    page.keyboard.press("c")
    expect(page.get_by_role("link", name="+447700900123")).to_have_attribute("href", "tel:+447700900123")
    page.get_by_label("call about what?").fill("Ask for the new card.")
    page.get_by_role("button", name="Tomorrow").last.click()
    expect(page.locator(".tag", has_text="call")).to_be_visible()
    case.refresh_from_db()
    assert (case.tags, case.owner) == (["call"], sam)
    assert case.deadline_at is not None
    page.keyboard.press("c")
    page.get_by_label("nobody answered").check()
    page.get_by_role("textbox", name="What was said").fill("Rang twice.")
    page.get_by_role("button", name="Log the call").click()
    expect(page.get_by_text("Nobody answered.")).to_be_visible()
    case.refresh_from_db()
    assert case.tags == []
    assert Contact.objects.get(case=case, channel="call").kind == "call_attempt"


def test_a_second_person_approves_and_the_queue_says_who_waits_for_whom(sign_in: SignIn, sam: Any, lena: Any, chargebee: Any) -> None:
    otto = factories.user("lead", "otto")
    rollout.change_limit("dunning", "second_pair_of_eyes_above", 1_000, factories.user("lead", "ruth"), reason="A test.")
    case = factories.case(chargebee, due_minor=5_000, headline="Needs two")
    case.proposals.update(amount_minor=5_000)
    first = sign_in(lena, path=f"/console/case/{case.pk}/")
    first.keyboard.press("Shift+A")
    expect(first.get_by_text("Lena Berg has approved this; it waits for a lead who is somebody else.")).to_be_visible()
    first.keyboard.press("Shift+A")
    expect(first.get_by_role("alert").filter(has_text="You have approved this already")).to_be_visible()
    assert Proposal.objects.get(case=case).status == "waiting_second"

    second = sign_in(otto, path="/console/queue/?view=second")
    expect(second.locator("tr[data-row]")).to_contain_text("Lena Berg approved; waits for another lead")
    second.keyboard.press("j")
    second.keyboard.press("Enter")
    expect(second.get_by_text("it waits for a lead who is somebody else.")).to_be_visible()
    second.keyboard.press("a")
    expect(second.get_by_text("Nothing waits for a second pair of eyes.")).to_be_visible()
    assert Proposal.objects.get(case=case).status == "approved"


def test_a_case_without_an_invoice_is_read_and_decided_like_any_other(sign_in: SignIn, lena: Any, chargebee: Any) -> None:
    owed = factories.case(chargebee, first_name="Ada", last_name="Lovelace", status="closed")
    case = _retention(owed)
    page = sign_in(lena)
    row = page.locator("tr[data-row]")
    expect(row).to_contain_text("likely to leave within 90 days")
    expect(row).to_contain_text("at stake")
    expect(row).to_contain_text("63% to stay +3 by acting")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator(".case-head")).to_contain_text("Ada Lovelace")
    expect(page.locator(".case-head")).to_contain_text("Churn, no invoice")
    expect(page.get_by_text("Why the payment failed")).to_have_count(0)
    expect(page.locator("summary", has_text="Promise")).to_have_count(0)
    page.keyboard.press("a")
    expect(page.get_by_role("status").filter(has_text="Approved")).to_be_visible()
    assert case.proposals.get().status == "approved"


def test_views_filters_and_searches_stand_in_the_address(sign_in: SignIn, sam: Any, chargebee: Any) -> None:
    factories.case(chargebee, headline="Forty days late", overdue_days=40)
    factories.case(chargebee, headline="In pounds", currency="GBP", first_name="Zebulon", last_name="Quatermain")
    broken = factories.case(chargebee, headline="A broken word", broken_promise=True, stake=1)
    page = sign_in(sam)
    titles = page.locator("tr[data-row] .what > a")
    page.get_by_label("Overdue").select_option("31-60")
    page.wait_for_url(re.compile(r"age=31-60"))
    expect(titles).to_have_text(["Forty days late"])
    page.get_by_label("Currency").select_option("GBP")
    page.wait_for_url(re.compile(r"currency=GBP"))
    expect(page.get_by_text("No case in “To decide” fits these filters.")).to_be_visible()
    page.go_back()
    expect(titles).to_have_text(["Forty days late"])
    page.get_by_role("link", name="Promises broken").click()
    expect(titles).to_have_text(["A broken word"])
    page.get_by_role("link", name="Snoozed").click()
    expect(page.get_by_text("No case sleeps.")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type(broken.chargebee_invoice_id)
    page.keyboard.press("Enter")
    expect(titles).to_have_text(["A broken word"])
    page.get_by_label("Name or e-mail, asked of Chargebee and not stored").fill("Quater")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Customers found in Chargebee")).to_contain_text("Zebulon Quatermain")
    expect(titles).to_have_text(["In pounds"])
    assert "Quater" not in page.url


def test_commands_run_and_a_chip_goes_whole_or_not_at_all(sign_in: SignIn, sam: Any, chargebee: Any) -> None:
    case = factories.case(chargebee)
    page = sign_in(sam, path=f"/console/case/{case.pk}/")
    page.keyboard.press("Control+k")
    page.keyboard.type("deadline")
    page.keyboard.press("Enter")
    expect(page.get_by_label("To be looked at by")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("what it says, in English")
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    subject = page.get_by_role("textbox", name="Subject")
    expect(subject.locator(".chip")).to_have_text(case.chargebee_invoice_id)
    subject.focus()
    page.keyboard.press("Home")
    for _ in range(len("Your payment for invoice ")):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Delete")
    expect(subject).to_have_text("Your payment for invoice  did not go through")
    page.get_by_role("button", name="Invoice number", exact=True).click()
    expect(subject.locator(".chip")).to_have_text(case.chargebee_invoice_id)
    subject.focus()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("edited by Sam Ortiz, revision 2")).to_be_visible()


def test_files_out_and_in_and_the_history_of_a_rule(sign_in: SignIn, lena: Any, chargebee: Any, tmp_path: Path) -> None:
    factories.case(chargebee, customer_id="=1+1", tags=["<b>=x</b>"])
    rollout.change_policy("contact.frequency", lena, reason="Customers complained.", params={"messages": 2, "days": 7})
    page = sign_in(lena, path="/console/approvals/case/")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download as CSV").click()
    text = Path(waiting.value.path()).read_text(encoding="utf-8-sig")
    assert "'=1+1" in text
    assert not re.search(r"(^|,)=", text, re.MULTILINE)

    page.goto("/console/suppressions/import/")
    listed = tmp_path / "list.csv"
    listed.write_text("customer_id,channel\ncus_a,pigeon\n")
    page.get_by_label("List").set_input_files(listed)
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("alert")).to_contain_text("“pigeon” is no channel")
    listed.write_text("customer_id,channel\ncus_a,email\n")
    page.get_by_label("List").set_input_files(listed)
    page.get_by_role("button", name="Import").click()
    page.wait_for_url(re.compile("/suppression/"))
    assert Suppression.objects.get().chargebee_customer_id == "cus_a"

    page.goto("/console/approvals/policy/contact.frequency/history/")
    expect(page.locator("ins").first).to_be_visible()
    expect(page.get_by_text("Customers complained.")).to_be_visible()


def test_today_has_a_table_behind_each_chart_and_the_switch_is_turned_off_again(sign_in: SignIn, lena: Any, chargebee: Any) -> None:
    case = factories.case(chargebee, due_minor=1_234_50)
    Outcome.objects.create(
        case=case, kind="recovered", credited_to="email", chargebee_transaction_id="t", recovered_minor=4_900, currency="EUR",
        happened_at=clock.now() - timedelta(seconds=1), attempt_number=2,
    )  # fmt: skip
    KillSwitch.objects.update_or_create(scope="all", defaults={"is_on": True, "reason": "Wrong amounts.", "changed_by": lena})
    page = sign_in(lena, path="/console/")
    expect(page.get_by_text("€1,234.50").first).to_be_visible()
    page.get_by_text("As a table").nth(1).click()
    expect(page.get_by_role("cell", name="Our mail")).to_be_visible()
    expect(page.get_by_role("cell", name="€49.00").first).to_be_visible()
    page.get_by_text("Let it go out again").click()
    page.get_by_label("Why it is safe again").fill("Mended.")
    page.get_by_role("button", name="Turn off").click()
    expect(page.get_by_text("Wrong amounts.")).to_have_count(0)
    assert KillSwitch.objects.get(scope="all").is_on is False
