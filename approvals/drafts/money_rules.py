"""Amounts: the value in its role, and the currency."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from approvals.drafts.case import Case, finding
from approvals.drafts.findings import Finding
from approvals.drafts.folding import FILL, Reading
from approvals.drafts.locales import money_text
from approvals.drafts.numerals import NUMBER, currencies_of, currency_patterns, denoted, readings
from approvals.drafts.words import Lexicon, everywhere

_NUMBER = re.compile(rf"(?<!\d)(?<!\d[.,]){NUMBER}")
_IN_REFERENCE = re.compile(r"[^\W\d_][-/_#]$")
_ROLE_REACH = 40
"""So many characters from an amount, words may still say what it is."""
_OF = 4
"""The longest word for "of", alone between two amounts."""
_TOTAL = everywhere("total")
# "the total of", right before an amount.
_TOTAL_IS = re.compile(rf"(?:{_TOTAL.pattern})\w{{0,4}}[\s:]*(?:of|de|von|di|van|av|af|av|na|z|ze)?\s*$")
# What a line calls the amount that ends it.
_LABEL = re.compile(r"(?:^|\n)\W*([^\n:：\d]{2,40})[:：][\s*]*$")
_PARTS = re.compile(r"[;,–—、，]")
_SENTENCE_END = re.compile(r"[.!?。！？](?:\s|$)|\n")


@dataclass(frozen=True, slots=True)
class WrittenAmount:
    """An amount in a text: where it stands, its number and the marks of currency beside it."""

    start: int
    end: int
    number: str
    marks: tuple[str, ...]
    is_negative: bool


def written_amounts(text: str, tag: str) -> Iterator[WrittenAmount]:
    """Every number with a currency beside it, left to right."""
    pattern_before, pattern_after = currency_patterns(tag)
    limit = 0
    for found in _NUMBER.finditer(text):
        start, end = found.span()
        window = text[max(limit, start - 14) : start]
        before = pattern_before.search(window)
        marks: list[str] = []
        sign = False
        first = start
        if before is not None:
            # "PM-12" is a reference, not minus twelve of something.
            is_reference = before.group("mark")[-1].isalpha() and bool(before.group("sign")) and not before.group("gap")
            marks = [mark for mark in (before.group("mark"), before.group("second")) if mark and currencies_of(mark, tag)]
            if marks and not is_reference:
                first = start - len(window) + before.start()
                sign = bool(before.group("sign"))
            else:
                marks = []
        elif re.search(r"(?:^|[\s(])[-−–]$", window):
            sign, first = True, start - 1
        # "INV-7660 über EUR …": the digits are the reference's.
        after = None if not marks and _IN_REFERENCE.search(window) else pattern_after.match(text, end)
        if after is not None:
            for group in ("mark", "second"):
                mark = after.group(group)
                if mark is None or not currencies_of(mark, tag):
                    break
                marks.append(mark)
                end = after.end(group)
        if marks:
            yield WrittenAmount(first, end, found.group(0), tuple(marks), sign)
            limit = end


def check_money(reading: Reading, case: Case) -> list[Finding]:
    """wrong_amount and wrong_currency over every number with a currency beside it; what was judged is blanked out."""
    findings: list[Finding] = []
    judged: list[tuple[WrittenAmount, Decimal | None]] = []
    expected = money_text(case.facts.invoice.amount_due, case.locale)
    for amount in written_amounts(reading.open, case.locale):
        if not _is_currency_right(amount.marks, case):
            findings.append(finding("wrong_currency", reading, amount.start, amount.end, f"{case.facts.currency}, for example {expected}"))
        values = readings(amount.number, case.locale)
        known = next((value for value in values if value in case.amounts), None)
        if known is None or amount.is_negative:
            findings.append(finding("wrong_amount", reading, amount.start, amount.end, expected))
        judged.append((amount, known))
    findings += _check_roles(reading, case, judged) or _check_labels(reading, case, judged)
    reading.amounts += [(amount.start, amount.end, value) for amount, value in judged if value is not None]
    for amount, _ in judged:
        reading.blank(amount.start, amount.end)
    return findings


def check_due_is_named(parts: list[Reading], case: Case) -> list[Finding]:
    """wrong_amount where the one amount that a message names is the whole of an invoice of which a part was paid, or one line of it."""
    named = [(reading, start, end, value) for reading in parts for start, end, value in reading.amounts]
    twice = [entry for entry in named if case.amounts[entry[3]] == {"total"}]
    if len(twice) > 1 and (bare := [entry for entry in twice if not _is_told_as_total(*entry[:3])]) and len(bare) < len(twice):
        # Once as the total and once, before it, as what is open.
        reading, start, end, _ = bare[0]
        return [finding("wrong_amount", reading, start, end, money_text(case.facts.invoice.amount_due, case.locale))]
    if len({value for *_, value in named}) != 1 or not case.amounts[named[0][3]] <= {"total", "line"}:
        return []
    reading, start, end, _ = named[0]
    return [finding("wrong_amount", reading, start, end, money_text(case.facts.invoice.amount_due, case.locale))]


def _is_told_as_total(reading: Reading, start: int, end: int) -> bool:
    """Whether a word for the whole stands beside an amount."""
    around = reading.folded[max(0, start - _ROLE_REACH) : start], reading.folded[end : end + _OF * 3]
    return any(_TOTAL.search(_SENTENCE_END.split(text)[-1 if index == 0 else 0]) is not None for index, text in enumerate(around))


def _is_currency_right(marks: tuple[str, ...], case: Case) -> bool:
    """One mark must denote the currency to this reader; a second may only be one that can mean it."""
    currency = case.facts.currency
    codes = [currencies_of(mark, case.locale) or frozenset() for mark in marks]
    if any(currency not in entry for entry in codes):
        return False
    return any(denoted(mark.strip(), case.locale, currency) for mark in marks) or any(len(entry) == 1 for entry in codes)


def _check_roles(reading: Reading, case: Case, judged: list[tuple[WrittenAmount, Decimal | None]]) -> list[Finding]:
    """An amount right beside words for another role: "still open" beside the total, "thank you for your payment of" beside what is due."""
    findings: list[Finding] = []
    if len(case.amounts) < 2 or not case.lexicons:
        return findings
    words = case.lexicons[0]
    negations, ought = words.any_of("negations"), words.any_of("ought")
    for index, (amount, value) in enumerate(judged):
        if value is None:
            continue
        left = judged[index - 1][0].end if index else 0
        right = judged[index + 1][0].start if index + 1 < len(judged) else len(reading.folded)
        before, after = reading.folded[left : amount.start], reading.folded[amount.end : right]
        roles = case.amounts[value]
        if roles == {"paid"} and _TOTAL_IS.search(before) is not None and case.facts.invoice.total is not None:
            findings.append(finding("wrong_amount", reading, amount.start, amount.end, money_text(case.facts.invoice.total, case.locale)))
            continue
        if index and len(before.strip()) <= _OF and before.strip().isalpha():
            continue  # "230.00 of 760.00 is left": the second is what the first is part of
        for role, list_name in (("due", "role_due"), ("paid", "role_paid")):
            behind, ahead = words.any_of(list_name), words.any_of(f"{list_name}_before")
            said = (
                _says(behind, after, is_next_near=index + 1 < len(judged))
                or _says(ahead, before, is_next_near=index > 0, is_behind=False)
                or (index > 0 and behind is not None and any(not before[word.end() :].strip() for word in behind.finditer(before)))
            )
            if role == "paid" and said:
                sentence = _SENTENCE_END.split(reading.folded[: amount.start])[-1] + _SENTENCE_END.split(after)[0]
                if any(pattern is not None and pattern.search(sentence) for pattern in (negations, ought)):
                    continue  # "we cannot see that … is paid", "… is not paid yet", "… was to be paid by"
            if "total" in roles and _TOTAL.search(before[-_ROLE_REACH:]) is not None:
                continue  # "of the total of 760.00 we have received 230.00, and 530.00 remain"
            if said and role not in roles and not roles & {"instalment", "discounted", "other", "open"}:
                right_value = case.facts.invoice.amount_due if role == "due" else case.facts.invoice.amount_paid
                if right_value is not None:
                    findings.append(finding("wrong_amount", reading, amount.start, amount.end, money_text(right_value, case.locale)))
    return findings


def _check_labels(reading: Reading, case: Case, judged: list[tuple[WrittenAmount, Decimal | None]]) -> list[Finding]:
    """A line of its own with a label: "Still open: 760.00", "Total: 230.00"."""
    due = case.facts.invoice.amount_due
    if case.facts.invoice.amount_paid is None or not case.lexicons:
        return []
    open_words = case.lexicons[0].any_of("role_due")
    findings: list[Finding] = []
    for amount, value in judged:
        label = _LABEL.search(reading.folded[: amount.start])
        rest = reading.folded[amount.end :].lstrip(" .*")
        if label is None or value is None or (rest and not rest.startswith("\n")):
            continue
        roles = case.amounts[value]
        if open_words is not None and open_words.search(label.group(1)) is not None:
            if not roles & {"due", "discounted", "open"}:
                findings.append(finding("wrong_amount", reading, amount.start, amount.end, money_text(due, case.locale)))
        elif _TOTAL.search(label.group(1)) is not None and roles == {"paid"}:
            findings.append(finding("wrong_amount", reading, amount.start, amount.end, "the invoice's total"))
    return findings


def _says(pattern: re.Pattern[str] | None, gap: str, *, is_next_near: bool, is_behind: bool = True) -> bool:
    """Whether words for a role stand in the gap behind an amount (or before it), and no nearer to the amount at the gap's other end.

    "Of 76,99 we have received 25,00; 51,99 remain": what stands between two amounts is about the nearer one, and a comma or semicolon parts them.
    """
    if pattern is None:
        return False
    for found in pattern.finditer(gap):
        own, other = (gap[: found.start()], gap[found.end() :]) if is_behind else (gap[found.end() :], gap[: found.start()])
        if len(own) > _ROLE_REACH or _SENTENCE_END.search(own):
            continue
        if not is_next_near or _SENTENCE_END.search(other) or _apart(own) <= _apart(other):
            return True
    return False


def _apart(text: str) -> int:
    return len(text) + _ROLE_REACH * len(_PARTS.findall(text))


def check_bare_numbers(reading: Reading, case: Case) -> list[Finding]:
    """Numbers no other rule has accounted for: an amount without currency must still be one of this case's; anything else of three digits and more
    has no ground."""
    findings: list[Finding] = []
    for found in _NUMBER.finditer(reading.open):
        text = found.group(0)
        values = readings(text, case.locale)
        if (known := next((value for value in values if value in case.amounts), None)) is not None:
            reading.amounts.append((found.start(), found.end(), known))
            continue
        digits = sum(character.isdigit() for character in text)
        if digits < 3 and not re.search(r"[.,]\d", text):
            continue
        if re.fullmatch(r"(?:19|20)\d\d", text) and any(day.year == int(text) for day in case.dates):
            continue
        neighbourhood = reading.open[max(0, found.start() - 1) : found.end() + 1]
        if FILL in neighbourhood and digits < 3:
            continue
        findings.append(finding("wrong_amount", reading, found.start(), found.end(), "only figures that come from the facts"))
    return findings


def check_amounts_in_words(reading: Reading, case: Case) -> list[Finding]:
    """An amount spelled out ("two hundred dollars") cannot be compared with the facts and is refused."""
    findings: list[Finding] = []
    for words in case.lexicons:
        if not any(word in reading.open_folded for word in words.lists.get("money_words", ())):
            continue
        pattern = _spelled_out(words)
        if pattern is not None:
            findings += [
                finding("wrong_amount", reading, m.start(), m.end(), "amounts in figures") for m in pattern.finditer(reading.open_folded)
            ]
    return findings


@lru_cache(maxsize=64)
def _spelled_out(words: Lexicon) -> re.Pattern[str] | None:
    numbers = "|".join(sorted((re.escape(word) for word, value in words.numbers.items() if value >= 2), key=len, reverse=True))
    money = "|".join(words.lists.get("money_words", ()))
    if not numbers or not money:
        return None
    if words.is_spaced:
        return re.compile(rf"(?<!\w)(?:\w*(?:{numbers})\w*[\s-]+){{1,4}}(?:{money})\w*")
    return re.compile(rf"(?:{numbers}|[〇一二三四五六七八九十百千万])+(?:{money})")
