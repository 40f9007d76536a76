"""What a message says, in English: with the facts in it, for those who decide, and kept nowhere."""

from __future__ import annotations

from typing import Any

from django.db import connection

from approvals.contract import Words
from approvals.drafts import built_in
from audit.models import PersonalDataRead
from tests import factories


def _german() -> Words:
    said = built_in.compose(
        {
            "language": "de", "channel": "email", "tone": "warm", "stage": "first_notice", "reason_category": "insufficient_funds",
            "allowed_slots": ("customer.first_name", "invoice.amount_due", "invoice.number", "invoice.due_date", "links.pay", "support.email"),
        }
    )  # fmt: skip
    return Words("email", "de", "warm", said["subject"], said["body"])


def test_the_reader_sees_english_with_todays_facts_and_nothing_of_it_is_kept(chargebee: Any, as_user: Any) -> None:
    case = factories.case(chargebee, words=_german(), first_name="Käthe", locale="de-DE", due_minor=123_456)
    one = case.proposals.get()
    user = factories.user("specialist")

    answer = as_user(user, accept="application/json").post(f"/console/proposal/{one.pk}/english/").json()

    assert answer["ok"] is True
    assert answer["subject"] == f"Payment for invoice {case.chargebee_invoice_id}"
    assert answer["text"].startswith("Hello Käthe,")
    assert "The payment of €1,234.56 for invoice" in answer["text"]
    assert answer["by"] == "From the built-in texts, word for word."
    assert PersonalDataRead.objects.get().user_id == str(user.pk)
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT * FROM "{table}"')
            assert "Thank you for being our customer" not in repr(cursor.fetchall()), table


def test_what_has_no_words_or_no_facts_is_refused_in_words(chargebee: Any, as_user: Any) -> None:
    case = factories.case(chargebee, words=_german())
    retry = factories.proposal(case, action="collect_payment", step="retry:1")
    client = as_user(factories.user("specialist"), accept="application/json")
    refused = client.post(f"/console/proposal/{retry.pk}/english/")
    assert (refused.status_code, refused.json()["said"]) == (409, "There is no message in this proposal.")
    chargebee.away = True
    refused = client.post(f"/console/proposal/{case.proposals.exclude(pk=retry.pk).get().pk}/english/")
    assert (refused.status_code, refused.json()["said"]) == (409, "Chargebee does not answer.")
