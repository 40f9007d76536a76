"""A few weeks around the planned retry, as rows of days with what falls on each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the calendar. `kind` is the strongest mark on it, `title` all of them in words."""

    on: date
    kind: str
    title: str


def weeks(today: date, marks: dict[date, list[tuple[str, str]]]) -> list[list[Day]]:
    """Monday to Sunday, from the week of the earliest mark (at most a week back) to that of the last one, at least four and at most eight weeks.

    `marks` maps a date to (kind, words) pairs, the strongest first.
    """
    upcoming = [day for day in marks if today - timedelta(days=7) <= day <= today + timedelta(days=48)]
    first = min([today, *upcoming])
    first -= timedelta(days=first.weekday())
    last = max([today, *upcoming])
    count = min(8, max(4, (last - first).days // 7 + 1))
    rows: list[list[Day]] = []
    for week in range(count):
        row: list[Day] = []
        for offset in range(7):
            on = first + timedelta(days=week * 7 + offset)
            found = marks.get(on, [])
            kind = found[0][0] if found else ""
            row.append(Day(on, f"{kind} today" if on == today and kind != "today" else kind, "; ".join(words for _, words in found)))
        rows.append(row)
    return rows
