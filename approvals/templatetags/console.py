"""Template filters of the console: figures and times as the reader writes them, keys as words."""

from __future__ import annotations

from datetime import date, datetime

import babel
from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from approvals.wording import words
from approvals.wording.reader import UTC_READER, Reader, TwoClocks
from billing_ai.kernel.money import Money

register = template.Library()


def _reader(reader: object) -> Reader:
    return reader if isinstance(reader, Reader) else UTC_READER


@register.filter
def money(amount: Money | None, reader: object = None) -> str:
    """`{{ case.amount_due|money:reader }}`"""
    return "" if amount is None else _reader(reader).money(amount)


@register.filter
def moment(at: datetime | None, reader: object = None) -> SafeString:
    """A time element with the machine's form beside the reader's."""
    if at is None:
        return SafeString("")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', at.isoformat(), at.strftime("%Y-%m-%d %H:%M UTC"), _reader(reader).moment(at)
    )


@register.filter
def planned(at: datetime | None, clocks: TwoClocks) -> SafeString:
    """What is planned for a customer, by their clock, with the reader's as its title."""
    if at is None:
        return SafeString("")
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), clocks.title(at), clocks.said(at))


@register.filter
def clock_time(at: datetime | None, reader: object = None) -> SafeString:
    """The time of the day to the second, for what changes while one looks."""
    if at is None:
        return SafeString("")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', at.isoformat(), _reader(reader).moment(at), _reader(reader).clock_time(at)
    )


@register.filter
def day(at: date | datetime | None, reader: object = None) -> SafeString:
    """A date with the machine's form beside the reader's."""
    return SafeString("") if at is None else format_html('<time datetime="{}">{}</time>', at.isoformat(), _reader(reader).day(at))


@register.filter
def ago(at: datetime | None, reader: object = None) -> SafeString:
    """The distance from now, with the exact time on the element."""
    if at is None:
        return SafeString("")
    found = _reader(reader)
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), found.moment(at), found.ago(at))


@register.filter
def number(value: int | float | None, reader: object = None) -> str:
    """A number with the reader's separators."""
    return "" if value is None else _reader(reader).number(value)


@register.filter
def percent(basis_points: int | None) -> str:
    """Hundredths of a percent as whole percent."""
    return "" if basis_points is None else f"{round(basis_points / 100)}%"


@register.filter
def points(basis_points: int) -> str:
    """A difference between two percentages: 31 points, which is not 31 % more."""
    whole = round(basis_points / 100)
    return f"{whole} point{'s' if whole != 1 else ''}"


@register.filter
def category(key: str) -> str:
    """Why a payment failed, in words."""
    return words.category(key)


@register.filter
def action(key: str) -> str:
    """What would be done, in words."""
    return words.action(key)


@register.filter
def action_icon(key: str) -> str:
    """The symbol of an action."""
    return words.action_icon(key)


@register.filter
def plain(key: str) -> str:
    """A key as words."""
    return words.plain(str(key))


@register.filter
def badge(key: str) -> SafeString:
    """A status as a small label whose colour repeats what its words say."""
    text, tone = words.status(key)
    return format_html('<span class="badge badge-{}">{}</span>', tone, text)


@register.filter
def language(tag: str) -> str:
    """A language tag as its English name: `nl` → `Dutch`. A tag that nobody knows stays as it is."""
    try:
        return babel.Locale.parse(tag, sep="-").get_language_name("en") or tag
    except (ValueError, babel.UnknownLocaleError):
        return tag


@register.filter
def writer(model: str) -> str:
    """Who wrote a draft. The built-in writers bear `offline/` in their names."""
    if model == "template":
        return "from a template"
    return "by the built-in writer" if model.startswith("offline/") else f"by {model or 'the agent'}"


@register.filter
def phone_digits(number: str) -> str:
    """A phone number as a `tel:` address takes it: a plus sign and digits."""
    return ("+" if number.lstrip().startswith("+") else "") + "".join(sign for sign in number if sign.isascii() and sign.isdigit())


@register.filter
def lookup(mapping: dict[str, object], key: str) -> object:
    """`{{ mapping|lookup:key }}`, empty when it is not there."""
    return mapping.get(key, "")


@register.filter
def amount_due(invoice: object, reader: object = None) -> str:
    """What is due on an invoice of the facts, in its own currency."""
    return _reader(reader).minor(getattr(invoice, "amount_due_minor", 0), getattr(invoice, "currency", ""))


@register.filter
def overdue(due_on: date | None, reader: object = None) -> str:
    """How many days ago it was due; empty when it was not."""
    days = (_reader(reader).today() - due_on).days if due_on is not None else 0
    return f"{days} day{'s' if days != 1 else ''}" if days > 0 else ""


@register.filter
def mrr(subscription: object, reader: object = None) -> str:
    """What a subscription brings in a month."""
    return _reader(reader).minor(getattr(subscription, "mrr_minor", 0), getattr(subscription, "currency", ""))


@register.filter
def minor(amount: int | None, currency: str = "") -> str:
    """An amount of a `*_minor` column in its currency, where no reader's locale is at hand."""
    return _reader(None).minor(amount, currency)


@register.filter
def promised(promise: object, reader: object = None) -> str:
    """The amount of a promise."""
    return _reader(reader).minor(getattr(promise, "amount_minor", 0), getattr(promise, "currency", ""))


_TIMELINE_ICONS = {
    "payment": "credit_card", "attempt": "credit_card", "message": "mail", "contact": "mail", "sms": "sms", "call": "call", "no_answer": "phone_missed", "note": "sticky_note_2",
    "promise": "handshake", "ticket": "confirmation_number", "event": "webhook", "decision": "gavel", "execution": "outbox", "outcome": "payments",
    "proposal": "draft", "case": "folder", "failure": "credit_card_off", "step": "trip_origin",
}  # fmt: skip


@register.filter
def timeline_icon(kind: str) -> str:
    """The symbol of an entry of the timeline."""
    return _TIMELINE_ICONS.get(kind, "circle")
