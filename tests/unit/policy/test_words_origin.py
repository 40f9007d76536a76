"""Whose words a message is in is proved from the text: composed again, hashed again, never read off a label."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from approvals.contract import Words
from approvals.drafts import built_in
from approvals.policy import words_origin
from approvals.policy.words_origin import Origin, kept, of, would_go

CASE: dict[str, Any] = {
    "language": "de-CH",
    "channel": "email",
    "tone": "neutral",
    "stage": "reminder",
    "reason_category": "expired_card",
    "allowed_slots": ["customer.first_name", "invoice.amount_due", "invoice.number", "links.pay", "links.update_card", "retry.date"],
    "value": "high",
    "open_invoices": 2,
}
JUDGE = "openai/judge"


def composed(case: dict[str, Any]) -> Words:
    text = built_in.compose(case)
    return Words(case["channel"], case["language"], text["tone"], text["subject"], text["body"])


def origin(words: Words | None, payload: dict[str, Any], **more: Any) -> Origin:
    return of(words, payload, **{"is_edited": False, "has_findings": False, "judge_model": "", **more})


MODELS = Words("email", "en-GB", "neutral", "Your invoice {{ invoice.number }}", "Please pay here: {{ links.pay }}")


@pytest.mark.parametrize("language", [*sorted(built_in.languages()), "de_CH", "pt-BR", "es-MX"])
def test_a_built_in_text_is_known_by_composing_it_again(language: str) -> None:
    for stage, tone, channel, category in itertools.product(
        ("first_notice", "last_notice", "check_in"), ("warm", "firm"), ("email", "sms"), ("insufficient_funds", "fraud")
    ):
        case = {**CASE, "language": language, "stage": stage, "tone": tone, "channel": channel, "reason_category": category}
        words = composed(case)

        found = origin(words, kept(case, words, "", "none"))

        assert found.built_in.startswith("Built-in text"), case
        assert words_origin.check(found, others_may_go=False).outcome == "allow"


@pytest.mark.parametrize(
    "change", ["a letter", "a space", "the subject", "another language", "another channel", "another stage", "no claim"]
)
def test_one_character_makes_it_somebody_elses_words(change: str) -> None:
    words = composed(CASE)
    payload = kept(CASE, words, "", "none")
    if change == "another stage":
        payload = kept({**CASE, "stage": "first_notice"}, words, "", "none")
    elif change == "no claim":
        payload = {}
    else:
        words = {
            "a letter": Words("email", "de-CH", words.tone, words.subject, words.body.replace("e", "o", 1)),
            "a space": Words("email", "de-CH", words.tone, words.subject, words.body + " "),
            "the subject": Words("email", "de-CH", words.tone, words.subject + "!", words.body),
            "another language": Words("email", "de-DE", words.tone, words.subject, words.body),
            "another channel": Words("sms", "de-CH", words.tone, words.subject, words.body),
        }[change]

    found = origin(words, payload)

    assert found.built_in == ""
    assert words_origin.check(found, others_may_go=False).outcome == "person"


@pytest.mark.parametrize(
    "claim",
    [None, "template", [], {}, {"composed_for": None}, {"composed_for": {}}, {"composed_for": {**CASE, "language": "tlh"}},
     {"composed_for": {**CASE, "allowed_slots": None}}, {"composed_for": {**CASE, "open_invoices": "two"}},
     {"composed_for": {**CASE, "tone": []}}, {"composed_for": {**CASE, "language": 5}}, {"composed_for": CASE, "judge": "pass"}],
)  # fmt: skip
def test_whatever_a_payload_claims_other_words_stay_other_words(claim: Any) -> None:
    found = origin(MODELS, {"origin": claim, "words_from": "template"}, judge_model=JUDGE)

    assert (found.built_in, found.lacks) == ("", ("no second model has passed exactly these words",))


@pytest.mark.parametrize(
    ("more", "words", "judged", "lacks"),
    [
        ({}, MODELS, (JUDGE, "pass"), ()),
        ({"judge_model": ""}, MODELS, ("", "pass"), ("no second model has passed exactly these words",)),
        ({"judge_model": "openai/another"}, MODELS, (JUDGE, "pass"), ("no second model has passed exactly these words",)),
        ({}, MODELS, (JUDGE, "person"), ("no second model has passed exactly these words",)),
        ({"has_findings": True}, MODELS, (JUDGE, "pass"), ("the verifier found something in it",)),
        ({"is_edited": True}, MODELS, (JUDGE, "pass"), ("a person has edited it",)),
        ({}, Words("email", "et", "warm", "Arve", "Palun makske."), (JUDGE, "pass"), ("there are no full word lists for its language",)),
    ],
)
def test_what_a_models_words_lack(more: dict[str, Any], words: Words, judged: tuple[str, str], lacks: tuple[str, ...]) -> None:
    found = origin(words, kept(CASE, words, *judged), **{"judge_model": JUDGE, **more})

    assert found == Origin(lacks=lacks)
    assert words_origin.check(found, others_may_go=True).outcome == ("person" if lacks else "allow")
    assert words_origin.check(found, others_may_go=False).outcome == "person"


def test_what_a_judge_passed_is_those_words_and_no_others() -> None:
    payload = kept(CASE, MODELS, JUDGE, "pass")
    longer = Words("email", "en-GB", "neutral", MODELS.subject, MODELS.body + " Or else.")

    assert origin(MODELS, payload, judge_model=JUDGE).lacks == ()
    assert origin(longer, payload, judge_model=JUDGE).lacks == ("no second model has passed exactly these words",)


def test_words_that_cannot_be_read_go_to_a_person() -> None:
    assert words_origin.check(origin(None, kept(CASE, MODELS, JUDGE, "pass"), judge_model=JUDGE), others_may_go=True).outcome == "person"
    assert words_origin.check(None, others_may_go=True).outcome == "person"


def test_a_stored_check_tells_what_another_setting_would_do() -> None:
    passed = origin(MODELS, kept(CASE, MODELS, JUDGE, "pass"), judge_model=JUDGE)
    stored = words_origin.check(passed, others_may_go=False).as_json()
    lacking = words_origin.check(origin(MODELS, {}), others_may_go=False).as_json()
    ours = words_origin.check(origin(composed(CASE), kept(CASE, composed(CASE), "", "none")), others_may_go=False).as_json()

    assert [would_go(one, others_may_go=True) for one in (stored, lacking, ours, {})] == [True, False, True, False]
    assert [would_go(one, others_may_go=False) for one in (stored, lacking, ours, {})] == [False, False, True, False]
