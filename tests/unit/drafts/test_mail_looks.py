"""What every mail owes its reader: language and direction said, contrast in light and dark, links with words, tables with heads, room on a telephone."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from html.parser import HTMLParser

import pytest

from approvals.drafts import built_in, fixed_words, html
from approvals.drafts.facts import DraftFacts, Invoice
from approvals.drafts.render import SlotDraft, render
from approvals.drafts.sms import size, to_gsm_spacing
from approvals.policy import consent
from billing_ai.kernel.money import Money
from tests.unit.drafts.cases import facts
from tests.unit.llm import cases as written

OUT = "https://pay.example.com/out/abc"
LONG_NUMBER = "INV-2025-EMEA-000000000060015-RECURRING"


@dataclass(frozen=True)
class Element:
    """An element as a mail program has it: what it is, its attributes, its own words, and the colours that reach it in light and dark."""

    tag: str
    attributes: dict[str, str]
    words: str
    light: tuple[str, str]
    dark: tuple[str, str]


class _Reading(HTMLParser):
    """Elements with the colours they inherit; a class overrides the inline colour in dark mode, as `!important` does."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        sheet = re.search(r"<style>(.*?)</style>", page)
        assert sheet is not None
        self.sheet = {name: _colours(rules) for name, rules in re.findall(r"\.(\w+)\{([^}]*)\}", sheet.group(1))}
        self.open: list[tuple[str, dict[str, str], list[str], tuple[str, str], tuple[str, str]]] = []
        self.found: list[Element] = []
        self.feed(page)
        assert self.open == []  # every element is closed

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.VOID:
            return
        known = {name: value or "" for name, value in attrs}
        light, dark = (self.open[-1][3], self.open[-1][4]) if self.open else (("", ""), ("", ""))
        own = _colours(known.get("style", ""))
        light = (own[0] or light[0], own[1] or light[1])
        dark = (own[0] or dark[0], own[1] or dark[1])
        for name in known.get("class", "").split():
            there = self.sheet[name]
            dark = (there[0] or dark[0], there[1] or dark[1])
        self.open.append((tag, known, [], light, dark))

    def handle_data(self, data: str) -> None:
        if self.open:
            self.open[-1][2].append(data)

    def handle_endtag(self, tag: str) -> None:
        kind, known, words, light, dark = self.open.pop()
        assert kind == tag
        if self.open and kind == "span":
            self.open[-1][2].extend(words)
        self.found.append(Element(kind, known, "".join(words).strip(), light, dark))


def _colours(style: str) -> tuple[str, str]:
    rules = dict(part.split(":", 1) for part in style.split(";") if ":" in part)
    return rules.get("color", "").replace("!important", ""), rules.get("background", "").replace("!important", "")


def _contrast(colours: tuple[str, str]) -> float:
    """WCAG 2.2's ratio of two `#rrggbb`."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(colour) for colour in colours), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def mail(locale: str, body: str | None = None, **changes: object) -> list[Element]:
    """The elements of a mail with everything a mail can have, in a locale."""
    about = _about(locale, **changes)
    text = (
        body
        or "Hi,\n\n{{ invoice.amount_due }}\n{{ invoices.open_list }}\n\n[Pay]({{ links.pay }})\n\n{{ support.email }}\n\n{{ sender.name }}"
    )
    page = render(SlotDraft("A & B", text), about).html
    assert page is not None
    return _Reading(page).found


def _about(locale: str, **changes: object) -> DraftFacts:
    other = Invoice("in_2", LONG_NUMBER, Money(98765432109, "USD"), date(2025, 8, 1), date(2025, 8, 15))
    return facts(locale, other_invoices=(other,), opt_out_link=OUT, **changes)


def of(elements: list[Element], tag: str) -> list[Element]:
    return [one for one in elements if one.tag == tag]


@lru_cache(maxsize=1)
def built_in_mails() -> list[tuple[str, str]]:
    """A built-in mail of each language, stage and ask, with its page."""
    pages = []
    for number, locale in enumerate(written.every_language()):
        for place, category in enumerate(written.CATEGORIES):
            about = replace(written.facts(locale, several=bool(place % 2)), opt_out_link=OUT)
            stage, tone = written.STAGES[(number + place) % 4], written.TONES[(number + place) % 3]
            answer = built_in.compose(written.case(about, category=category, stage=stage, tone=tone, channel="email", value="high"))
            page = render(SlotDraft(answer["subject"], answer["body"]), about).html
            assert page is not None
            pages.append((f"{locale} {category} {stage} {tone}", page))
    return pages


def test_every_word_can_be_read_in_light_and_in_dark() -> None:
    for where, page in built_in_mails():
        for one in _Reading(page).found:
            if one.words and one.tag not in ("style", "title"):
                assert _contrast(one.light) >= 7, (where, one)
                assert _contrast(one.dark) >= 7, (where, one)


def test_every_link_has_words_of_its_own_and_stands_out() -> None:
    for where, page in built_in_mails():
        links = of(_Reading(page).found, "a")
        assert len(links) >= 2, where
        for link in links:
            assert link.words, where
            assert link.words != link.attributes["href"], where
            # told from the text around it by more than its colour: underlined, or a button with a ground of its own
            assert "text-decoration" not in link.attributes["style"] or "button" in link.attributes["class"], where


@pytest.mark.parametrize(("locale", "lang", "direction"), [("de-CH", "de-CH", "ltr"), ("ja-JP", "ja-JP", "ltr"), ("he-IL", "he-IL", "rtl"), ("ar-EG", "ar-EG", "rtl")])  # fmt: skip
def test_a_mail_says_its_language_and_direction(locale: str, lang: str, direction: str) -> None:
    elements = mail(locale)
    for tag in ("html", "div"):
        assert [(one.attributes["lang"], one.attributes["dir"]) for one in of(elements, tag)] == [(lang, direction)]
    assert of(elements, "div")[0].attributes["aria-label"] == "A & B"
    assert of(elements, "title")[0].words == "A & B"


def test_the_list_of_invoices_is_a_table_with_heads_in_the_readers_language() -> None:
    elements = mail("fr-FR")
    heads = of(elements, "th")
    assert [(one.attributes["scope"], one.words) for one in heads[:2]] == [("col", "Facture"), ("col", "Montant dû")]
    assert of(elements, "thead")[0].attributes["lang"] == "fr"
    assert [one.attributes["scope"] for one in heads[2:]] == ["row", "row"]
    assert [one.words for one in of(elements, "span") if "échéance" in one.words] == [
        "échéance\u00a0: 15 août 2025",
        "échéance\u00a0: 16 sept. 2025",
    ]


def test_a_table_read_from_the_right_begins_at_the_right() -> None:
    for locale, start, end in (("en-GB", "left", "right"), ("he-IL", "right", "left")):
        elements = mail(locale)
        assert all(f"text-align:{start}" in one.attributes["style"] for one in of(elements, "th") if one.attributes["scope"] == "row")
        assert all(f"text-align:{end}" in one.attributes["style"] for one in of(elements, "td"))


def test_words_read_the_other_way_than_the_mail_are_set_their_own_way() -> None:
    """A built-in text that waits for its translation, and a name or number inside a Hebrew sentence."""
    body = "Hello {{ customer.first_name }},\n\n{{ invoice.number }} לתשלום\n\n{{ sender.name }}"
    paragraphs = of(mail("he-IL", body), "p")
    assert [one.attributes.get("dir") for one in paragraphs[:3]] == ["ltr", None, None]
    assert [one.attributes["dir"] for one in of(mail("he-IL", body), "span")] == ["auto"] * 3
    assert [one.attributes.get("dir") for one in of(mail("en-GB", body), "p")[:3]] == [None, "rtl", None]


def test_what_is_short_stays_on_one_line_and_what_is_long_may_break() -> None:
    page = render(SlotDraft("", "{{ invoice.number }} {{ invoice.amount_due }}"), _about("de-DE")).html
    assert page is not None
    assert '<span style="white-space:nowrap">QX-4100</span>' in page
    long = facts(invoice=replace(facts().invoice, number=LONG_NUMBER))
    page = render(SlotDraft("", "{{ invoice.number }}"), long).html
    assert page is not None
    assert f">{LONG_NUMBER}</p>" in page
    assert "overflow-wrap:anywhere" in page


def test_a_footer_without_words_in_the_customers_language_is_marked_as_english() -> None:
    foot = of(mail("sw-KE"), "p")[-1]
    assert (foot.attributes["lang"], foot.words) == ("en", "To receive no more e-mails of this kind:")
    assert of(mail("sw-KE"), "a")[-1].words == "unsubscribe"


def test_every_language_has_all_fixed_words() -> None:
    known = json.loads(fixed_words._FILE.read_text(encoding="utf-8"))
    assert len(known) == 28
    for language, words in known.items():
        assert all(value for name, value in words.items() if name not in ("stop_words", "help_words")), language
        shown = fixed_words.fixed_words(language)
        assert (shown.language, shown.due) == (language, words["due"])
        # the word that the customer is told to send is one that we take for an opt-out
        assert re.findall(r"[A-Z]{4}", shown.sms_opt_out) == ["STOP"], language
        assert consent.asks_for("STOP") == "opt_out"
        assert shown.mail_opt_out.endswith((":", "：")), language


@pytest.mark.parametrize("words", fixed_words.in_every_language(), ids=lambda words: words.language)
def test_what_answers_a_text_message_fits_two_segments_and_its_words_are_understood(words: fixed_words.FixedWords) -> None:
    for text, keyword in ((words.sms_help, "STOP"), (words.sms_stopped, "START")):
        said = text.format(vendor="Northwind Cloud", support="billing@northwind.example")
        assert size(to_gsm_spacing(said)).segments <= 2
        assert keyword in said
        assert consent.asks_for(keyword) != ""
    assert {consent.asks_for(f" {word.upper()}! ") for word in words.stop_words} <= {"opt_out"}
    assert {consent.asks_for(word) for word in words.help_words} <= {"help"}


def test_nothing_is_fetched_when_a_mail_is_opened() -> None:
    for where, page in built_in_mails():
        assert not re.search(r"<img|<link|<script|url\(|@import|src=", page), where
    assert html.MARKDOWN_LINK.search("[a](https://x.example)") is None
