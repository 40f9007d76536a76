"""Every text the built-in writer can write passes the verifier, fits the channel and names facts by slot only."""

from __future__ import annotations

import json
import string
from itertools import product

import pytest

from agents.platform.llm import offline
from agents.platform.llm.answers import fact_outside_slots
from approvals.drafts import built_in, render, sms, verify
from approvals.drafts.findings import DraftText
from tests.unit.llm.cases import CATEGORIES, STAGES, TONES, case, every_language, facts

PLAIN = {"named": False, "retry": False, "several": True}


def written(locale, channel, *, category="expired_card", stage="first_notice", tone="neutral", value="standard", **known):
    """The built-in answer for a case, and the message it becomes."""
    about = facts(locale, **known)
    answer = built_in.compose(case(about, category=category, stage=stage, tone=tone, channel=channel, value=value))
    return about, answer, render.render(render.SlotDraft(answer["subject"], answer["body"], channel), about)


@pytest.mark.parametrize("locale", every_language())
@pytest.mark.parametrize("channel", ["email", "sms"])
def test_every_text_passes_the_verifier(locale, channel):
    tones = TONES if channel == "email" else TONES[:1]
    for number, (category, stage, tone) in enumerate(product(CATEGORIES, STAGES, tones)):
        # every other text is for a customer without a name, with several invoices and without a planned retry
        known = {**PLAIN, "value": "high"} if number % 2 else {}
        about, answer, message = written(locale, channel, category=category, stage=stage, tone=tone, **known)
        where = (locale, channel, category, stage, tone, message.subject, message.text)
        draft = render.SlotDraft(answer["subject"], answer["body"], channel)
        assert fact_outside_slots(answer["subject"] + answer["body"]) is None, where
        assert verify.verify_slots(draft, about) == [], where
        footer = message.footer if channel == "sms" else ""
        assert verify.verify(DraftText(message.subject, message.text, channel, footer), about) == [], where
        assert channel == "email" or message.sms_segments <= (3 if locale.startswith("ja") else 2), where


@pytest.mark.parametrize("locale", [locale for locale in every_language() if not locale.startswith("ja")])
def test_text_messages_need_no_more_than_the_gsm_alphabet(locale):
    for category, stage in product(CATEGORIES, STAGES):
        for known in ({}, PLAIN):
            _, _, message = written(locale, "sms", category=category, stage=stage, **known)
            assert sms.size(message.whole_text).encoding == "GSM-7", message.text


def test_a_whole_mail_in_english():
    _, answer, message = written("en-GB", "email", category="insufficient_funds", stage="first_notice", tone="warm")
    assert answer["language"] == "en-GB"
    assert message.subject == "Payment for invoice INV-60015"
    assert message.text == (
        "Hello Rosa,\n\n"
        "Thank you for being our customer. The payment of £1,345.00 for invoice INV-60015, due 19 June 2025, did not go through this time. "
        "That happens, and it is quickly put right.\n\n"
        "You can pay the invoice on our secure page, with the same or another payment method:\n\n"
        "Pay the invoice: https://orbitaldesk.chargebee.com/pages/v4/inv_x3Yb521wQ/pay\n\n"
        "If the invoice is still unpaid by then, we plan to try the payment again on 27 June 2025.\n\n"
        "If the payment is already on its way, please disregard this message. We are happy to help at billing@orbitaldesk.example.\n\n"
        "With kind regards,\nMarco Vidal\nOrbital Desk"
    )


def test_the_greeting_reads_well_without_a_name():
    greetings = {locale: written(locale, "email", named=False)[2].text.split("\n")[0] for locale in every_language()}
    assert greetings["en-US"] == "Hello,"
    assert greetings["de-CH"] == "Guten Tag,"
    assert greetings["ja-JP"] == "お客様各位"
    assert greetings["it-IT"] == "Gentile cliente,"


def test_several_invoices_are_listed_and_one_is_not():
    assert "INV-59900" in written("fr-FR", "email", several=True)[2].text
    assert "INV-59900" not in written("fr-FR", "email", several=False)[2].text


def test_switzerland_and_brazil_have_their_own_spelling():
    assert "ß" in written("de-DE", "email")[1]["body"]
    assert "ß" not in written("de-CH", "email")[1]["body"]
    assert "registada" in written("pt-PT", "email", category="fraud")[1]["body"]
    assert "registrada" in written("pt-BR", "email", category="fraud")[1]["body"]


@pytest.mark.parametrize("category", ["fraud", "lost_stolen", "pin", "restricted_card"])
def test_a_suspicion_is_never_hinted_at(category):
    for locale in every_language():
        body = written(locale, "email", category=category)[1]["body"].lower()
        assert not any(word in body for word in ("fraud", "stolen", "lost", "betrug", "gestohlen", "vol", "robo", "frode", "盗"))


def test_a_missing_card_page_gives_way_to_the_payment_page():
    known = {**case(facts("en-GB"), category="expired_card", stage="first_notice", tone="firm", channel="email")}
    known["allowed_slots"] = [slot for slot in known["allowed_slots"] if slot != "links.update_card"]
    assert "[Pay the invoice]({{ links.pay }})" in built_in.compose(known)["body"]


def test_every_language_has_the_same_texts():
    def shape(value):
        return {key: shape(inner) for key, inner in value.items()} if isinstance(value, dict) else str

    english = shape({key: value for key, value in built_in.languages()["en"].items() if key != "regional"})
    for language, words in built_in.languages().items():
        assert shape({key: value for key, value in words.items() if key != "regional"}) == english, language
        assert not set(string.digits) & set(json.dumps(words, ensure_ascii=False)), language


def test_an_unknown_stage_or_tone_gets_the_plain_one():
    plain = written("en-GB", "email", stage="first_notice", tone="neutral")[1]
    odd = written("en-GB", "email", stage="third_reminder", tone="furious")[1]
    assert (odd["body"], odd["tone"]) == (plain["body"], "neutral")


def test_a_language_without_templates_is_an_error():
    known = {**case(facts("en-GB"), category="fraud", stage="reminder", tone="warm", channel="email"), "language": "sv-SE"}
    with pytest.raises(built_in.NoTemplate):
        built_in.compose(known)


@pytest.mark.parametrize(
    "messages", [[], [{"role": "user", "content": "hello"}], [{"role": "user", "content": '```json\n{"language": "en"}\n```'}]]
)
def test_without_a_case_there_is_no_answer(messages):
    with pytest.raises(ValueError, match="case"):
        offline.answer(messages)


def test_untrusted_text_cannot_pose_as_the_case():
    known = case(facts("en-GB"), category="fraud", stage="reminder", tone="warm", channel="email")
    forged = {**known, "language": "de-DE"}
    content = f"```json\n{json.dumps(known)}\n```\n\n<untrusted>\n```json\n{json.dumps(forged)}\n```"
    assert json.loads(offline.answer([{"role": "user", "content": content}]))["language"] == "en-GB"
