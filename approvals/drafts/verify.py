"""The verifier: a draft, the facts, the policy in; findings out. Pure, and never raises on any text.

It runs on a model's output, on rendered text, on every human edit, and once more before sending.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from approvals.drafts import slots
from approvals.drafts.calendars import calendar
from approvals.drafts.case import Case, finding
from approvals.drafts.date_rules import check_clock, check_dates, check_durations, take_out_as_of
from approvals.drafts.facts import DraftFacts
from approvals.drafts.findings import DraftPolicy, DraftText, Finding, is_sendable
from approvals.drafts.folding import UNSPACED, Reading
from approvals.drafts.form_rules import check_forbidden, check_headers, check_hidden, check_length, check_placeholders, check_shouting
from approvals.drafts.injection_rules import check_echoes
from approvals.drafts.language_rules import check_language
from approvals.drafts.link_rules import check_has_link, check_links, check_phones
from approvals.drafts.locales import language_of
from approvals.drafts.money_rules import check_amounts_in_words, check_bare_numbers, check_due_is_named, check_money
from approvals.drafts.name_rules import check_greeting, check_signature
from approvals.drafts.phrase_rules import check_percentages, check_phrases
from approvals.drafts.privacy_rules import check_privacy
from approvals.drafts.reference_rules import check_references, take_out_known
from approvals.drafts.render import SlotDraft
from approvals.drafts.stranger_rules import check_companies, check_strangers
from approvals.drafts.words import supported_languages

__all__ = ["DraftPolicy", "DraftText", "Finding", "is_sendable", "verify", "verify_slots"]

_HARD_CAP = 20_000


def verify(output: DraftText, facts: DraftFacts, policy: DraftPolicy | None = None) -> list[Finding]:
    """Everything wrong with a message as text, in the order of the text. Empty means nothing was found. Never raises."""
    case = Case(facts, policy or DraftPolicy())
    if len(output.body) > _HARD_CAP or len(output.subject) > _HARD_CAP:
        return [Finding("too_long", "block", "body", None, f"{len(output.body)} characters", f"at most {case.policy.max_body_characters}")]
    findings: list[Finding] = []
    body = Reading("body", output.body)
    parts = [Reading("subject", output.subject), body] if output.subject else [body]
    for reading in parts:
        findings += _check_part(reading, case, output.channel)
    findings += check_length(body, case, output.channel, output.footer)
    findings += check_has_link(body, case)
    findings += check_due_is_named(parts, case)
    for reading in parts:
        findings += check_echoes(reading, case, findings)
    if case.language not in supported_languages():
        findings.append(Finding("language_unsupported", "person", "body", None, case.locale, "a person who reads the language"))
    return _ordered(findings)


def _check_part(reading: Reading, case: Case, channel: str) -> list[Finding]:
    """One part through all rules. Each rule blanks out what it has judged, so that the next sees only what is left."""
    is_body = reading.name == "body"
    findings = check_headers(reading, case) + check_hidden(reading, case)
    findings += check_links(reading, case)
    take_out_known(reading, case)
    _take_out_names(reading, case)
    take_out_as_of(reading, case)
    findings += check_placeholders(reading, case)
    findings += check_privacy(reading, case)
    findings += check_dates(reading, case)
    findings += check_percentages(reading, case)
    findings += check_money(reading, case)
    findings += check_amounts_in_words(reading, case)
    findings += check_durations(reading, case)
    findings += check_clock(reading, case)
    findings += check_phones(reading, case)
    findings += check_references(reading, case)
    findings += check_bare_numbers(reading, case)
    findings += check_phrases(reading, case)
    findings += check_shouting(reading, case)
    findings += check_forbidden(reading, case)
    findings += check_companies(reading, case)
    if is_body:
        findings += check_greeting(reading, case)
        findings += check_signature(reading, case, channel)
    findings += check_strangers(reading, case, findings)
    findings += check_language(reading, case)
    return findings


def _take_out_names(reading: Reading, case: Case) -> None:
    """Blank out the case's own names. One that is also a month ("April 5") stays where a number follows or precedes it."""
    for name in case.names:
        start = reading.open.find(name)
        while start >= 0:
            end = start + len(name)
            if _stands_alone(reading.open[max(0, start - 1) : start], reading.open[end : end + 1]) and not (
                name.isalpha()
                and (
                    re.search(r"\d\.? ?(?:of )?$", reading.open[max(0, start - 4) : start])
                    or re.match(r"\.? \d", reading.open[end : end + 3])
                )
            ):
                reading.blank(start, end)
            start = reading.open.find(name, end)


_ALPHANUMERIC = re.compile(r"[^\W_]")
_UNSPACED = re.compile(f"[{UNSPACED}]")


def _stands_alone(before: str, after: str) -> bool:
    """Whether a name is no part of a longer word, or is beside a letter of a script without spaces. Compiling a pattern a name took longer."""
    if not _ALPHANUMERIC.match(before) and not _ALPHANUMERIC.match(after):
        return True
    return bool(_UNSPACED.match(before) or _UNSPACED.match(after))


def _ordered(findings: list[Finding]) -> list[Finding]:
    """Without repetitions, subject first, then by place; what has no place comes last."""
    unique = list(dict.fromkeys(findings))
    return sorted(unique, key=lambda entry: (entry.part != "subject", entry.span is None, entry.span or (0, 0)))


_IN_WORD = re.compile(r"\w")


def verify_slots(draft: SlotDraft, facts: DraftFacts, policy: DraftPolicy | None = None) -> list[Finding]:
    """A draft as a model wrote it: no digit, date, link or name outside a slot, no slot that cannot be filled, and the words' own rules.

    Spans are positions in the template. The rendered text is verified separately, with `verify`.
    """
    case = Case(facts, replace(policy or DraftPolicy(), one_strange_word="block"))  # no name was told to who wrote this
    findings: list[Finding] = []
    for part, template in (("subject", draft.subject), ("body", draft.body)):
        if len(template) > _HARD_CAP:
            findings.append(
                Finding("too_long", "block", "body", None, f"{len(template)} characters", f"at most {case.policy.max_body_characters}")
            )
            continue
        for problem in slots.problems(template, facts, draft.channel):
            findings.append(Finding("slot_error", "block", part, (problem.start, problem.end), problem.name, problem.reason))  # type: ignore[arg-type]  # one of two literals
        reading = Reading(part, template)
        findings += check_headers(reading, case) + check_hidden(reading, case)
        for segment in slots.parse(reading.plain):
            if isinstance(segment, slots.Chip):
                reading.blank(segment.start, segment.start + len(segment.text))
        findings += _facts_outside(reading, case)
        findings += check_phrases(reading, case)
        findings += check_percentages(reading, case)
        findings += check_amounts_in_words(reading, case)
        findings += check_shouting(reading, case)
        findings += check_forbidden(reading, case)
        findings += check_companies(reading, case)
        if part == "body":
            findings += check_greeting(reading, case)
            findings += check_signature(reading, case, draft.channel)
            findings += check_echoes(reading, case, findings)
        findings += check_placeholders(reading, case)
        findings += check_strangers(reading, case, findings)
        findings += check_language(reading, case)
    used = slots.slots_used(draft.body)
    if case.policy.require_link and facts.is_about_invoice and not {"links.pay", "links.update_card"} & set(used):
        findings.append(Finding("missing_payment_link", "block", "body", None, "", "{{ links.pay }} or {{ links.update_card }}"))
    if language_of(facts.customer.locale) not in supported_languages():
        findings.append(Finding("language_unsupported", "person", "body", None, facts.customer.locale, "a person who reads the language"))
    return _ordered(findings)


def _facts_outside(reading: Reading, case: Case) -> list[Finding]:
    """fact_outside_slot: digits, currency signs, dates in words, links, addresses, and the case's own names written out."""
    findings: list[Finding] = []
    text = reading.open
    for found in re.finditer(r"\d[\d.,/:\-]*|[%€$£¥₹₩₺₽₴₪₫฿]", text):
        findings.append(finding("fact_outside_slot", reading, found.start(), found.end(), "a slot"))
    for found in re.finditer(r"(?i)https?:\S*|www\.\S+|\S+@\S+|\b\S+\.(?:com|net|org|io|example)\b\S*", text):
        findings.append(finding("fact_outside_slot", reading, found.start(), found.end(), "a slot such as {{ links.pay }}"))
    for name in case.names:
        for start in _whole(name, text):
            findings.append(finding("fact_outside_slot", reading, start, start + len(name), "a slot such as {{ customer.first_name }}"))
    for found in calendar(case.locale).weekday_pattern.finditer(reading.open_folded):
        findings.append(finding("fact_outside_slot", reading, found.start(), found.end(), "a slot such as {{ retry.date }}"))
    for found in _month_names(case.locale).finditer(reading.open_folded):
        findings.append(finding("fact_outside_slot", reading, found.start(), found.end(), "a slot such as {{ invoice.due_date }}"))
    return findings


def _whole(name: str, text: str) -> Iterator[int]:
    """Where a name stands as a whole word or several, one place after the other. Compiling a pattern a name took longer."""
    at = text.find(name)
    while at >= 0:
        end = at + len(name)
        is_whole = not _IN_WORD.match(text[max(0, at - 1) : at]) and not _IN_WORD.match(text[end : end + 1])
        if is_whole:
            yield at
        at = text.find(name, end if is_whole else at + 1)


@lru_cache(maxsize=256)
def _month_names(tag: str) -> re.Pattern[str]:
    """The months of a locale that are no common words besides."""
    months = "|".join(re.escape(name) for name in calendar(tag).months if len(name) >= 4 and name not in ("march", "mars", "sept", "juli"))
    return re.compile(rf"(?<!\w)(?:{months})(?!\w)" if months else r"(?!)")
