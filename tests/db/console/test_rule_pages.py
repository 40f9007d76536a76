"""Rules, segments and what a customer allows, in the console: tried before it counts, and said in words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from approvals.models import Consent, Contact, Limit, Phase, Policy, Suppression
from approvals.policy import what_if
from audit.models import Entry
from billing_ai.facts.models import Customer, Subscription
from billing_ai.kernel import clock
from tests import factories


@pytest.fixture
def lead(as_user: Any) -> Any:
    return as_user(factories.user("lead"))


def test_a_change_is_tried_on_past_messages_and_what_was_typed_stays(lead: Any) -> None:
    # given six messages in the last month, three days apart
    case = factories.case()
    for number in range(6):
        at = clock.now() - timedelta(days=3 * number + 1)
        Contact.objects.create(chargebee_customer_id=case.chargebee_customer_id, case=case, channel="email", at=at)
    values = {"param:messages": "1", "param:days": "7", "is_enabled": "on", "reason": "Complaints."}
    # when a lead tries one message a week
    page = lead.post("/console/rule/policy/contact.frequency/", {**values, "step": "try"}).content.decode()
    # then the page says what it would have done, and nothing has changed
    assert "This change would have denied or put off 5 of the last 30 days&#x27; 6 messages." in page
    assert 'name="param:messages" value="1"' in page
    assert Policy.objects.get(key="contact.frequency").params == {"messages": 3, "days": 7}
    assert not Entry.objects.filter(kind="policy.changed").exists()
    # and when it is changed, it is so from today, with the reason in the ledger
    assert lead.post("/console/rule/policy/contact.frequency/", {**values, "step": "change"}).status_code == 302
    assert Policy.objects.get(key="contact.frequency").params == {"messages": 1, "days": 7}
    assert Entry.objects.get(kind="policy.changed").data["reason"] == "Complaints."


def test_nobody_has_two_trials_under_way(lead: Any, as_user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"param:messages": "1", "param:days": "7", "is_enabled": "on", "step": "try"}
    path, said = "/console/rule/policy/contact.frequency/", []
    auditor, really = as_user(factories.user("auditor")), what_if.policy

    def slow(*args: Any, **named: Any) -> Any:
        """While one is under way, the same person tries again, and somebody else tries too."""
        if len(said) == 0:
            said.append("")
            said.append(lead.post(path, values).content.decode())
            said.append(auditor.post(path, values).content.decode())
        return really(*args, **named)

    monkeypatch.setattr(what_if, "policy", slow)
    first = lead.post(path, values).content.decode()
    assert "Tried on the last 30 days" in first
    assert "You are trying a rule already; wait for its answer." in said[1]
    assert "Tried on the last 30 days" in said[2]
    # and when it has ended, the next may begin
    assert "Tried on the last 30 days" in lead.post(path, values).content.decode()


def test_values_that_no_rule_can_be_read_from_cannot_be_tried(lead: Any) -> None:
    page = lead.post(
        "/console/rule/policy/contact.quiet_hours/", {"param:start": "20:00", "param:end": "08:00", "is_enabled": "on", "step": "try"}
    ).content.decode()

    assert "It could not be tried: These values cannot be used: 20:00–08:00 is no window within a day." in page


@pytest.mark.parametrize("path", ["policy/contact.frequency/", "segment/new/"])
def test_a_change_without_a_reason_is_refused(lead: Any, path: str) -> None:
    form = {
        "param:messages": "2", "param:days": "7", "is_enabled": "on", "agent": "dunning", "segment": "pilot", "rank": "1", "sample_percent": "1",
    }  # fmt: skip

    page = lead.post(f"/console/rule/{path}", {**form, "step": "change"}, follow=True).content.decode()

    assert "Say why: the reason is kept with the change." in page
    assert not Phase.objects.filter(segment="pilot").exists()
    assert Policy.objects.get(key="contact.frequency").params["messages"] == 3


def test_a_limit_is_tried_on_past_proposals(lead: Any) -> None:
    factories.case(due_minor=400_000, retry_in_days=2)
    row = Limit.objects.get(agent="dunning", key="specialist_limit")

    page = lead.post(f"/console/rule/limit/{row.pk}/", {"value": "300000", "step": "try"}).content.decode()

    assert "This change would have needed another approval 1 of the last 30 days&#x27; 2 proposals." in page
    row.refresh_from_db()
    assert row.value == 500_000


def test_a_segment_by_plan_and_tag_is_tried_made_and_widened(lead: Any) -> None:
    # given two customers, one of them in the pilot
    inside, outside = factories.case(), factories.case()
    for case, plan in ((inside, "pro-monthly"), (outside, "basic-monthly")):
        Subscription.objects.create(
            pk=f"sub_{case.pk}", chargebee_customer_id=case.chargebee_customer_id, status="active", item_price_ids=[plan],
            currency="EUR", fetched_at=clock.now(),
        )  # fmt: skip
        built_in = {"rule": "words.origin", "outcome": "allow", "data": {"built_in": True, "lacks": []}}
        fine = {"checks": [{"rule": "rollout.phase", "outcome": "person"}, built_in]}
        case.proposals.update(verdict=fine)
    Customer.objects.filter(pk=inside.chargebee_customer_id).update(tags=["pilot"])
    form = {"agent": "dunning", "segment": "pilot", "plan": "pro-monthly, pro-yearly", "tag": "pilot", "rank": "10", "sample_percent": "0"}
    # when it is tried, then made
    page = lead.post("/console/rule/segment/new/", {**form, "step": "try"}).content.decode()
    assert "1 of the last 30 days&#x27; 1 proposals of this segment would have gone out without a person" in page
    assert not Phase.objects.filter(segment="pilot").exists()
    assert lead.post("/console/rule/segment/new/", {**form, "step": "change", "reason": "Begin small."}).status_code == 302
    # then it begins as assist, with a reason
    row = Phase.objects.get(segment="pilot")
    assert (row.phase, row.match, row.rank) == ("assist", {"plan": ["pro-monthly", "pro-yearly"], "tag": ["pilot"]}, 10)
    # and an automated one that takes in more goes back to assist
    row.phase = "automate"
    row.save()
    widened = {"rank": "10", "sample_percent": "0", "step": "change", "reason": "More."}
    assert lead.post(f"/console/rule/segment/{row.pk}/", widened).status_code == 302
    row.refresh_from_db()
    assert (row.phase, row.match) == ("assist", {})


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"rank": "ten"}, "Amount, rank and share are whole numbers."),
        ({"rank": "1001"}, "The rank is between 0 and 1,000."),
        ({"sample_percent": "101"}, "The share is between 0 and 100 percent."),
        ({"amount_max": "-1"}, "The largest amount is a whole number of reference cents."),
        ({"agent": "nobody"}, "Name the segment, and one of the agents: churn, dunning"),
        ({"segment": "everyone"}, "This agent has a segment of that name already."),
    ],
)
def test_a_segment_that_makes_no_sense_is_refused_in_words(lead: Any, form: dict[str, str], sentence: str) -> None:
    given = {"agent": "dunning", "segment": "pilot", "rank": "1", "sample_percent": "1", "step": "change", "reason": "A test."} | form

    answer = lead.post("/console/rule/segment/new/", given)

    assert (answer.status_code, sentence in answer.content.decode()) == (400, True)
    assert not Phase.objects.filter(segment="pilot").exists()


def test_the_page_of_a_customer_says_which_rule_denies_and_until_when(lead: Any) -> None:
    case = factories.case()
    Customer.objects.filter(pk=case.chargebee_customer_id).update(sms_consent="", country="XX", time_zone="")
    where = f"/console/contact/{case.chargebee_customer_id}/"

    page = lead.get(where).content.decode()

    assert "contact.consent.sms" in page
    assert "contact.country" in page
    assert "“XX” is no country we know, so its hours and days off are unknown." in page
    assert lead.get("/console/contact/cus_nobody/").status_code == 404


def test_a_customer_is_left_alone_and_taken_off_the_list_again(lead: Any) -> None:
    case = factories.case()
    where = f"/console/contact/{case.chargebee_customer_id}/"
    until = (clock.now() + timedelta(days=10)).date().isoformat()

    lead.post(where, {"what": "suppress", "kind": "do_not_contact", "channel": "email", "until": until, "reason": "By letter."})
    row = Suppression.objects.get()
    assert (row.kind, row.channel, str(row.until_on), row.is_active) == ("do_not_contact", "email", until, True)
    assert "The customer is on the list of those not to be contacted (do not contact)." in lead.get(where).content.decode()

    lead.post(where, {"what": "lift", "entry": str(row.pk), "reason": " "})
    assert Suppression.objects.filter(is_active=True).exists()
    lead.post(where, {"what": "lift", "entry": str(row.pk), "reason": "They called."})
    assert not Suppression.objects.filter(is_active=True).exists()


@pytest.mark.parametrize("form", [{"kind": "mood"}, {"kind": "hardship", "channel": "pigeon"}, {"kind": "hardship", "until": "soon"}])
def test_what_is_no_reason_channel_or_day_is_not_guessed(lead: Any, form: dict[str, str]) -> None:
    case = factories.case()

    page = lead.post(f"/console/contact/{case.chargebee_customer_id}/", {"what": "suppress", **form}, follow=True).content.decode()

    assert "Choose a reason, a channel and a day that exist." in page
    assert not Suppression.objects.exists()


def test_a_list_of_consents_is_taken_whole_and_a_newer_word_stays(lead: Any) -> None:
    Consent.objects.create(chargebee_customer_id="cus_2", channel="sms", state="denied", source="reply", recorded_at=clock.now())
    text = "customer_id,channel,state,said_on\ncus_1,sms,granted,2026-01-31\ncus_2,sms,granted,2026-01-31\ncus_3,email,denied,\n"

    lead.post("/console/consents/import/", {"list": SimpleUploadedFile("l.csv", text.encode())})

    rows = Consent.objects.order_by("chargebee_customer_id").values_list("chargebee_customer_id", "channel", "state", "source")
    assert list(rows) == [
        ("cus_1", "sms", "granted", "import"),
        ("cus_2", "sms", "denied", "reply"),
        ("cus_3", "email", "denied", "import"),
    ]


def test_a_list_with_an_unknown_state_is_not_guessed_at_and_none_of_it_counts(lead: Any) -> None:
    text = b"customer_id,channel,state,said_on\ncus_1,sms,granted,\ncus_2,sms,maybe,\ncus_3,fax,granted,\n,sms,granted,\ncus_4,sms,denied,9999-01-01\n"

    answer = lead.post("/console/consents/import/", {"list": SimpleUploadedFile("l.csv", text)})

    page = answer.content.decode()
    assert answer.status_code == 400
    assert "Nothing was imported; 4 line(s) have to be mended:" in page
    assert "Line 3: “maybe” is neither granted nor denied, and is not guessed." in page
    assert not Consent.objects.exists()


def test_what_if_knows_the_amounts_it_can_try() -> None:
    with pytest.raises(ValueError, match="cannot be tried on past proposals"):
        what_if.limit("dunning", "daily_count", 1, now=clock.now())


def test_a_models_words_are_asked_for_by_one_lead_and_confirmed_by_another(lead: Any, client: Any) -> None:
    # given an automated segment, and one past message that a second model has passed
    row = Phase.objects.get(agent="dunning", segment="everyone")
    row.phase, row.sample_to_people_percent = "automate", 0
    row.save()
    passed = {"rule": "words.origin", "outcome": "person", "data": {"built_in": False, "lacks": []}}
    factories.case().proposals.update(verdict={"checks": [passed]})
    where = f"/console/rule/phase/{row.pk}/"
    # when it is tried, then asked for
    page = lead.post(where, {"step": "try_model_words"}).content.decode()
    assert "1 of the last 30 days&#x27; 1 proposals of this segment would have gone out without a person" in page
    assert "Messages that go out by themselves</dt><dd>only the built-in texts" in page
    assert lead.post(where, {"step": "model_words", "reason": "Four months without a fault."}).status_code == 302
    # then the one who asked cannot confirm it, by button or by hand
    assert "Confirm as the second lead" not in lead.get(where).content.decode()
    lead.post(where, {"step": "confirm_model_words", "reason": "Me again."})
    row.refresh_from_db()
    assert row.model_words is False
    # and a second lead can
    client.force_login(factories.user("lead", "ruth"))
    assert "Confirm as the second lead" in client.get(where).content.decode()
    assert client.post(where, {"step": "confirm_model_words", "reason": "I have read fifty."}).status_code == 302
    row.refresh_from_db()
    assert row.model_words is True
