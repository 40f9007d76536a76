"""Counts breaches of the limits. It knows what the outside world saw and what people said, and nothing of our tables or our rules' code.

Each limit is written down here a second time, in the plainest way there is, so that a mistake in one place does not hide in the other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import holidays

DAY = timedelta(days=1)
WINDOWS = {  # network or rail: (how many, within, of what)
    "visa": (15, 30 * DAY, "charge"),
    "mastercard": (35, 30 * DAY, "charge"),
    "american_express": (20, 30 * DAY, "charge"),
    "discover": (20, 30 * DAY, "charge"),
    "ach": (3, 180 * DAY, "invoice"),
    "sepa": (3, 30 * DAY, "invoice"),
    "bacs": (3, 30 * DAY, "invoice"),
}
VISA_NEVER = frozenset({"03", "04", "07", "12", "15", "41", "43", "57", "62", "78", "93", "R0", "R1", "R3"})
MASTERCARD_NEVER = frozenset({"03", "21"})
HARD = frozenset({"lost_stolen", "fraud", "closed_account", "invalid_card", "revocation", "expired_card", "auth_required"})
"""What a bank says that another try with the same card cannot mend, in the site's own words."""


@dataclass(frozen=True)
class Message:
    """A mail or text message that arrived."""

    at: datetime
    channel: str
    customer: str
    words: str = ""


@dataclass(frozen=True)
class Payment:
    """A try to collect, as the site's transaction says. `card` tells one instrument from another."""

    at: datetime
    customer: str
    invoice: str
    card: str
    account: str
    network: str
    amount: int
    currency: str
    succeeded: bool
    category: str = ""
    network_code: str = ""
    advice: str = ""


@dataclass(frozen=True)
class Call:
    """A write that arrived at the site: `what` is the operation, `invoice` what it was about."""

    at: datetime
    what: str
    invoice: str


@dataclass(frozen=True)
class Place:
    """Where a customer is: every zone they may be in, and the country whose days off count."""

    country: str
    zones: tuple[str, ...]


@dataclass
class Seen:
    """Everything the outside world saw of us."""

    places: dict[str, Place] = field(default_factory=dict)
    owner: dict[str, str] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    numbers: dict[str, str] = field(default_factory=dict)
    """`owner` gives the customer of each invoice, `numbers` the phone number of each customer."""

    def at_number_of(self, customer: str) -> frozenset[str]:
        """Who has the same phone number: whom a text message to it was meant for cannot be seen from outside."""
        number = self.numbers.get(customer)
        return frozenset({customer, *(one for one, held in self.numbers.items() if number and held == number)})


@dataclass(frozen=True)
class Said:
    """What customers and colleagues said: `what` about whom, from when, until when (for good when nothing is named)."""

    what: str
    customer: str
    since: datetime
    until: datetime | None = None
    channel: str = ""
    invoice: str = ""

    def holds(self, at: datetime) -> bool:
        return self.since < at and (self.until is None or at < self.until)


@dataclass(frozen=True)
class Limits:
    """What the leads have set. Amounts in cents of the reference currency; `frequency` is (from when, how many in seven days)."""

    frequency: Sequence[tuple[datetime, int]]
    first_hour: int
    last_hour: int
    daily_count: int
    daily_amount: int
    amount_alone: int
    two_people_above: int
    messages_per_invoice: int
    charges_per_invoice: int
    rates: dict[str, tuple[str, int]]
    """Per currency: units of the reference currency for one unit, and the decimals of the currency."""

    def reference(self, minor: int, currency: str) -> float:
        rate, decimals = self.rates[currency]
        return minor / 10**decimals * float(rate) * 100


@dataclass(frozen=True)
class Approvals:
    """How many people approved a charge of this invoice, as they wrote down themselves."""

    charges: dict[str, list[tuple[datetime, int]]] = field(default_factory=lambda: defaultdict(list))

    def people(self, invoice: str, at: datetime) -> int:
        return max((count for when, count in self.charges.get(invoice, []) if when <= at), default=0)


@dataclass(frozen=True)
class Breach:
    """One thing that must not have happened."""

    rule: str
    who: str
    at: datetime


def breaches(seen: Seen, said: Iterable[Said], limits: Limits, approvals: Approvals) -> list[Breach]:
    """Every breach, by rule, customer or invoice, and moment."""
    words = list(said)
    found = _confirmations(seen, words)
    # What answers the customer's own STOP is held against the rule about it and against no other.
    answers = _answers(seen, words)
    seen = replace(seen, messages=[message for message in seen.messages if message not in answers])
    ours = [payment for payment in seen.payments if _is_ours(payment, seen.calls)]
    found += _hours_and_days_off(seen, limits)
    found += _frequency(seen, words, limits)
    found += _stops(seen, ours, words)
    found += _windows(seen.payments, ours)
    found += _hard_declines(seen.payments, ours)
    found += _per_day(seen, ours, words, limits)
    found += _per_invoice(seen, ours, limits)
    found += _people(ours, limits, approvals)
    found += _after_payment(seen, ours)
    return found


def _answers(seen: Seen, words: list[Said]) -> list[Message]:
    """The first text message within five minutes after each STOP."""
    answers = []
    for word in words:
        if word.what == "opt out" and word.channel == "sms":
            there = seen.at_number_of(word.customer)
            after = [
                message for message in seen.messages if message.customer in there and message.channel == "sms" and message.at >= word.since
            ]
            answers += [message for message in after[:1] if message.at - word.since <= timedelta(minutes=5)]
    return answers


def _confirmations(seen: Seen, words: list[Said]) -> list[Breach]:
    """Each STOP is confirmed, unless everything was stopped just then; a second message would be one after an opt-out."""
    confirmed = {message.customer for message in _answers(seen, words)}
    stopped = [word for word in words if word.what == "stopped"]
    return [
        Breach("STOP was not confirmed", word.customer, word.since)
        for word in words
        if word.what == "opt out"
        and word.channel == "sms"
        and not seen.at_number_of(word.customer) & confirmed
        and not any(one.since <= word.since and (one.until is None or word.since < one.until) for one in stopped)
    ]


def by_rule(found: Iterable[Breach]) -> dict[str, int]:
    """How often each rule was broken."""
    return dict(Counter(breach.rule for breach in found))


def ours_among(seen: Seen) -> list[Payment]:
    """The payments that a call of ours set off."""
    return [payment for payment in seen.payments if _is_ours(payment, seen.calls)]


def _is_ours(payment: Payment, calls: Sequence[Call]) -> bool:
    return any(
        call.what == "collect_payment" and call.invoice == payment.invoice and abs(call.at - payment.at) <= timedelta(seconds=5)
        for call in calls
    )


def _hours_and_days_off(seen: Seen, limits: Limits) -> list[Breach]:
    found = []
    for message in seen.messages:
        place = seen.places[message.customer]
        for zone in place.zones:
            local = message.at.astimezone(ZoneInfo(zone))
            if not limits.first_hour <= local.hour < limits.last_hour:
                found.append(Breach("quiet hours", message.customer, message.at))
                break
        for zone in place.zones:
            if _is_day_off(place.country, message.at.astimezone(ZoneInfo(zone)).date()):
                found.append(Breach("day off", message.customer, message.at))
                break
    return found


def _is_day_off(country: str, day: date) -> bool:
    return day in holidays.country_holidays(country, years=day.year)


def _frequency(seen: Seen, words: list[Said], limits: Limits) -> list[Breach]:
    moments: dict[str, list[tuple[datetime, bool]]] = defaultdict(list)
    for message in seen.messages:
        moments[message.customer].append((message.at, True))
    for word in words:
        if word.what == "conversation":
            moments[word.customer].append((word.since, False))
    found = []
    for customer, all_of_them in moments.items():
        for at, is_message in all_of_them:
            allowed = [most for since, most in limits.frequency if since <= at][-1]
            count = sum(1 for other, _ in all_of_them if at - 7 * DAY < other <= at)
            if is_message and count > allowed:
                found.append(Breach("frequency", customer, at))
    return found


def _stops(seen: Seen, ours: list[Payment], words: list[Said]) -> list[Breach]:
    """Opt-outs, the suppression list, disputes, promises, hardship, observed customers, the kill switch."""
    found = []
    for word in words:
        for message in seen.messages:
            if not word.holds(message.at):
                continue
            same = word.customer == message.customer
            about = same and word.invoice and word.invoice in message.words
            if (
                (word.what == "opt out" and same and word.channel == message.channel)
                or (word.what in ("suppressed", "hardship", "observed") and same)
                or (word.what in ("dispute", "promise") and about)
                or word.what == "stopped"
            ):
                found.append(Breach(f"message after: {word.what}", message.customer, message.at))
        for payment in ours:
            if not word.holds(payment.at):
                continue
            same = word.customer == payment.customer
            if (
                (word.what in ("hardship", "observed") and same)
                or (word.what in ("dispute", "promise") and word.invoice == payment.invoice)
                or word.what == "stopped"
            ):
                found.append(Breach(f"charge after: {word.what}", payment.invoice, payment.at))
    return found


def _windows(payments: list[Payment], ours: list[Payment]) -> list[Breach]:
    found = []
    of_card: dict[str, list[Payment]] = defaultdict(list)
    for payment in payments:
        of_card[payment.card].append(payment)
    for mine in ours:
        if mine.network not in WINDOWS:
            found.append(Breach("network without a limit", mine.invoice, mine.at))
            continue
        most, within, of = WINDOWS[mine.network]
        before = [other for other in of_card[mine.card] if mine.at - within < other.at <= mine.at]
        if of == "charge":
            same = [o for o in before if (o.account, o.amount, o.currency) == (mine.account, mine.amount, mine.currency)]
        else:
            same = [other for other in before if other.invoice == mine.invoice]
        if len(same) > most:
            found.append(Breach("retry window", mine.invoice, mine.at))
        lately = [other for other in before if other is not mine and not other.succeeded and mine.at - DAY < other.at]
        if mine.network == "mastercard" and len(lately) >= 10:
            found.append(Breach("ten declines in a day", mine.invoice, mine.at))
    return found


def _hard_declines(payments: list[Payment], ours: list[Payment]) -> list[Breach]:
    found = []
    for mine in ours:
        for earlier in payments:
            if earlier is mine or earlier.card != mine.card or earlier.succeeded or earlier.at >= mine.at:
                continue
            never = (
                (mine.network == "visa" and earlier.network_code in VISA_NEVER)
                or (mine.network == "mastercard" and earlier.advice in MASTERCARD_NEVER)
                or earlier.category in HARD
            )
            if never:
                found.append(Breach("retry after a hard decline", mine.invoice, mine.at))
                break
    return found


def _per_day(seen: Seen, ours: list[Payment], words: list[Said], limits: Limits) -> list[Breach]:
    """Messages, charges and holds of dunning count as one action each; money per currency."""
    by_people = {word.invoice for word in words if word.what == "dispute"}
    actions: Counter[date] = Counter(message.at.astimezone(UTC).date() for message in seen.messages)
    actions.update(
        call.at.astimezone(UTC).date()
        for call in seen.calls
        if call.what in ("collect_payment", "pause_dunning", "resume_dunning") and call.invoice not in by_people
    )
    money: dict[tuple[date, str], float] = defaultdict(float)
    for payment in ours:
        money[payment.at.astimezone(UTC).date(), payment.currency] += limits.reference(payment.amount, payment.currency)
    found = [Breach("daily count", str(day), _noon(day)) for day, count in actions.items() if count > limits.daily_count]
    found += [Breach("daily money", currency, _noon(day)) for (day, currency), cents in money.items() if cents > limits.daily_amount]
    return found


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def _per_invoice(seen: Seen, ours: list[Payment], limits: Limits) -> list[Breach]:
    found = []
    charges = Counter(payment.invoice for payment in ours)
    found += [
        Breach("charges of one invoice", invoice, max(one.at for one in ours if one.invoice == invoice))
        for invoice, count in charges.items()
        if count > limits.charges_per_invoice
    ]
    messages: dict[str, list[Message]] = defaultdict(list)
    for message in seen.messages:
        for invoice in _about(message, seen):
            messages[invoice].append(message)
    found += [
        Breach("messages about one invoice", invoice, several[-1].at)
        for invoice, several in messages.items()
        if len(several) > limits.messages_per_invoice
    ]
    return found


def _about(message: Message, seen: Seen) -> list[str]:
    return [invoice for invoice, customer in seen.owner.items() if customer == message.customer and invoice in message.words.split()]


def _people(ours: list[Payment], limits: Limits, approvals: Approvals) -> list[Breach]:
    found = []
    for payment in ours:
        amount = limits.reference(payment.amount, payment.currency)
        people = approvals.people(payment.invoice, payment.at)
        if amount > limits.amount_alone and people < 1:
            found.append(Breach("amount without a person", payment.invoice, payment.at))
        if amount > limits.two_people_above and people < 2:
            found.append(Breach("amount without two people", payment.invoice, payment.at))
    return found


def _after_payment(seen: Seen, ours: list[Payment]) -> list[Breach]:
    paid = {payment.invoice: payment.at for payment in seen.payments if payment.succeeded}
    found = [
        Breach("message after the payment", invoice, message.at)
        for message in seen.messages
        for invoice in _about(message, seen)
        if invoice in paid and paid[invoice] < message.at
    ]
    found += [
        Breach("charge after the payment", mine.invoice, mine.at)
        for mine in ours
        if any(one.succeeded and one.invoice == mine.invoice and one.at < mine.at for one in seen.payments)
    ]
    return found
