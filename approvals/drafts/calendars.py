"""Reading dates as a locale writes them: month and weekday names from the CLDR, the order of day and month, numbers in several scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from approvals.drafts.folding import NOT_AFTER_WORD, fold_pattern
from approvals.drafts.locales import babel_locale

_SUFFIXED = frozenset({"tr", "fi", "hu", "et", "lt", "lv", "eu"})


@dataclass(frozen=True, slots=True)
class WrittenDate:
    """A date in a text. `days` are the readings it allows; year None when none is written. `day` 0 stands for a month as a whole."""

    start: int
    end: int
    readings: tuple[tuple[int | None, int, int], ...]


@dataclass(frozen=True, slots=True)
class Calendar:
    """The compiled patterns and names of one locale (with English beside it)."""

    pattern: re.Pattern[str]
    months: dict[str, int]
    weekdays: dict[str, int]
    short_weekdays: dict[str, int]
    weekday_pattern: re.Pattern[str]
    is_month_first: bool
    is_year_first: bool
    has_dots: bool


def _names(locale_tag: str, kind: str, widths: tuple[str, ...]) -> dict[str, int]:
    locale = babel_locale(locale_tag)
    table = locale.months if kind == "months" else locale.days
    names: dict[str, int] = {}
    for context in ("format", "stand-alone"):
        for width in widths:
            for number, name in table[context].get(width, {}).items():
                folded = fold_pattern(str(name)).strip(". ")
                if len(folded) >= 2 and not folded.isdigit():
                    names.setdefault(folded, int(number))
    return names


@lru_cache(maxsize=256)
def calendar(tag: str) -> Calendar:
    """The calendar of a locale. Never raises; unknown locales read as their language or as English."""
    months = {**_names("en", "months", ("wide", "abbreviated")), **_names(tag, "months", ("wide", "abbreviated"))}
    months = {name: number for name, number in months.items() if not re.search(r"\d", name)}
    weekdays = {**_names("en", "days", ("wide",)), **_names(tag, "days", ("wide",))}
    short = {**_names("en", "days", ("abbreviated",)), **_names(tag, "days", ("abbreviated", "short"))}
    locale = babel_locale(tag)
    shape = locale.date_formats["short"].pattern
    order = list(re.findall(r"[dMy]", shape))
    month = "|".join(re.escape(name) for name in sorted(months, key=len, reverse=True))
    ending = r"(?:['’]?\w{0,4})" if locale.language in _SUFFIXED else ""
    year = r"(?:[\s,.\-]*(?:\s(?:de|del|of|i|г\.?|року)\s)?\s*(?P<{0}>\d{{4}}|['’]\d{{2}})(?!\d))?"
    pattern = "|".join(
        (
            # Korean writes "25. 9. 16." for short.
            r"(?P<y0>\d{2})\.\s(?P<m0>\d{1,2})\.\s(?P<d0>\d{1,2})(?!\d)"
            if bool(order) and order[0] == "y"
            else r"(?P<y0>(?!))(?P<m0>)(?P<d0>)",
            r"(?P<y1>\d{4})(?:[-/]|\.\s?)(?P<m1>\d{1,2})(?:[-/]|\.\s?)(?P<d1>\d{1,2})(?![\d-])",
            r"(?:(?P<y2>\d{4})\s*[年년]\s*)?(?P<m2>\d{1,2})\s*[月월]\s*(?P<d2>\d{1,2})\s*[日일號号]",
            r"(?P<a3>\d{1,2})(?P<s3>[./-])\s?(?P<b3>\d{1,2})(?P=s3)\s?(?P<y3>\d{4}|\d{2})(?![\d-])",
            rf"(?P<y4>\d{{4}})\.?\s*(?:m\.\s*|(?:ko\s+))?(?P<m4>{month})(?!\w)\s+(?P<d4>\d{{1,2}})(?!\d)",
            r"(?P<d5>\d{1,2})(?:\s?(?:\.|st|nd|rd|th|er|ere|re|º|ª|°|o|:?e|:?a|an|de)(?!\w))?[\s\-]*(?:(?:de|of|d['’]|den|ngay|ב)\s*)?"
            rf"(?P<m5>{month})(?!\w)?{ending}(?!\w)\.?" + year.format("y5"),
            rf"(?P<m6>{month})\.?\s+(?:the\s+)?(?P<d6>\d{{1,2}})(?:st|nd|rd|th)?(?![\d])(?![.,]\d{{2}}(?!\d))" + year.format("y6"),
            r"(?P<d7>\d{1,2})\s*(?:thang|thg)\s*(?P<m7>\d{1,2})(?:[\s,]*nam\s*(?P<y7>\d{4}))?",
            rf"(?P<m8>{month})(?!\w)\.?,?\s*(?:(?:de|del)\s+)?(?P<y8>\d{{4}})(?!\d)",
            r"(?P<a9>\d{1,2})(?P<s9>/)(?P<b9>\d{1,2})(?![\d/%])",
            r"(?P<a10>\d{1,2})\.\s?(?P<b10>\d{1,2})\.(?!\d)",
        )
    )
    names = sorted({*weekdays}, key=len, reverse=True)
    ending = r"\w{0,4}" if locale.language in (*_SUFFIXED, "pl", "cs", "sk", "ru", "uk", "da", "nb", "sv") else ""
    return Calendar(
        pattern=re.compile(rf"{NOT_AFTER_WORD}(?<![/.])(?<!\d-)(?<!\d,(?!\d{{4}}-\d\d-\d\d))(?:{pattern})"),
        months=months,
        weekdays=weekdays,
        short_weekdays=short,
        weekday_pattern=re.compile(rf"(?<!\w)(?P<name>{'|'.join(map(re.escape, names))}){ending}s?(?!\w)" if names else r"(?!)"),
        is_month_first=order.index("M") < order.index("d") if {"M", "d"} <= set(order) else False,
        is_year_first=bool(order) and order[0] == "y",
        has_dots="." in shape,
    )


def _year(text: str | None) -> int | None:
    if not text:
        return None
    digits = text.lstrip("'’")
    if len(digits) != 4:
        return 2000 + int(digits)
    # Thailand counts from the Buddha: 2568 is 2025. No invoice is from the year 2400 of ours.
    return int(digits) - 543 if 2400 < int(digits) < 2700 else int(digits)


def _numeric(first: int, second: int, year: int | None, shape: Calendar) -> tuple[tuple[int | None, int, int], ...]:
    day_first, month_first = (year, second, first), (year, first, second)
    if shape.is_year_first:
        return (day_first, month_first)
    return (month_first,) if shape.is_month_first else (day_first,)


def written_dates(folded: str, tag: str) -> Iterator[WrittenDate]:
    """Every date in folded text, left to right."""
    shape = calendar(tag)
    for found in shape.pattern.finditer(folded):
        group = found.groupdict()
        readings: tuple[tuple[int | None, int, int], ...]
        if group["m0"]:
            readings = ((2000 + int(group["y0"]), int(group["m0"]), int(group["d0"])),)
        elif group["m1"]:
            readings = ((int(group["y1"]), int(group["m1"]), int(group["d1"])),)
        elif group["m2"]:
            readings = ((_year(group["y2"]), int(group["m2"]), int(group["d2"])),)
        elif group["a3"]:
            readings = _numeric(int(group["a3"]), int(group["b3"]), _year(group["y3"]), shape)
            if shape.is_year_first and len(group["y3"]) == 2:
                readings = ((2000 + int(group["a3"]), int(group["b3"]), int(group["y3"])), *readings)
        elif group["m4"]:
            readings = ((int(group["y4"]), shape.months[group["m4"]], int(group["d4"])),)
        elif group["m5"]:
            readings = ((_year(group["y5"]), shape.months[group["m5"]], int(group["d5"])),)
        elif group["m6"]:
            readings = ((_year(group["y6"]), shape.months[group["m6"]], int(group["d6"])),)
        elif group["m7"]:
            readings = ((_year(group["y7"]), int(group["m7"]), int(group["d7"])),)
        elif group["m8"]:
            readings = ((int(group["y8"]), shape.months[group["m8"]], 0),)
        elif group["a9"]:
            readings = _numeric(int(group["a9"]), int(group["b9"]), None, shape)
        else:
            readings = _numeric(int(group["a10"]), int(group["b10"]), None, shape)
        is_bare = bool(group["a9"] or group["a10"])
        if is_bare and (
            not any(1 <= month <= 12 and 1 <= day <= 31 for _, month, day in readings) or (group["a10"] and not shape.has_dots)
        ):
            continue
        yield WrittenDate(found.start(), found.end(), readings)


def matching(written: WrittenDate, known: dict[date, frozenset[str]]) -> date | None:
    """The known date this can mean, or None."""
    for year, month, day in written.readings:
        for candidate in known:
            if candidate.month == month and (day in (0, candidate.day)) and year in (None, candidate.year):
                return candidate
    return None
