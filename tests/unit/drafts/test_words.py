"""Every entry of every word list can be compiled, and means what the little pattern language says."""

from __future__ import annotations

import re

import pytest

from approvals.drafts.folding import FILL, fold_pattern
from approvals.drafts.words import CONSTRUCTIONS, PHRASE_RULES, has_full_lists, lexicon, supported_languages, to_regex
from tests.unit.drafts.cases import facts, mail, rules


@pytest.mark.parametrize("language", sorted(supported_languages()))
def test_every_list_of_a_language_compiles(language: str) -> None:
    words = lexicon(language)
    assert words is not None
    assert {rule for rule in PHRASE_RULES if not words.phrases[rule]} == set()
    for name, entries in words.lists.items():
        for entry in entries:
            assert re.compile(to_regex(entry, words.is_spaced)), (name, entry)
        words.any_of(name)
        words.words_in(name)


@pytest.mark.parametrize(
    ("entry", "text", "is_match"),
    [
        ("lösch*", "loschung", True),
        ("*lösch*", "abgeloscht", True),
        ("*lösch*", "abgeholt", False),
        ("(ab|auf)* machen", "abzug machen", True),
        ("extra time", "extra   time", True),
        ("send ... card", "send us your new card", True),
        ("send ... card", "send it. the card", False),
        ("colou?r", "color", True),
        ("will .{0,9}stop", "will all stop", True),
        ("will .{0,9}stop", "will. then stop", False),
        ("will .{0,9}stop", "will in the end stop", False),
    ],
)
def test_the_pattern_language(entry: str, text: str, is_match: bool) -> None:
    assert (re.fullmatch(to_regex(entry, is_spaced=True), text) is not None) is is_match


def test_an_entry_with_a_counted_gap_is_looked_for_where_its_words_are() -> None:
    words = lexicon("hi")
    assert words is not None
    assert "consequence" in words.scan(fold_pattern("आपकी सेवा कल से बंद हो जाएगी।"))
    assert "false_urgency" not in words.scan(fold_pattern("चालान अभी तक खुला है।"))


@pytest.mark.parametrize("language", sorted(supported_languages()))
def test_every_language_that_we_claim_has_the_kinds_of_words(language: str) -> None:
    assert has_full_lists(language)


@pytest.mark.parametrize(
    ("line", "is_urgent"),
    [
        ("Hier können Sie in einer Minute bezahlen.", False),
        ("Das ist in einer Minute erledigt.", False),
        ("In einer Minute sperren wir das Konto.", True),
        ("Zahlen Sie in einer Stunde.", True),
        ("Zahlen Sie in den nächsten Minuten.", True),
    ],
)
def test_how_little_time_paying_takes_is_no_deadline_in_german(line: str, is_urgent: bool) -> None:
    words = lexicon("de")
    assert words is not None
    assert ("false_urgency" in words.scan(fold_pattern(line))) is is_urgent


@pytest.mark.parametrize(
    ("language", "sentence", "rule", "is_found"),
    [
        ("de", "das geld ist inzwischen eingegangen", "state_claim", True),
        ("de", "eingegangen ist das geld", "state_claim", True),
        ("de", "eingegangen ist alles. das geld fehlt", "state_claim", False),
        ("en", "it is the last time that we write", "false_urgency", True),
        ("en", "we write because the last charge failed", "false_urgency", False),
        ("en", "pay before friday", "false_urgency", True),
        ("en", f"it should have been paid by friday, {FILL}", "false_urgency", False),
    ],
)
def test_two_kinds_of_words_together(language: str, sentence: str, rule: str, is_found: bool) -> None:
    words = lexicon(language)
    assert words is not None
    assert bool(words.scan(sentence).get(rule)) is is_found
    assert {kind for _, one, other, _ in CONSTRUCTIONS for kind in (one, other)} == words.kinds.keys()


@pytest.mark.parametrize(
    ("line", "is_claim"),
    [
        ("No payment has reached us so far.", False),
        ("Your payment has reached us.", True),
        ("There is nothing more for you to do if you have paid.", False),
        ("There is nothing more for you to do.", True),
    ],
)
def test_a_denial_and_an_if_claim_nothing(line: str, is_claim: bool) -> None:
    assert ("state_claim" in rules(mail(line), facts())) is is_claim
