"""The brand: who signs, what the model is told, what the verifier stops, and a look at it before it is saved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from approvals import brand
from approvals.drafts.render import SlotDraft, render
from approvals.models import Policy
from approvals.policy import rules
from approvals.revisions import draft_policy
from tests.factories import PASSWORD, user
from tests.unit.drafts.cases import facts

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _rules() -> Any:
    rules.forget()
    yield
    rules.forget()


def page(**form: str) -> str:
    client = Client()
    client.login(username=user("auditor").username, password=PASSWORD)
    return client.get(reverse("console:brand"), form).content.decode()


def test_values_are_seen_before_they_are_saved() -> None:
    text = page(
        language="de", stage="reminder", tone="warm", sender_name="Ines Duarte", signature="Forderungen, Haus Nord", do="mention the plan"
    )
    assert "Herzliche Grüße\nInes Duarte\n" in text
    assert "Forderungen, Haus Nord" in text
    assert "House style. Do: mention the plan." in text
    assert "The verifier finds nothing." in text
    assert brand.current() == brand.Brand()


def test_a_forbidden_word_in_our_own_text_is_shown() -> None:
    assert "Words this vendor does not want to use" in page(forbidden_words="disregard")


def test_what_a_lead_has_set_is_in_force() -> None:
    row = Policy.objects.get(key=brand.KEY)
    row.params = {"sender_name": " Ines  Duarte ", "do": ["say hello.", 7], "do_not": ["joke"], "forbidden_words": ["dunning"]}
    row.save()
    rules.forget()
    assert brand.current() == brand.Brand("Ines Duarte", "", ("say hello",), ("joke",), ("dunning",))
    assert draft_policy().forbidden_words == ("dunning",)
    row.is_enabled = False
    row.save()
    rules.forget()
    assert brand.current() == brand.Brand()


def test_the_signature_stands_under_the_sender_and_no_name_stands_twice() -> None:
    draft = SlotDraft("", "Hello.\n\n{{ sender.name }}\n{{ vendor.name }}")
    assert render(draft, facts()).text == "Hello.\n\nDana Whitfield\nHarbour"
    assert render(draft, replace(facts(), sender_name="Harbour")).text == "Hello.\n\nHarbour"
    below = SlotDraft("", f"{draft.body}\nThank you.")
    assert render(below, replace(facts(), sender_name="Harbour")).text == "Hello.\n\nHarbour\nThank you."
    assert render(draft, facts(signature="Accounts, north")).text == "Hello.\n\nDana Whitfield\nHarbour\nAccounts, north"
    assert render(SlotDraft("", "Pay. {{ sender.name }}", "sms"), facts(signature="Accounts")).text == "Pay. Dana Whitfield"
