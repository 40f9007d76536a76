"""When a customer may be reached: hours of the day in their own zone, and the days off of their country. Pure but for the calendars.

A zone that nobody knows is every zone it could be: then only the hours that are allowed in all of them count.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.core import get_global

HORIZON = timedelta(days=21)
# The world, and nowhere in particular.
_NO_TERRITORY = ("001", "ZZ")
# Ships and a few islands: the outermost offsets there are, which no territory's list holds.
_OUTERMOST = ("Etc/GMT+12", "Pacific/Kiritimati")


class UnknownCalendar(LookupError):
    """No calendar of days off is known for this country."""


@dataclass(frozen=True, slots=True)
class Hours:
    """From the first minute that is allowed to the first that is not, in local time."""

    start: time
    end: time

    @classmethod
    def read(cls, start: object, end: object) -> Hours:
        """From `"08:00"` and `"20:00"`. Raises ValueError when they are no times or the window is empty."""
        hours = cls(time.fromisoformat(str(start)), time.fromisoformat(str(end)))
        if hours.start >= hours.end:
            raise ValueError(f"{start}–{end} is no window within a day")
        return hours


@dataclass(frozen=True, slots=True)
class Calendar:
    """Where and when: the possible zones, the hours, and the countries whose days off count."""

    zones: tuple[ZoneInfo, ...]
    hours: Hours | None
    countries: tuple[str, ...] = ()

    def next_open(self, moment: datetime) -> datetime | None:
        """The first instant from `moment` on that every zone allows; None when there is none within 21 days.

        Raises UnknownCalendar when a country's days off are not known.
        """
        at, limit = moment, moment + HORIZON
        index = 0
        while index < len(self.zones):
            opened = self._next_open_in(self.zones[index], at)
            if opened is None or opened > limit:
                return None
            # Whoever pushes the moment on has the others asked again, beginning with those that are the first to disagree.
            index = 0 if opened > at and index else index + 1
            at = opened
        return at

    def is_day_off(self, day: date) -> bool:
        """Is this a day off in one of the countries? Raises UnknownCalendar."""
        return any(day in days_off(country, day.year) for country in self.countries)

    def _next_open_in(self, zone: ZoneInfo, moment: datetime) -> datetime | None:
        today = moment.astimezone(zone).date()
        for ahead in range(HORIZON.days + 2):
            day = today + timedelta(days=ahead)
            if self.is_day_off(day):
                continue
            start, end = self._window(zone, day)
            if end > moment:
                return max(start, moment)
        return None

    def _window(self, zone: ZoneInfo, day: date) -> tuple[datetime, datetime]:
        """The day's window as instants. An hour that the clock change repeats or leaves out is read the narrow way."""
        if self.hours is None:
            return _instant(zone, day, time(0), 0), _instant(zone, day + timedelta(days=1), time(0), 0)
        start, end = self.hours.start, self.hours.end
        return (
            max(_instant(zone, day, start, 0), _instant(zone, day, start, 1)),
            min(_instant(zone, day, end, 0), _instant(zone, day, end, 1)),
        )


def possible_zones(zone: str, *countries: str) -> tuple[ZoneInfo, ...]:
    """The zone when it is known; else every zone of the countries; else, without any country, every zone on Earth."""
    known = _zone(zone)
    if known is not None:
        return (known,)
    given = [country.upper() for country in countries if country]
    found = [_zones_of(country) for country in given]
    if not given or not all(found):
        return _all_zones()
    return _opposites_first([one for zones in found for one in zones])


def is_known_country(country: str) -> bool:
    """Does any zone belong to this territory code?"""
    return bool(_zones_of(country.upper()))


def country_of(zone: str) -> str:
    """The territory that a zone belongs to; empty for a zone of none."""
    territories: Mapping[str, str] = get_global("zone_territories")
    country = territories.get(zone, "")
    return "" if country in _NO_TERRITORY else country


@functools.lru_cache(maxsize=512)
def days_off(country: str, year: int) -> frozenset[date]:
    """The country's public holidays in a year. Raises UnknownCalendar. Source: the library `holidays`."""
    if not country:
        raise UnknownCalendar("")
    import holidays  # costs 0.2 s and some memory: only processes that ask for it pay

    try:
        return frozenset(holidays.country_holidays(country, years=year))
    except (NotImplementedError, KeyError) as error:
        raise UnknownCalendar(country) from error


def next_minute(moment: datetime) -> datetime:
    """The moment itself on a full minute, else the minute after it."""
    floor = moment.replace(second=0, microsecond=0)
    return floor if floor == moment else floor + timedelta(minutes=1)


def _instant(zone: ZoneInfo, day: date, at: time, fold: int) -> datetime:
    local = datetime.combine(day, at, zone).replace(fold=fold)
    return (local - (local.utcoffset() or timedelta())).replace(tzinfo=ZoneInfo("UTC"))


def _zone(name: str) -> ZoneInfo | None:
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


@functools.cache
def _zones_of(country: str) -> tuple[ZoneInfo, ...]:
    territories: Mapping[str, str] = get_global("zone_territories")
    zones = (_zone(name) for name, territory in sorted(territories.items()) if territory == country and country not in _NO_TERRITORY)
    return _opposites_first([zone for zone in zones if zone is not None])


@functools.cache
def _all_zones() -> tuple[ZoneInfo, ...]:
    territories: Mapping[str, str] = get_global("zone_territories")
    zones = [_zone(name) for name in (*_OUTERMOST, *sorted(territories))]
    return _opposites_first([zone for zone in zones if zone is not None])


def _opposites_first(zones: Sequence[ZoneInfo]) -> tuple[ZoneInfo, ...]:
    """Each zone followed by one half-way around, so that hours that do not meet are found out at once."""
    unique = list({zone.key: zone for zone in zones}.values())
    reference = datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC"))
    unique.sort(key=lambda zone: (zone.utcoffset(reference) or timedelta(), zone.key))
    west, east = unique[: (len(unique) + 1) // 2], unique[(len(unique) + 1) // 2 :]
    return tuple(zone for pair in itertools.zip_longest(west, east) for zone in pair if zone is not None)
