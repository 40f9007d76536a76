"""What people write into the forms of a case: words, days, moments and amounts. Raises Refused with what to write instead."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation

from django.http import QueryDict

from approvals.people import Refused
from approvals.wording.reader import Reader
from billing_ai.kernel.money import Money


def read_text(form: QueryDict, key: str) -> str:
    """What was written, without space around it; empty when nothing was."""
    return form.get(key, "").strip()


def _quick_day(form: QueryDict, reader: Reader) -> date | None:
    """The day of a button such as “3 days”: that many after the reader's today."""
    quick = read_text(form, "days")
    return reader.today() + timedelta(days=int(quick)) if quick.isdigit() and 0 < int(quick) <= 365 else None


def read_day(form: QueryDict, key: str, reader: Reader) -> date:
    """The day of a button, or the date that was chosen."""
    quick = _quick_day(form, reader)
    if quick is not None:
        return quick
    try:
        return date.fromisoformat(read_text(form, key))
    except ValueError as error:
        raise Refused("no_date", "Choose a date.") from error


def read_moment(form: QueryDict, key: str, reader: Reader) -> datetime:
    """An exact local time, or the day of a button (at 9 o'clock of the reader's day).

    What was typed counts: Enter in another field presses a form's first button, and that is a quick one.
    """
    day = None if read_text(form, key) else _quick_day(form, reader)
    if day is not None:
        return datetime(day.year, day.month, day.day, 9, tzinfo=reader.zone)
    try:
        return datetime.fromisoformat(read_text(form, key)).replace(tzinfo=reader.zone)
    except ValueError as error:
        raise Refused("no_date", "Choose a day or a time.") from error


def read_amount(form: QueryDict, key: str, currency: str) -> Money:
    """An amount as people write it, in this currency."""
    text = read_text(form, key).replace(" ", "").replace("\u00a0", "")
    # 1.234,50 and 1,234.50 are both written; the last separator is the decimal one.
    is_decimal_comma = "," in text and text.rfind(",") > text.rfind(".")
    text = text.replace(".", "").replace(",", ".") if is_decimal_comma else text.replace(",", "")
    try:
        return Money.from_decimal(Decimal(text), currency)
    except (InvalidOperation, ValueError) as error:
        raise Refused("no_amount", "Write the amount as a number.") from error
