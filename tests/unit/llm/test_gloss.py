"""A message in English: known lines from the built-in texts, the rest from a model, and facts that go through untouched."""

from __future__ import annotations

from typing import Any

import pytest

from agents.platform.llm import gateway, gloss
from approvals.contract import Words
from approvals.drafts import built_in

CASE = {"stage": "reminder", "reason_category": "insufficient_funds", "tone": "warm"}
SLOTS = ("customer.first_name", "invoice.number", "invoice.amount_due", "invoice.due_date", "links.pay", "retry.date", "sender.name")


def _written(language: str, channel: str = "email") -> Words:
    said = built_in.compose({**CASE, "language": language, "channel": channel, "allowed_slots": SLOTS})
    return Words(channel, language, "warm", said["subject"], said["body"])  # type: ignore[arg-type]  # the two channels below


@pytest.mark.parametrize("language", [*sorted(set(built_in.languages()) - {"en"}), "pt-BR", "de-CH"])
@pytest.mark.parametrize("channel", ["email", "sms"])
def test_what_the_built_in_writer_wrote_reads_as_its_english_sister(language: str, channel: str) -> None:
    english = _written("en", channel)

    said = gloss.in_english(_written(language, channel), agent="dunning", trace_id="0" * 32)

    assert (said.subject, said.body) == (english.subject, english.body)
    assert (said.by, said.unknown) == ("built-in", 0)


def test_without_a_model_what_a_person_added_stays_and_is_counted(settings: Any) -> None:
    settings.LLM_MODEL = "offline/collector"
    german = _written("de")
    edited = Words("email", "de", "warm", german.subject, german.body + "\n\nVielen Dank für Ihre Geduld.")

    said = gloss.in_english(edited, agent="dunning", trace_id="0" * 32)

    assert said.unknown == 1
    assert said.body == _written("en").body + "\n\nVielen Dank für Ihre Geduld."


def _answering(monkeypatch: pytest.MonkeyPatch, subject: str, lines: list[str]) -> list[dict[str, Any]]:
    """The gateway with a model that says this; what it was asked comes back."""
    asked: list[dict[str, Any]] = []

    def complete_json(**given: Any) -> Any:
        asked.append(given)
        return gateway.JsonAnswer(gloss.GlossSchema(subject=subject, lines=lines), "some/model", "0" * 64)

    monkeypatch.setattr(gateway, "complete_json", complete_json)
    return asked


def test_a_model_is_asked_for_what_the_book_does_not_have_and_never_sees_a_name(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.LLM_MODEL = "some/model"
    asked = _answering(monkeypatch, "About your invoice", ["Please pay {{ invoice.amount_due }}."])
    words = Words("email", "tr", "warm", "Faturanız", "Lütfen {{ invoice.amount_due }} ödeyin.")

    said = gloss.in_english(words, agent="dunning", trace_id="0" * 32, never_send=("Ayşe",))

    assert (said.subject, said.body, said.by) == ("About your invoice", "Please pay {{ invoice.amount_due }}.", "some/model")
    assert asked[0]["variables"] == {"language": "tr", "subject": "Faturanız", "lines": ("Lütfen {{ invoice.amount_due }} ödeyin.",)}
    assert asked[0]["never_send"] == ("Ayşe",)


@pytest.mark.parametrize("line", ["Please pay.", "Please pay {{ invoice.amount_due }} by {{ invoice.due_date }}."])
def test_english_that_loses_or_makes_up_a_fact_is_not_shown(settings: Any, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    settings.LLM_MODEL = "some/model"
    _answering(monkeypatch, "About your invoice", [line])
    words = Words("email", "tr", "warm", "Faturanız", "Lütfen {{ invoice.amount_due }} ödeyin.")

    said = gloss.in_english(words, agent="dunning", trace_id="0" * 32)

    assert said.body == words.body
    assert said.unknown == 2
    assert "left out or made up a fact" in said.notes[0]


def test_english_needs_no_gloss() -> None:
    assert gloss.is_english(_written("en"))
    assert not gloss.is_english(_written("de"))
