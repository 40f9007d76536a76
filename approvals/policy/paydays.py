"""When people are paid, by country: habits, not rules. Used to choose a moment, never to allow one."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

FRIDAY, THURSDAY = 4, 3
LAST = 31
"""Stands for the last day of the month, however long it is."""


@dataclass(frozen=True, slots=True)
class Habit:
    """Days of the month (31: the last) and days of the week on which wages come."""

    month_days: tuple[int, ...]
    week_days: tuple[int, ...] = ()


DEFAULT = Habit((LAST, 1, 15))
HABITS: dict[str, Habit] = {
    "US": Habit((1, 15, LAST), (FRIDAY,)),
    "CA": Habit((15, LAST), (FRIDAY,)),
    "GB": Habit((25, 28, LAST)),
    "IE": Habit((LAST,), (FRIDAY,)),
    "AU": Habit((15, LAST), (THURSDAY,)),
    "NZ": Habit((20, LAST), (THURSDAY,)),
    "DE": Habit((LAST, 1, 15)),
    "AT": Habit((LAST, 1, 15)),
    "CH": Habit((25,)),
    "FR": Habit((28, LAST, 1)),
    "BE": Habit((25, LAST)),
    "NL": Habit((24, 25)),
    "LU": Habit((25, LAST)),
    "ES": Habit((28, LAST, 1)),
    "PT": Habit((25, LAST)),
    "IT": Habit((27, 10)),
    "SE": Habit((25,)),
    "NO": Habit((12, 15, 20)),
    "DK": Habit((LAST,)),
    "FI": Habit((15, LAST)),
    "PL": Habit((10, LAST)),
    "CZ": Habit((10, 15)),
    "JP": Habit((25,)),
    "IN": Habit((LAST, 1, 7)),
    "BR": Habit((5, 20, LAST)),
    "MX": Habit((15, LAST)),
    "SG": Habit((25, LAST)),
    "ZA": Habit((25, LAST)),
    "AE": Habit((28, LAST, 1)),
}
_BY_CURRENCY = {
    "USD": "US", "CAD": "CA", "GBP": "GB", "AUD": "AU", "NZD": "NZ", "CHF": "CH", "SEK": "SE", "NOK": "NO", "DKK": "DK", "PLN": "PL",
    "CZK": "CZ", "JPY": "JP", "INR": "IN", "BRL": "BR", "MXN": "MX", "SGD": "SG", "ZAR": "ZA", "AED": "AE",
}  # fmt: skip


def habit_of(country: str, currency: str) -> Habit:
    """The country's habit; the currency's where the country is not known; the end and the middle of the month elsewhere."""
    return HABITS.get(country.upper()) or HABITS.get(_BY_CURRENCY.get(currency, ""), DEFAULT)


@lru_cache(maxsize=4096)
def days_since_payday(day: date, habit: Habit) -> int:
    """Whole days from the newest payday on or before `day`; a payday on a weekend is moved to the Friday before. At most 31."""
    for back in range(32):
        if is_payday(day - timedelta(days=back), habit):
            return back
    return 31


def is_payday(day: date, habit: Habit) -> bool:
    """Do wages come on this day?"""
    if day.weekday() in habit.week_days:
        return True
    if day.weekday() > FRIDAY:
        return False
    reach = (0, 1, 2) if day.weekday() == FRIDAY else (0,)
    return any(_is_named(day + timedelta(days=ahead), habit.month_days) for ahead in reach)


def _is_named(day: date, month_days: tuple[int, ...]) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    return any(day.day == min(named, last) for named in month_days)
