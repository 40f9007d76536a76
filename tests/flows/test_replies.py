"""What customers answer, through the real webhook and the real mailbox: STOP, HELP and START by text message, unsubscribe by mail."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils.http import urlencode

from agents.dunning import decide
from approvals import execution
from approvals.drafts.fixed_words import fixed_words
from approvals.drafts.sms import to_gsm_spacing
from approvals.models import Consent, Contact, Execution, Proposal, Suppression
from approvals.policy import consent, rollout
from approvals.policy.contact import contact_checks, may_contact
from audit.models import Entry
from billing_ai.facts.models import Customer
from billing_ai.inbox.replies import twilio_signature
from billing_ai.kernel import clock
from tests.flows.conftest import World

ADDRESS = "https://console.example.com"
TOKEN = "the-account's-token"
FORM = "application/x-www-form-urlencoded"
OURS = "+15005550006"


@pytest.fixture(autouse=True)
def _our_addresses(settings: Any) -> None:
    settings.PUBLIC_URL, settings.SMS_TOKEN, settings.SMS_FROM = ADDRESS, TOKEN, OURS
    settings.SUPPORT_EMAIL, settings.VENDOR_NAME = "billing@northwind.example", "Northwind Cloud"


@pytest.fixture
def texted(world: World, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A customer who agreed to text messages and has got one, about a payment that failed."""
    monkeypatch.setattr(decide, "_channel", lambda context: "sms")
    customer = world.customer(fits=lambda row: str(row.get("cf_sms_consent")).lower() in ("true", "yes"))
    customer["invoice_id"] = world.fail(customer)
    world.hear()
    world.approve(world.proposal(customer["invoice_id"], "send_message"))
    world.act()
    assert [one["direction"] for one in phone(world, customer)] == ["outbound-api"]
    return customer


def phone(world: World, customer: dict[str, Any]) -> list[dict[str, Any]]:
    """What has arrived at the customer's phone, newest first."""
    return list(world.site.get("/control/sms", to=customer["phone"])["sms"])


def says(world: World, customer: dict[str, Any], body: str, *, again: dict[str, Any] | None = None) -> dict[str, Any]:
    """The customer texts; the simulated provider signs the webhook by itself, and passes it on."""
    told = again or world.site.post(
        "/control/sms/reply", **{"from": customer["phone"], "to": OURS, "body": body, "url": f"{ADDRESS}/webhooks/sms/", "token": TOKEN}
    )
    answer = Client().post("/webhooks/sms/", urlencode(told["webhook"]["form"]), content_type=FORM, headers=told["webhook"]["headers"])
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/xml")
    assert answer.content == b'<?xml version="1.0" encoding="UTF-8"?><Response></Response>'
    return dict(told)


@pytest.mark.parametrize("word", ["STOP", " stop. ", "Opt out", "Unsubscribe"])
def test_stop_opts_out_at_once_and_is_confirmed_once(world: World, texted: dict[str, Any], word: str) -> None:
    # given another message that was approved and has not gone out
    second = world.fail(texted)
    world.hear()
    waiting = world.proposal(second, "send_message")
    world.approve(waiting)
    # when the customer says stop
    told = says(world, texted, word)
    # then they are opted out before anything else happens
    row = Consent.objects.get(chargebee_customer_id=texted["id"], channel="sms")
    assert (row.state, row.source) == ("denied", "reply")
    assert may_contact(texted["id"], "sms", "dunning", clock.now()).rule == "contact.consent.sms"
    # and what waited does not go out, while one confirmation does
    world.act()
    waiting.refresh_from_db()
    assert (waiting.status, waiting.execution.reason.split(":")[0]) == ("withdrawn", "contact.suppressed.address")
    confirmation, first = phone(world, texted)
    words = fixed_words(texted["locale"]).sms_stopped
    assert confirmation["body"] == to_gsm_spacing(words.format(vendor="Northwind Cloud", support="billing@northwind.example"))
    assert 0 <= confirmation["at"] - told["at"] <= 300
    assert first["body"] != confirmation["body"]
    assert Contact.objects.get(execution__action="confirm_opt_out", chargebee_customer_id=texted["id"]).kind == "opt_out_confirmation"
    # and saying it again, or the provider passing it on twice, changes nothing
    says(world, texted, "", again=told)
    says(world, texted, "STOP")
    world.act()
    assert len(phone(world, texted)) == 2
    assert Entry.objects.filter(kind="suppression.added", subject_kind="address").count() == 1


def test_a_confirmation_that_could_not_go_out_in_five_minutes_is_not_sent(world: World, texted: dict[str, Any]) -> None:
    rollout.set_kill_switch("all", True, world.people["lead"], reason="an exercise")
    says(world, texted, "STOP")
    world.act()
    assert len(phone(world, texted)) == 1

    world.advance(minutes=6)
    rollout.set_kill_switch("all", False, world.people["lead"], reason="over")
    world.act()

    assert len(phone(world, texted)) == 1
    answer = Proposal.objects.get(action="confirm_opt_out", chargebee_customer_id=texted["id"])
    assert (answer.status, answer.status_reason) == ("withdrawn", "The opt-out is more than 5 minutes old.")


def test_start_after_stop_agrees_again_and_a_second_stop_is_confirmed_too(world: World, texted: dict[str, Any]) -> None:
    says(world, texted, "STOP")
    world.act()
    world.advance(minutes=1)
    says(world, texted, "Start")
    assert Consent.objects.get(chargebee_customer_id=texted["id"], channel="sms").state == "granted"
    assert consent.address_check("sms", texted["phone"]).outcome == "allow"
    assert not Suppression.objects.filter(kind=consent.NUMBER_OPTED_OUT, is_active=True).exists()

    world.advance(minutes=1)
    says(world, texted, "STOP")
    world.act()

    assert len(phone(world, texted)) == 3


def test_help_is_answered_at_night_and_in_a_dispute_and_uses_up_no_message(world: World, texted: dict[str, Any]) -> None:
    world.advance(hours=12)
    told = says(world, texted, "help")
    says(world, texted, "", again=told)
    world.act()

    answer, _ = phone(world, texted)
    words = fixed_words(texted["locale"]).sms_help
    assert answer["body"] == to_gsm_spacing(words.format(vendor="Northwind Cloud", support="billing@northwind.example"))
    assert Contact.objects.get(execution__action="answer_help", chargebee_customer_id=texted["id"]).kind == "reply"
    asked = contact_checks(texted["id"], "email", "dunning", clock.now())
    assert next(check.data["used"] for check in asked if check.rule == "contact.frequency") == 1


def test_a_customer_is_understood_and_answered_in_their_language(world: World, texted: dict[str, Any]) -> None:
    Customer.objects.filter(pk=texted["id"]).update(locale="de-DE")
    says(world, texted, "Stopp!")
    world.act()

    answer, _ = phone(world, texted)
    assert answer["body"].startswith("Northwind Cloud: Sie erhalten keine SMS mehr von uns.")
    assert Consent.objects.get(chargebee_customer_id=texted["id"], channel="sms").state == "denied"


def test_other_words_opt_nobody_out(world: World, texted: dict[str, Any]) -> None:
    says(world, texted, "Please stop by at our office, the invoice is wrong")
    world.act()

    assert not Consent.objects.filter(chargebee_customer_id=texted["id"], channel="sms", state="denied").exists()
    assert len(phone(world, texted)) == 1


def test_a_number_that_nobody_wrote_to_is_closed_for_whoever_has_it(world: World) -> None:
    customer = {"id": "stranger", "phone": "+4915112345678"}

    says(world, customer, "STOP")
    world.act()

    assert consent.address_check("sms", "+49 151 1234 5678").outcome == "deny"
    assert consent.address_check("sms", "+49 151 1234 5679").outcome == "allow"
    assert not Execution.objects.filter(action="confirm_opt_out").exists()
    assert "15112345678" not in str(list(Suppression.objects.values()))


def test_where_the_provider_answers_keywords_we_only_write_it_down(world: World, texted: dict[str, Any], settings: Any) -> None:
    settings.SMS_KEYWORDS = "provider"
    world.site.post("/control/settings", answers_keywords=True)

    says(world, texted, "HELP")
    says(world, texted, "STOP")
    world.act()
    world.site.post("/control/settings", answers_keywords=False)

    assert len(phone(world, texted)) == 1
    assert Consent.objects.get(chargebee_customer_id=texted["id"], channel="sms").state == "denied"


def test_a_stop_that_only_the_provider_heard_is_learned_from_its_refusal(world: World, texted: dict[str, Any]) -> None:
    world.site.post("/control/settings", answers_keywords=True)
    world.site.post("/control/sms/reply", **{"from": texted["phone"], "to": OURS, "body": "STOP"})
    second = world.fail(texted)
    world.hear()
    message = world.proposal(second, "send_message")
    world.approve(message)
    world.act()
    world.site.post("/control/settings", answers_keywords=False)

    message.refresh_from_db()
    assert message.status == "failed"
    assert len(phone(world, texted)) == 1
    assert Consent.objects.get(chargebee_customer_id=texted["id"], channel="sms").state == "denied"


@pytest.mark.parametrize("broken", ["no signature", "another token", "another body", "another address", "not base64"])
def test_without_a_true_signature_nothing_changes(db: None, broken: str, settings: Any) -> None:
    form = {"From": "+4915112345678", "To": OURS, "Body": "STOP", "MessageSid": "SM1"}
    signature = twilio_signature(f"{ADDRESS}/webhooks/sms/", form)
    if broken == "another token":
        settings.SMS_TOKEN = "x"
    elif broken == "another body":
        form["Body"] = "START"
    elif broken == "another address":
        settings.PUBLIC_URL = "https://elsewhere.example.com"
    headers = {} if broken == "no signature" else {"X-Twilio-Signature": "ü" if broken == "not base64" else signature}

    answer = Client().post("/webhooks/sms/", urlencode(form), content_type=FORM, headers=headers)

    assert answer.status_code == 403
    assert not Suppression.objects.exists()
    assert not Consent.objects.exists()
    assert not Entry.objects.exists()


def test_the_signature_is_the_one_in_twilios_own_example(settings: Any) -> None:
    settings.SMS_TOKEN = "12345"
    form = {
        "CallSid": "CA1234567890ABCDE", "Caller": "+14158675309", "Digits": "1234", "From": "+14158675309", "To": "+18005551212",
    }  # fmt: skip

    assert twilio_signature("https://mycompany.com/myapp.php?foo=1&bar=2", form) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def test_without_an_account_there_is_no_such_page(db: None, settings: Any) -> None:
    settings.SMS_TOKEN = ""

    assert Client().post("/webhooks/sms/", "", content_type=FORM).status_code == 404


def _mailed(world: World) -> tuple[dict[str, Any], dict[str, Any]]:
    customer = world.customer("en")
    invoice_id = world.fail(customer)
    world.hear()
    world.approve(world.proposal(invoice_id, "send_message"))
    world.act()
    (mail,) = world.mail_to(customer)
    return customer, mail


def test_one_click_in_the_mail_program_unsubscribes(world: World) -> None:
    # given a mail in the simulated mailbox, with the headers of RFC 2369 and RFC 8058
    customer, mail = _mailed(world)
    assert mail["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link, by_mail = re.findall(r"<([^>]+)>", mail["headers"]["List-Unsubscribe"])
    assert link.startswith(f"{ADDRESS}/unsubscribe/")
    assert by_mail == "mailto:billing@northwind.example?subject=unsubscribe"
    page = link.removeprefix(ADDRESS)
    # when a scanner opens the link, nothing changes; when the mail program posts to it, without cookie or token, it counts
    assert b"End these messages" in Client(enforce_csrf_checks=True).get(page).content
    assert not Consent.objects.filter(chargebee_customer_id=customer["id"], channel="email").exists()
    answer = Client(enforce_csrf_checks=True).post(page, urlencode({"List-Unsubscribe": "One-Click"}), content_type=FORM)
    # then no other mail goes out
    assert answer.status_code == 200
    row = Consent.objects.get(chargebee_customer_id=customer["id"], channel="email")
    assert (row.state, row.source) == ("denied", "unsubscribe")
    assert Entry.objects.get(kind="consent.recorded", chargebee_customer_id=customer["id"]).data["to"] == "denied"
    again = world.fail(customer)
    world.advance(minutes=2)
    world.hear()
    held = Proposal.objects.filter(chargebee_invoice_id=again, action="send_message")
    assert {(one.status, one.current.channel) for one in held if one.current} <= {("blocked", "email"), ("waiting", "sms")}
    world.act()
    assert len(world.mail_to(customer)) == 1


def test_the_button_on_the_page_unsubscribes_what_was_approved_already(world: World) -> None:
    customer, mail = _mailed(world)
    page = re.findall(r"<([^>]+)>", mail["headers"]["List-Unsubscribe"])[0].removeprefix(ADDRESS)
    again = world.fail(customer)
    world.hear()
    message = world.proposal(again, "send_message")
    world.approve(message)

    answer = Client(enforce_csrf_checks=True).post(page, "", content_type=FORM)
    world.act()

    assert b"You will get no more mail about unpaid invoices" in answer.content
    message.refresh_from_db()
    assert (message.status, message.execution.reason.split(":")[0]) == ("withdrawn", "contact.consent.email")
    assert len(world.mail_to(customer)) == 1


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_link_that_we_did_not_make_is_404_and_changes_nothing(db: None, method: str) -> None:
    good = consent.unsubscribe_url("cus_1").removeprefix(ADDRESS)
    forged = good.replace("cus_1", "cus_2")

    answer = getattr(Client(), method)(forged)

    assert answer.status_code == 404
    assert b"This link is not complete" in answer.content
    assert not Consent.objects.exists()


def test_two_stops_at_once_are_confirmed_once(world: World, texted: dict[str, Any]) -> None:
    """Twice from the phone within a second, as two messages."""
    says(world, texted, "STOP")
    says(world, texted, "STOP")
    while execution.execute_due():
        pass

    assert len(phone(world, texted)) == 2
    said = Consent.objects.get(chargebee_customer_id=texted["id"], channel="sms")
    assert clock.now() - said.recorded_at < timedelta(minutes=5)
