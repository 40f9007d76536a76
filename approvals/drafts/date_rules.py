"""Dates, weekdays and numbers of days: only those that follow from the facts."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from itertools import pairwise

from approvals.drafts.calendars import calendar, matching, written_dates
from approvals.drafts.case import Case, finding
from approvals.drafts.findings import Finding
from approvals.drafts.folding import FILL, Reading
from approvals.drafts.locales import date_text
from approvals.drafts.numerals import currency_patterns
from approvals.drafts.words import Lexicon, everywhere

_CLOCK = re.compile(r"(?<![\d:.,-])(?:[01]?\d|2[0-3])(?::|h|時|点)[0-5]\d(?![\d:])")
_BETWEEN_HOURS = 8
"""So many characters at most between two hours of one span, "9:00 to 17:00"."""
_LONG_MINUTES = 10
"""Paying takes two minutes; whoever writes of twenty means a deadline."""
# "We answer within one working day" is about us, and no term for the reader.
_WE_ANSWER = re.compile(
    r"\bwe (?:\w+ )?(?:reply|respond|answer|get back)|\b(?:team|desk) (?:\w+ )?(?:replies|responds|answers)|wir antworten|antworten wir|repondons|respondemos|rispondiamo"
    r"|(?:we|wij) (?:antwoorden|reageren)|(?:antwoorden|reageren) (?:we|wij)|vi svara?er?|svara?er? vi|vastaamme|odpowiadamy|odpovidame|odpovime|yanitliyoruz|yanit ver"
    r"|(?:ご?返信|ご?回答)(?:いた|し|させ)|(?:답변|회신) ?(?:드|해)|(?:回复|答复|回覆)(?:您|你)"
)
# Beside these a number of days can only be the days past due.
_OVERDUE = everywhere("overdue")
# The word beside a date that may be its weekday; in Chinese, Japanese and Korean no bracket or comma need part them.
_WORD_BEFORE = re.compile(
    r"([^\W\d_]+(?:'[^\W\d_]+)?(?:[-\s](?:feira|fei))?)(?:\.?,?[^\S\n]*(?:den|the|de|le|el|il|dem|d\.|o|dia|dnia|ngay)?[^\S\n]*)$"
)
_WORD_AFTER, _WORD_AFTER_CJK = (re.compile(rf"\s*[(（,]{optional}\s*([^\W\d_]{{1,14}}(?:'[^\W\d_]{{1,10}})?)") for optional in ("", "?"))
_DAYS_IN = {"hour": 0, "day": 1, "week": 7, "month": 30}


def check_dates(reading: Reading, case: Case) -> list[Finding]:
    """wrong_date over every written date, its weekday and its role; what was judged is blanked out."""
    findings: list[Finding] = []
    spans: list[tuple[int, int, date | None]] = []
    mark_before, mark_after = currency_patterns(case.locale)
    for written in written_dates(reading.open_folded, case.locale):
        if written.readings[0][0] is None and (
            mark_before.search(reading.open[max(0, written.start - 8) : written.start]) or mark_after.match(reading.open, written.end)
        ):
            continue
        known = matching(written, case.dates)
        if known is None:
            findings.append(finding("wrong_date", reading, written.start, written.end, case.dates_text))
        spans.append((written.start, written.end, known))
    for start, end, known in spans:
        findings += _check_role(reading, case, start, end, known)
    findings += _check_weekdays(reading, case, spans)
    for start, end, _ in spans:
        reading.blank(start, end)
    return findings


def take_out_as_of(reading: Reading, case: Case) -> None:
    """Blank out "until today" where a sentence begins with it and tells the days past due: it sets no term."""
    days = (case.facts.today - case.facts.invoice.due_date).days
    for words in case.lexicons:
        pattern = words.any_of("as_of")
        for found in pattern.finditer(reading.open_folded) if pattern is not None else ():
            is_begun = re.search(r"(?:^|[.!?。।\n])\s*$", reading.open_folded[max(0, found.start() - 4) : found.start()])
            if is_begun and re.search(rf"(?<!\d){days}(?!\d)", _sentence(reading.open_folded, found.start())):
                reading.blank(found.start(), found.end())


def _check_role(reading: Reading, case: Case, start: int, end: int, known: date | None) -> list[Finding]:
    """A known date right behind words for another role: "due on" the invoice's date, "we retry on" anything but the retry date."""
    if known is None or not case.lexicons:
        return []
    before = reading.folded[max(0, start - 32) : start]
    before = re.split(r"[.!?;,()\n](?:\s|$)", before)[-1]
    words = case.lexicons[0]
    roles = case.dates[known]
    facts = case.facts
    due, due_after = words.any_of("role_due_date"), words.any_of("role_due_date_after")
    is_due = due is not None and due.search(before) is not None
    if not is_due and due_after is not None:
        is_due = due_after.match(reading.folded[end : end + 24].lstrip(" ,")) is not None
    if is_due and not roles & {"due", "other", "impact"}:
        return [finding("wrong_date", reading, start, end, date_text(facts.invoice.due_date, case.locale))]
    sentence = _sentence(reading.folded, start)
    retry = words.any_of("role_retry")
    if retry is not None and retry.search(sentence) and "retry" not in roles and known >= facts.today:
        wanted = date_text(facts.retry_date, case.locale) if facts.retry_date else "no date: no attempt is planned"
        return [finding("wrong_date", reading, start, end, wanted)]
    return []


def _sentence(text: str, position: int) -> str:
    """The sentence round a position."""
    start = max(text.rfind(mark, 0, position) for mark in (". ", "! ", "? ", "\n", "。", "！", "？")) + 1
    ends = [index for mark in (". ", "! ", "? ", "\n", "。", "！", "？") if (index := text.find(mark, position)) >= 0]
    return text[start : min(ends, default=len(text))]


def _check_weekdays(reading: Reading, case: Case, spans: list[tuple[int, int, date | None]]) -> list[Finding]:
    """A weekday beside a date must be that date's; one alone must be that of a day to come that the facts name."""
    findings: list[Finding] = []
    shape = calendar(case.locale)
    text = reading.open_folded
    beside: set[int] = set()
    for start, end, known in spans:
        if known is None:
            continue
        wanted = known.weekday()
        head, tail = text[max(0, start - 16) : start], text[end : end + 14]
        before = _WORD_BEFORE.search(head)
        after = (_WORD_AFTER_CJK if case.language in ("ko", "ja", "zh") else _WORD_AFTER).match(tail)
        for match, offset in ((before, max(0, start - 16)), (after, end)):
            if match is None:
                continue
            name = match.group(1)
            number = shape.weekdays.get(name, shape.short_weekdays.get(name))
            if number is None and match is before:
                # Names of two words: "יום שני", "thứ hai".
                whole = head[: match.end(1)]
                number = next((day for weekday, day in shape.weekdays.items() if " " in weekday and whole.endswith(weekday)), None)
            if number is None:
                stem = shape.weekday_pattern.fullmatch(name)
                number = shape.weekdays.get(stem.group("name")) if stem is not None else _cjk_weekday(name, shape.weekdays)
            if number is None:
                continue
            beside.add(offset + match.start(1))
            if number != wanted:
                findings.append(
                    finding("wrong_date", reading, offset + match.start(1), offset + match.end(1), date_text(known, case.locale, "full"))
                )
    coming = {day.weekday() for day, roles in case.dates.items() if roles & {"retry", "impact", "due", "today"}}
    alone = [found for found in shape.weekday_pattern.finditer(text) if found.start() not in beside and not _touches(found, spans)]
    if len(alone) == 1:
        number = shape.weekdays[alone[0].group("name")]
        if number not in coming:
            findings.append(finding("wrong_date", reading, alone[0].start(), alone[0].end(), "no weekday that is not in the facts"))
    return findings


def _touches(found: re.Match[str], spans: list[tuple[int, int, date | None]]) -> bool:
    return any(start - 12 <= found.start() <= end + 4 for start, end, known in spans if known is None)


def _cjk_weekday(name: str, weekdays: dict[str, int]) -> int | None:
    """月火水木金土日 alone in brackets after a date, as Japanese writes it, Korean likewise; or a whole name with a particle: "월요일에"."""
    for whole, number in weekdays.items():
        if len(whole) >= 3 and whole[0] > "\u2fff" and name.startswith(whole):
            return number
    for row in ("月火水木金土日", "월화수목금토일", "一二三四五六日"):
        if len(name) == 1 and name in row:
            return row.index(name)
    return None


def _count(word: str, words: Lexicon) -> int | None:
    return int(word) if word.isdigit() else words.numbers.get(word)


def check_clock(reading: Reading, case: Case) -> list[Finding]:
    """false_urgency over an hour of the day: no fact has one. Two beside each other are when somebody can be reached."""
    found = list(_CLOCK.finditer(reading.open))
    near = {
        index
        for index, (one, other) in enumerate(pairwise(found))
        if other.start() - one.end() <= _BETWEEN_HOURS and "\n" not in reading.open[one.end() : other.start()]
    }
    return [
        finding("false_urgency", reading, one.start(), one.end(), "no deadline that is not in the facts")
        for index, one in enumerate(found)
        if index not in near and index - 1 not in near
    ]


def check_durations(reading: Reading, case: Case) -> list[Finding]:
    """ "N days past due" must be today minus the due date; a term ahead is a deadline and needs its ground in the facts."""
    findings: list[Finding] = []
    facts = case.facts
    overdue = (facts.today - facts.invoice.due_date).days
    ahead = [(day - facts.today).days for day, roles in case.dates.items() if roles & {"retry", "impact", "due"}]
    term = (facts.invoice.due_date - facts.invoice.date).days
    for words in case.lexicons:
        numbers = _number_words(words)
        for unit, unit_pattern in words.units.items():
            if unit_pattern is None or unit_pattern.search(reading.open_folded) is None:
                continue
            edge = r"(?<![\w.,-])" if words.is_spaced else r"(?<![\d.,])"
            pattern = _duration_pattern(edge, numbers, unit_pattern.pattern, words.is_spaced)
            for found in pattern.finditer(reading.open_folded):
                number = _count(found.group("number"), words)
                if number is None or (number == 1 and not found.group("number").isdigit() and unit != "hour"):
                    continue
                if _WE_ANSWER.search(_sentence(reading.open_folded, found.start())):
                    reading.blank(found.start(), found.end())
                    continue
                if unit == "month" and any(offer.type == "installments" and offer.value == number for offer in facts.allowed_offers):
                    reading.blank(found.start(), found.end())
                    continue  # "in 4 monthly instalments"
                if unit == "minute":
                    if number >= _LONG_MINUTES:
                        findings.append(
                            finding("false_urgency", reading, found.start(), found.end(), "no deadline that is not in the facts")
                        )
                    continue
                is_deadline = _is_deadline(reading.open_folded, found, words)
                size = _DAYS_IN[unit]
                slack = {"week": 3, "month": 6}.get(unit, 0)
                meant = number * size
                if unit == "hour":
                    if is_deadline:
                        findings.append(
                            finding("false_urgency", reading, found.start(), found.end(), "no deadline that is not in the facts")
                        )
                    else:
                        continue
                elif is_deadline:
                    if not any(abs(days - meant) <= slack for days in ahead if days >= 0):
                        findings.append(
                            finding("false_urgency", reading, found.start(), found.end(), "no deadline that is not in the facts")
                        )
                else:
                    is_overdue = _OVERDUE.search(_sentence(reading.open_folded, found.start())) is not None
                    if any(abs(days - meant) <= slack for days in ((overdue,) if is_overdue else (overdue, term, *ahead))):
                        reading.blank(found.start(), found.end())
                        continue
                    findings.append(finding("wrong_date", reading, found.start(), found.end(), f"{overdue} days past due"))
                reading.blank(found.start(), found.end())
    return findings


@lru_cache(maxsize=64)
def _number_words(words: Lexicon) -> str:
    return "|".join(sorted((re.escape(word) for word in words.numbers), key=len, reverse=True)) or "(?!)"


_DURATIONS: dict[tuple[str, str], re.Pattern[str]] = {}


def _duration_pattern(edge: str, numbers: str, unit: str, is_spaced: bool) -> re.Pattern[str]:
    key = (numbers, unit)
    if key not in _DURATIONS:
        gap = r"[\s\u00a0-]+(?:\w+[\s-]+)?" if is_spaced else r"\s*"
        digits = rf"(?P<number>\d{{1,3}}|{numbers})" + (r"(?![\w.,]*\d)" if is_spaced else "")
        _DURATIONS[key] = re.compile(rf"{edge}{digits}(?:{gap}|\s?){unit}")
    return _DURATIONS[key]


def _is_deadline(text: str, found: re.Match[str], words: Lexicon) -> bool:
    before = text[max(0, found.start() - 28) : found.start()].replace(FILL, " ")
    before = re.split(r"[.!?。！？\n]", before)[-1]
    after = re.split(r"[.!?。！？\n]", text[found.end() : found.end() + 16])[0]
    ahead, behind = words.any_of("within"), words.any_of("within_after")
    if ahead is not None and any(len(before) - match.end() <= 10 for match in ahead.finditer(before)):
        return True
    return behind is not None and behind.match(after.lstrip()) is not None
