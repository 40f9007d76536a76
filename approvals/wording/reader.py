"""How the person at the screen reads numbers and times: in the locale their browser asks for and in their own zone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.dates import format_date, format_datetime, format_time, format_timedelta
from babel.numbers import format_decimal
from django.http import HttpRequest

from approvals.drafts.locales import babel_locale, money_text
from billing_ai.kernel import clock
from billing_ai.kernel.money import Money, UnknownCurrency

ZONE_COOKIE = "reader_zone"
"""Set by `console.js` to the browser's own IANA zone."""

_WORDS_LOCALE = "en-GB"
"""Months and weekdays stand inside English sentences; figures follow the reader."""


@dataclass(frozen=True, slots=True)
class Reader:
    """The locale that figures are written in, and the zone that times are shown in."""

    locale: str
    zone: ZoneInfo

    def money(self, amount: Money) -> str:
        """`1.234,50 €` for a German reader; the code stands in for a currency that has no sign."""
        return money_text(amount, self.locale)

    def minor(self, minor: int | None, currency: str) -> str:
        """An amount of a `*_minor` column. A currency that nobody knows is shown as it was stored."""
        try:
            return self.money(Money(minor or 0, currency))
        except UnknownCurrency:
            return f"{minor} {currency}"

    def number(self, value: int | float) -> str:
        """A plain number with the reader's own separators."""
        return format_decimal(value, locale=babel_locale(self.locale))

    def local(self, moment: datetime) -> datetime:
        """The instant in the reader's zone."""
        return moment.astimezone(self.zone)

    def moment(self, moment: datetime | None) -> str:
        """`24 Nov, 14:05`, with the year when it is another one."""
        if moment is None:
            return ""
        local = self.local(moment)
        pattern = "d MMM, HH:mm" if local.year == self.local(clock.now()).year else "d MMM y, HH:mm"
        return format_datetime(local, pattern, locale=babel_locale(_WORDS_LOCALE))

    def time(self, moment: datetime) -> str:
        """`14:05`."""
        return format_time(self.local(moment), "HH:mm", locale=babel_locale(_WORDS_LOCALE))

    def clock_time(self, moment: datetime) -> str:
        """`14:02:09`, on the reader's wall."""
        return format_time(self.local(moment), "HH:mm:ss", locale=babel_locale(_WORDS_LOCALE))

    def day(self, day: date | datetime | None) -> str:
        """`24 Nov 2026`."""
        if day is None:
            return ""
        if isinstance(day, datetime):
            day = self.local(day).date()
        return format_date(day, "d MMM y", locale=babel_locale(_WORDS_LOCALE))

    def ago(self, moment: datetime | None) -> str:
        """`in 3 hours`, `2 days ago`; `now` within the minute."""
        if moment is None:
            return ""
        distance = moment - clock.now()
        if abs(distance) < timedelta(minutes=1):
            return "now"
        return format_timedelta(distance, add_direction=True, locale=babel_locale(_WORDS_LOCALE))

    def today(self) -> date:
        """The date on the reader's wall."""
        return self.local(clock.now()).date()

    def end_of_today(self) -> datetime:
        """Midnight at the end of the reader's day."""
        return datetime.combine(self.today() + timedelta(days=1), datetime.min.time(), self.zone)


@dataclass(frozen=True, slots=True)
class TwoClocks:
    """What is planned for a customer is told by the clock on their wall, with the reader's beside it. Without their zone, by the reader's alone."""

    reader: Reader
    theirs: ZoneInfo | None

    @classmethod
    def of(cls, reader: Reader, zone: str) -> TwoClocks:
        """`zone` is an IANA name; empty or unknown: not known."""
        try:
            return cls(reader, ZoneInfo(zone) if zone else None)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return cls(reader, None)

    @property
    def planned(self) -> Reader:
        """The reader, with the customer's wall clock where it is known."""
        return replace(self.reader, zone=self.theirs) if self.theirs is not None else self.reader

    @property
    def place(self) -> str:
        """`customer's time, Los Angeles`; empty when it is the reader's clock."""
        return f"customer's time, {_place(self.theirs)}" if self.theirs is not None else ""

    def said(self, moment: datetime) -> str:
        """`1 Dec, 03:00 (customer's time, Los Angeles)`."""
        return f"{self.planned.moment(moment)} ({self.place})" if self.place else self.reader.moment(moment)

    def title(self, moment: datetime) -> str:
        """`1 Dec, 12:00 your time, Berlin`."""
        return f"{self.reader.moment(moment)} your time, {_place(self.reader.zone)}"


def _place(zone: ZoneInfo) -> str:
    return zone.key.rsplit("/", 1)[-1].replace("_", " ")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # A cookie can say anything; a name that is no zone means the one that is never wrong, only inconvenient.
        return ZoneInfo("UTC")


def reader_of(request: HttpRequest) -> Reader:
    """The reader behind a request: the first language of `Accept-Language`, and the zone that the browser named in a cookie."""
    wanted = request.headers.get("Accept-Language", "").split(",")[0].split(";")[0].strip()
    return Reader(wanted if 1 < len(wanted) < 20 else _WORDS_LOCALE, _zone(request.COOKIES.get(ZONE_COOKIE, "UTC")[:60]))


UTC_READER = Reader(_WORDS_LOCALE, ZoneInfo("UTC"))
"""For pages without a request, and for files, where every reader must see the same."""
