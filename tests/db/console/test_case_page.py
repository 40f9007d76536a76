"""The page of one case: its whole time line, and every claim with the fact that it came from."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from django.urls import reverse

from agents.churn.decide import SHOWN_UNDER
from agents.churn.signals import SIGNALS
from agents.dunning.context import DunningContext, Said, Try
from agents.dunning.features import score
from approvals import case_facts, review, timeline
from approvals.admin.fact_links import fact_address
from approvals.drafts.slots import SLOTS
from approvals.drafts.sms import size
from approvals.models import Policy, Proposal
from approvals.policy import consent
from approvals.wording.reader import Reader, TwoClocks
from audit import ledger
from audit.actor import system
from billing_ai.facts.models import Customer, Invoice, Subscription, Transaction
from billing_ai.integrations import readers
from billing_ai.integrations.ports import Ticket
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Retryable
from billing_ai.signals.models import ExternalTicket
from tests import factories


def _helpdesk(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[str]:
    """The reading port, answering with `answer()`; gives the customers and addresses that were asked about."""
    asked: list[str] = []

    def list_for_customer(customer_id: str, *, requester_address: str = "", **_: Any) -> Any:
        asked.append(customer_id or requester_address)
        return answer()

    monkeypatch.setattr(readers, "helpdesk", lambda: SimpleNamespace(list_for_customer=list_for_customer))
    return asked


def _ticket() -> Ticket:
    return Ticket("812", "Invoice is wrong", "open", "high", clock.now() - timedelta(hours=2), None, url="https://desk.example/812")


def test_the_page_speaks_of_languages_writers_and_failures_in_words(chargebee: Any, as_user: Any) -> None:
    acting = {"code": "acting", "sentence": "Acting now changes the odds by this much.", "weight": 0.9, "fact": ""}
    case = factories.case(chargebee, words=factories.GERMAN, locale="de-DE", uplift_bp=3_100, category="mandate")
    case.reasons = [acting, *case.reasons]
    case.save()
    Transaction.objects.create(
        pk="txn_1", chargebee_customer_id=case.chargebee_customer_id, invoice_ids=[case.chargebee_invoice_id], kind="payment", status="failure",
        decline_category="mandate", decline_code="mandate_expired", gateway="gocardless", happened_at=clock.now(), fetched_at=clock.now(), amount_minor=1, currency="EUR",
    )  # fmt: skip
    page = as_user(factories.user("specialist")).get(f"/console/case/{case.pk}/").content.decode()
    assert "German, friendly · by the built-in writer" in page
    assert 'acting now adds <strong class="gain-words">31 points</strong>' in page
    assert "Acting now changes the odds" not in page
    assert "Payment failed: no valid mandate" in page


def test_a_promise_by_a_button_and_a_typed_time_before_a_button(chargebee: Any, as_user: Any) -> None:
    case, client = factories.case(chargebee), as_user(factories.user("specialist"))
    at = clock.now().replace(minute=30, second=0, microsecond=0) + timedelta(days=9)
    # Enter in the note presses the form's first button, “Tomorrow”.
    client.post(f"/console/case/{case.pk}/snooze/", {"days": "1", "until": f"{at:%Y-%m-%dT%H:%M}"})
    client.post(f"/console/case/{case.pk}/promise/", {"days": "7", "due_on": "", "amount": "20.00"})
    case.refresh_from_db()
    assert case.snoozed_until == at
    assert case.promises.get().due_on == (clock.now() + timedelta(days=7)).date()


def _tell(case: Any, kind: str, **data: Any) -> None:
    about = {"case_id": case.pk} if kind == "run.finished" else {"customer_id": case.chargebee_customer_id}
    with transaction.atomic():
        ledger.append(kind, actor=system("test"), trace_id=case.trace_id, subject=("test", "1"), data=data, **about)


def test_tickets_and_events_are_in_the_time_line_and_finished_runs_are_not(
    chargebee: Any, as_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _helpdesk(monkeypatch, lambda: [_ticket()])
    case, other = factories.case(chargebee), factories.case(chargebee)
    now = clock.now()
    for whose, number in ((case, "T-77"), (other, "T-99")):
        ExternalTicket.objects.create(
            client="intercom", external_id=number, customer_system="chargebee", customer_ref="x", chargebee_customer_id=whose.chargebee_customer_id,
            status="done", ticket_status="solved", tone="negative", opened_at=now - timedelta(days=1), changed_at=now,
        )  # fmt: skip
    _tell(case, "event.routed", type="subscription_cancelled")
    _tell(case, "event.routed", type="payment_failed")
    _tell(other, "event.routed", type="card_added")
    _tell(case, "run.finished")

    page = as_user(factories.user("specialist")).get(f"/console/case/{case.pk}/").content.decode()
    shown = page[page.index('id="time-title"') :]

    assert asked == [case.chargebee_customer_id, "ada@example.com"]
    assert shown.count(">Ticket 812<") == 1
    assert '<a href="https://desk.example/812" rel="noreferrer">Ticket 812</a>' in shown
    assert "Invoice is wrong · open · high" in shown
    assert "Ticket T-77 at intercom" in shown
    assert "solved · normal · negative" in shown
    assert shown.index("Chargebee: subscription cancelled") < shown.index("Ticket 812") < shown.index("Ticket T-77")
    for absent in ("T-99", "card added", "Chargebee: payment failed", "Run finished"):
        assert absent not in shown, absent


def test_who_may_not_see_names_sees_no_words_of_tickets(chargebee: Any, as_user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _helpdesk(monkeypatch, lambda: [_ticket()])
    case = factories.case(chargebee)
    answer = as_user(factories.user("auditor")).get(f"/console/case/{case.pk}/")
    assert answer.status_code == 200
    assert (asked, b"Invoice is wrong" in answer.content) == ([], False)


def test_a_help_desk_that_is_away_or_late_is_named_and_keeps_nothing_else_away(
    chargebee: Any, as_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, case = as_user(factories.user("specialist")), factories.case(chargebee)

    def away() -> Any:
        raise Retryable("zendesk.unreachable", "Zendesk does not answer.")

    _helpdesk(monkeypatch, away)
    assert "The help desk could not be asked: Zendesk does not answer." in client.get(f"/console/case/{case.pk}/").content.decode()

    release = threading.Event()
    monkeypatch.setattr(timeline, "HELPDESK_SECONDS", 0.01)
    _helpdesk(monkeypatch, lambda: release.wait(10) and ())
    try:
        page = client.get(f"/console/case/{case.pk}/").content.decode()
    finally:
        release.set()
    assert "The help desk did not answer in time" in page
    assert "Approve" in page


def _context(**changes: Any) -> DunningContext:
    now = clock.now()
    invoice = Invoice(pk="INV-1", currency="EUR", amount_due_minor=90_000, due_on=(now - timedelta(days=45)).date())
    failed = Try("txn_9", ("INV-1",), False, now, 90_000, "EUR", "stripe", "card", "51", "insufficient_funds", "h", "m", "visa")
    base = DunningContext(
        invoice=invoice,
        customer=Customer(pk="cus_1", customer_since=now - timedelta(days=700)),
        tries=(failed, replace(failed, id="txn_8")),
        open_invoices=(invoice, Invoice(pk="INV-2")),
        subscriptions=(Subscription(pk="sub_1", status="non_renewing"),),
        primary_source=None,
        said=(Said("email", now),),
        open_tickets=2,
        broken_promises=1,
        sms_is_allowed=False,
        retry_check=None,  # type: ignore[arg-type]  # the score does not look at it
        live=None,  # type: ignore[arg-type]
    )
    return replace(base, **changes)


def test_every_factor_of_the_likelihood_names_a_fact_that_has_a_page(db: Any) -> None:
    now, first = clock.now(), _context().tries[0]
    paid = [replace(first, id=f"txn_{n}", invoice_ids=(f"INV-{n}",), succeeded=True, amount_minor=1_000) for n in range(10, 14)]
    young = Customer(pk="cus_1", customer_since=now - timedelta(days=5))
    contexts = (
        _context(),
        _context(tries=(*_context().tries, *paid)),
        _context(tries=(*_context().tries, *paid, replace(first, id="txn_30", invoice_ids=("INV-30",)))),
        _context(customer=young, subscriptions=(Subscription(pk="sub_1", status="cancelled"),), tries=()),
    )
    found = {reason.code: reason for context in contexts for reason in score(context, "insufficient_funds", now).reasons}
    assert {code: reason.fact for code, reason in found.items() if not fact_address(reason.fact)} == {}
    assert set(found) == {
        "category.insufficient_funds", "acting", "history.never_paid", "history.always_paid", "history.share_paid", "tenure.long", "tenure.new",
        "subscription.ending", "subscription.none_active", "tickets.open", "promise.broken", "attempts.many", "age.old", "invoices.several",
        "amount.unusual",
    }  # fmt: skip
    assert fact_address(found["attempts.many"].fact) == "/console/facts/transaction/txn_5F9/change/"
    assert fact_address(found["tickets.open"].fact) == "/console/customers/cus_1/#ticket-title"


def test_every_signal_of_churn_has_the_part_of_the_customers_page_that_shows_it(db: Any) -> None:
    assert {signal.name for signal in SIGNALS} == set(SHOWN_UNDER)
    assert all(fact_address(f"{kind}:cus_1") for kind in SHOWN_UNDER.values())


def test_the_anchors_of_facts_are_on_the_customers_page(chargebee: Any, as_user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _helpdesk(monkeypatch, list)
    case = factories.case(chargebee)
    page = as_user(factories.user("lead")).get(f"/console/customers/{case.chargebee_customer_id}/").content.decode()
    for kind in ("payments", "invoices", "subscriptions", "tickets", "said", "cases", "usage", "reach"):
        assert f'id="{fact_address(f"{kind}:x").partition("#")[2]}"' in page, kind


def test_each_slot_of_a_draft_leads_to_the_fact_that_filled_it(chargebee: Any, as_user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _helpdesk(monkeypatch, list)
    case = factories.case(chargebee, due_minor=12_000)
    client = as_user(factories.user("specialist"))
    page = client.get(f"/console/case/{case.pk}/").content.decode()
    rows = page[page.index("Where its facts come from") :].split("</table>")[0]
    for slot, shown, href in (
        ("invoice.amount_due", "€120.00", f"/console/facts/invoice/{case.chargebee_invoice_id}/change/"),
        ("customer.first_name", "Ada", f"/console/customers/{case.chargebee_customer_id}/#live-title"),
        ("sender.name", "", "/console/brand/"),
    ):
        row = next(row for row in rows.split("<tr>") if f"{{{{ {slot} }}}}" in row)
        assert f'href="{href}"' in row, row
        assert shown in row
        assert client.get(href).status_code == 200


def test_no_slot_of_the_table_is_without_its_source(chargebee: Any) -> None:
    from approvals.admin import fact_links
    from approvals.case_facts import load

    case = factories.case(chargebee)
    live = load(case.chargebee_customer_id, case.chargebee_invoice_id)
    assert all(fact_links._source(slot.fact.partition(".")[0], live, case)[0] for slot in SLOTS.values())


def test_the_page_and_the_check_of_an_edit_speak_of_the_same_retry(chargebee: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _helpdesk(monkeypatch, list)
    case, lead = factories.case(chargebee, retry_in_days=4), factories.user("lead")
    message, retry = case.proposals.order_by("created_at")
    day = clock.utc_date(clock.now() + timedelta(days=4))

    def said() -> set[Any]:
        shown = next(one for one in review.load(case, lead).proposals if one.proposal.pk == message.pk)
        live = case_facts.load(case.chargebee_customer_id, case.chargebee_invoice_id, proposal=message)
        assert shown.facts is not None
        return {shown.facts.retry_date, live.draft.retry_date, live.with_retry(case_facts.planned_retry(message)).retry_date}

    assert said() == {day}
    Proposal.objects.filter(pk=retry.pk).update(status="rejected")
    assert said() == {None}


def test_what_is_above_the_readers_limit_goes_to_a_lead_by_the_key_that_approves_the_rest(chargebee: Any, as_user: Any) -> None:
    within, above = factories.case(chargebee, due_minor=40_000), factories.case(chargebee, due_minor=700_000, words=None)
    proposal = factories.proposal(above, words=factories.ENGLISH, amount_minor=700_000)
    specialist, lead = as_user(factories.user("specialist")), as_user(factories.user("lead"))

    small, large = (specialist.get(f"/console/case/{one.pk}/").content.decode() for one in (within, above))
    assert "Approve &amp; next" in small
    assert "Pass to a lead" not in small
    assert "Approve &amp; next" not in large
    assert re.search(r'data-hotkey="a">Pass to a lead &amp; next', large)
    assert "Above your limit: a lead has to approve it." in large
    assert re.search(rf'value="{proposal.pk}" data-choice', large), "not ticked"

    note = re.search(r'name="note" value="(For a lead to approve: [^"]+)"', large)
    assert note is not None
    said = specialist.post(f"/console/case/{above.pk}/escalate/", {"to": "lead", "note": note[1]}, HTTP_ACCEPT="application/json")
    assert (said.status_code, said.json()["said"]) == (200, "Handed to the leads.")
    assert [str(one.pk) in specialist.get("/console/queue/").content.decode() for one in (within, above)] == [True, False]
    assert str(above.pk) in specialist.get("/console/queue/?view=escalated").content.decode()
    assert str(above.pk) in lead.get("/console/queue/").content.decode()
    assert "Pass to a lead" not in specialist.get(f"/console/case/{above.pk}/").content.decode()
    assert "Approve &amp; next" in lead.get(f"/console/case/{above.pk}/").content.decode()


def test_a_text_message_is_shown_and_counted_with_the_line_about_stop(
    chargebee: Any, as_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _helpdesk(monkeypatch, list)
    case = factories.case(chargebee, words=factories.SMS)
    client = as_user(factories.user("lead"))
    page = client.get(reverse("console:case", args=[case.pk])).content.decode()
    bubble = page.partition('data-show="text">')[2].partition("</div>")[0]
    assert bubble.endswith("\nReply STOP to opt out.")
    shown = size(bubble)
    assert (shown.encoding, f"{shown.segments} segments, {shown.units} characters" in page) == ("GSM-7", True)
    # what is edited is counted in the same way: 290 characters are two segments, and with the line three
    asked = {"subject": "", "body": "Pay here: {{ links.pay }} " + "a" * 290}
    checked = client.post(reverse("console:check", args=[case.proposals.get().pk]), asked).json()
    assert checked["text"].endswith("\nReply STOP to opt out.")
    assert (checked["sms"]["segments"], checked["sms_segments"]) == (3, 3)
    assert "too_long_sms" in str(checked["findings"]) or not checked["may_be_sent"]


def test_a_lead_can_switch_the_line_about_stop_off(chargebee: Any) -> None:
    case = factories.case(chargebee, words=factories.SMS)
    facts = case_facts.load(case.chargebee_customer_id, case.chargebee_invoice_id).draft
    assert facts.says_stop
    Policy.objects.get(key="contact.sms_opt_out").delete()
    assert consent.says_stop()  # no row, no leave to keep silent
    Policy.objects.create(
        key="contact.sms_opt_out", kind="contact", title="x", params={}, effective_from=clock.now().date(), source="x", is_enabled=False
    )
    assert not case_facts.load(case.chargebee_customer_id, case.chargebee_invoice_id).draft.says_stop


@pytest.mark.parametrize("link", [case_facts.PREVIEW_PAY_LINK, case_facts.PREVIEW_CARD_LINK])
def test_the_links_of_a_preview_are_as_long_as_real_ones(link: str) -> None:
    """`https://<site>.chargebee.com/pages/v3/<32 characters>/`, for a site with a name of ten letters."""
    assert 70 <= len(link) <= 80


def test_a_planned_moment_reads_the_same_wherever_it_stands_on_the_page(
    chargebee: Any, as_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a try at half past eight in the morning in Tokyo, which is another day in UTC and for the reader in New York
    _helpdesk(monkeypatch, list)
    case = factories.case(chargebee, retry_in_days=4)
    Customer.objects.filter(pk=case.chargebee_customer_id).update(time_zone="Asia/Tokyo")
    at = (clock.now() + timedelta(days=4)).replace(hour=23, minute=30, second=0, microsecond=0)
    message, retry = case.proposals.order_by("created_at")
    Proposal.objects.filter(pk=retry.pk).update(not_before=at)
    there = at.astimezone(ZoneInfo("Asia/Tokyo"))
    reader = as_user(factories.user("lead"))
    reader.cookies["reader_zone"] = "America/New_York"

    page = reader.get(f"/console/case/{case.pk}/").content.decode()

    assert f">{Reader('en-GB', ZoneInfo('Asia/Tokyo')).moment(at)} (customer&#x27;s time, Tokyo)</time>" in page
    assert f'title="{Reader("en-GB", ZoneInfo("America/New_York")).moment(at)} your time, New York">' in page
    assert "we try to collect, 08:30 customer&#x27;s time, Tokyo" in page
    assert f'<span class="retry" title="we try to collect, 08:30 customer&#x27;s time, Tokyo">{there.day}</span>' in page
    assert "UTC" not in page.split('id="plan-title"')[1].split("</section>")[0]
    # and the message speaks of the day that the customer will see on the wall
    assert case_facts.load(case.chargebee_customer_id, case.chargebee_invoice_id, proposal=message).draft.retry_date == there.date()


def test_without_the_customers_zone_a_planned_moment_is_told_by_the_readers_clock() -> None:
    reader = Reader("en-GB", ZoneInfo("Europe/Berlin"))
    at = datetime(2026, 12, 1, 11, 0, tzinfo=UTC)
    for unknown in ("", "Mars/Olympus_Mons"):
        assert TwoClocks.of(reader, unknown).said(at) == reader.moment(at)
    assert TwoClocks.of(reader, "America/Los_Angeles").said(at).endswith("03:00 (customer's time, Los Angeles)")
