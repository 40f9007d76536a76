"""Hours and days on which a customer may be reached: to the minute, over clock changes, at the ends of the Earth, and where nobody knows."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from approvals.policy.quiet_hours import (
    Calendar,
    Hours,
    UnknownCalendar,
    country_of,
    days_off,
    is_known_country,
    next_minute,
    possible_zones,
)

USUAL = Hours(time(8), time(20))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def calendar(zone: str, hours: Hours | None = USUAL, *countries: str) -> Calendar:
    return Calendar((ZoneInfo(zone),), hours, countries)


@pytest.mark.parametrize(
    ("zone", "moment", "opens"),
    [
        # One minute before, on and after each end of the window; Berlin in winter is UTC+1.
        ("Europe/Berlin", "2026-01-14 06:59", "2026-01-14 07:00"),
        ("Europe/Berlin", "2026-01-14 07:00", "2026-01-14 07:00"),
        ("Europe/Berlin", "2026-01-14 07:01", "2026-01-14 07:01"),
        ("Europe/Berlin", "2026-01-14 18:59", "2026-01-14 18:59"),
        ("Europe/Berlin", "2026-01-14 19:00", "2026-01-15 07:00"),
        ("Europe/Berlin", "2026-01-14 19:01", "2026-01-15 07:00"),
        # The night in which the clocks go forward, and the one in which they go back, in Europe and in the USA.
        ("Europe/Berlin", "2026-03-28 19:00", "2026-03-29 06:00"),
        ("Europe/Berlin", "2026-03-29 05:59", "2026-03-29 06:00"),
        ("Europe/Berlin", "2026-10-24 18:00", "2026-10-25 07:00"),
        ("Europe/Berlin", "2026-10-25 06:59", "2026-10-25 07:00"),
        ("America/New_York", "2026-03-08 01:00", "2026-03-08 12:00"),
        ("America/New_York", "2026-03-08 11:59", "2026-03-08 12:00"),
        ("America/New_York", "2026-11-01 00:00", "2026-11-01 13:00"),
        ("America/New_York", "2026-11-01 12:59", "2026-11-01 13:00"),
        ("Australia/Lord_Howe", "2026-04-04 09:00", "2026-04-04 21:30"),
        # The outermost zones.
        ("Pacific/Kiritimati", "2026-01-13 17:59", "2026-01-13 18:00"),
        ("Pacific/Kiritimati", "2026-01-14 05:59", "2026-01-14 05:59"),
        ("Pacific/Kiritimati", "2026-01-14 06:00", "2026-01-14 18:00"),
        ("Etc/GMT+12", "2026-01-14 19:59", "2026-01-14 20:00"),
        ("Etc/GMT+12", "2026-01-15 07:59", "2026-01-15 07:59"),
        ("Etc/GMT+12", "2026-01-15 08:00", "2026-01-15 20:00"),
        ("Asia/Kathmandu", "2026-01-14 02:14", "2026-01-14 02:15"),
        # A leap day is a day like any other.
        ("Europe/London", "2028-02-28 20:00", "2028-02-29 08:00"),
        ("Europe/London", "2028-02-29 20:00", "2028-03-01 08:00"),
    ],
)
def test_the_next_open_minute(zone: str, moment: str, opens: str) -> None:
    assert calendar(zone).next_open(at(moment)) == at(opens)


@pytest.mark.parametrize(
    ("start", "end", "moment", "opens"),
    [
        # 02:30 does not exist on this night in New York: the window begins when the clock has passed it for certain.
        ("02:30", "06:00", "2026-03-08 07:00", "2026-03-08 07:30"),
        # It ends before the hour that is left out.
        ("00:30", "02:30", "2026-03-08 06:29", "2026-03-08 06:29"),
        ("00:30", "02:30", "2026-03-08 06:30", "2026-03-09 04:30"),
        # 01:30 comes twice: the window begins with the second, and ends with the first.
        ("01:30", "06:00", "2026-11-01 05:30", "2026-11-01 06:30"),
        ("00:30", "01:30", "2026-11-01 05:30", "2026-11-02 05:30"),
    ],
)
def test_an_end_inside_the_clock_change_is_read_the_narrow_way(start: str, end: str, moment: str, opens: str) -> None:
    assert calendar("America/New_York", Hours.read(start, end)).next_open(at(moment)) == at(opens)


def test_an_unknown_zone_of_a_country_allows_only_what_all_its_zones_allow() -> None:
    america = Calendar(possible_zones("", "US"), USUAL)

    # Honolulu opens at 18:00 UTC, New York closes at 01:00 UTC in winter.
    assert america.next_open(at("2026-01-14 17:59")) == at("2026-01-14 18:00")
    assert america.next_open(at("2026-01-15 00:59")) == at("2026-01-15 00:59")
    assert america.next_open(at("2026-01-15 01:00")) == at("2026-01-15 18:00")


def test_a_zone_that_does_not_exist_is_an_unknown_zone() -> None:
    assert possible_zones("Europe/Atlantis", "US") == possible_zones("", "US")


def test_nowhere_in_particular_is_everywhere_and_leaves_no_hour() -> None:
    everywhere = Calendar(possible_zones("", ""), USUAL)

    assert len(everywhere.zones) > 300
    assert everywhere.next_open(at("2026-01-14 12:00")) is None
    assert possible_zones("", "XX") == everywhere.zones


def test_a_known_zone_needs_no_country() -> None:
    assert possible_zones("Asia/Tokyo", "") == (ZoneInfo("Asia/Tokyo"),)
    assert country_of("Asia/Tokyo") == "JP"
    assert country_of("Etc/GMT+12") == ""


def test_two_countries_leave_the_hours_that_both_allow() -> None:
    both = Calendar(possible_zones("", "GB", "JP"), Hours(time(8), time(20)))

    assert both.next_open(at("2026-01-14 07:59")) == at("2026-01-14 08:00")
    assert both.next_open(at("2026-01-14 10:59")) == at("2026-01-14 10:59")
    assert both.next_open(at("2026-01-14 11:00")) == at("2026-01-15 08:00")


@pytest.mark.parametrize(
    ("country", "zone", "moment", "opens"),
    [
        ("DE", "Europe/Berlin", "2026-12-25 10:00", "2026-12-27 07:00"),
        ("DE", "Europe/Berlin", "2026-12-24 18:59", "2026-12-24 18:59"),
        ("DE", "Europe/Berlin", "2026-12-24 19:00", "2026-12-27 07:00"),
        ("US", "America/New_York", "2026-07-03 23:59", "2026-07-05 12:00"),
        # In the customer's zone New Year has come already, and is still.
        ("KI", "Pacific/Kiritimati", "2025-12-31 18:00", "2026-01-01 18:00"),
    ],
)
def test_a_day_off_is_skipped_in_the_customers_own_calendar(country: str, zone: str, moment: str, opens: str) -> None:
    if country == "KI":
        assert date(2026, 1, 1) in days_off("KI", 2026)
        assert date(2026, 1, 2) not in days_off("KI", 2026)

    assert calendar(zone, USUAL, country).next_open(at(moment)) == at(opens)


@pytest.mark.parametrize("country", ["", "XX", "ZZ"])
def test_the_days_off_of_an_unknown_country_are_unknown(country: str) -> None:
    with pytest.raises(UnknownCalendar):
        days_off(country, 2026)
    assert not is_known_country(country)


@pytest.mark.parametrize(("start", "end"), [("20:00", "08:00"), ("08:00", "08:00"), ("8", "20"), ("", "20:00"), ("24:00", "25:00")])
def test_a_window_that_is_none_is_refused(start: str, end: str) -> None:
    with pytest.raises(ValueError):
        Hours.read(start, end)


def test_seconds_are_rounded_up_to_the_next_minute() -> None:
    assert next_minute(at("2026-01-14 07:00:00")) == at("2026-01-14 07:00")
    assert next_minute(at("2026-01-14 07:00:00.000001")) == at("2026-01-14 07:01")
    assert next_minute(at("2026-12-31 23:59:59")) == at("2027-01-01 00:00")
