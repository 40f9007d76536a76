"""Steps of the calendar that billing takes."""

from __future__ import annotations

import calendar
import datetime


def add_period(moment: int, count: int, unit: str, anchor_day: int | None = None) -> int:
    """`moment` plus `count` days, weeks, months or years; the day of month is kept where the month has it."""
    at = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    if unit in ("day", "week"):
        return moment + count * (86_400 if unit == "day" else 604_800)
    months = at.year * 12 + at.month - 1 + count * (12 if unit == "year" else 1)
    year, month = divmod(months, 12)
    day = min(anchor_day or at.day, calendar.monthrange(year, month + 1)[1])
    return int(at.replace(year=year, month=month + 1, day=day).timestamp())


def day_of(moment: int) -> int:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).day
