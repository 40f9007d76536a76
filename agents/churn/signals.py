"""What is known about one customer, and the signals read from it: each a function with a name, a unit and a source.

Nothing known is None, never 0. Known and not there is written as it is: 0 disputes is 0, and a date that is known not to come (no discount
ends, a direct debit has no card to expire) is NEVER. A signal is written once, over arrays, so that one customer and a million go the same way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
SignalColumns = Mapping[str, FloatArray]  # field of CustomerSignals → one number a customer, NaN where nothing is known
Room = Literal["billing", "support", "product"]
ROOMS: tuple[Room, ...] = ("billing", "support", "product")
NEVER = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerSignals:
    """One customer's raw figures at one moment. Days to come are ≥ 0 or NEVER; counts ≥ 0; `ticket_tone` from -1 (angry) to 1 (pleased).
    Raises ValueError with the field's name on an impossible value."""

    failed_payments_90d: float | None = None
    late_payments_90d: float | None = None
    disputes_180d: float | None = None
    downgrades_180d: float | None = None
    tenure_days: float | None = None
    mrr_minor: float | None = None
    mrr_minor_90d_ago: float | None = None
    seats: float | None = None
    seats_90d_ago: float | None = None
    discount_ends_in_days: float | None = None
    card_expires_in_days: float | None = None
    days_to_renewal: float | None = None
    cancellation_in_days: float | None = None
    was_reactivated: bool | None = None
    tickets_open: float | None = None
    oldest_ticket_days: float | None = None
    ticket_tone: float | None = None
    events_30d: float | None = None
    events_prior_30d: float | None = None
    messages_sent_90d: float | None = None
    messages_answered_90d: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            if math.isnan(value):
                raise ValueError(f"{field.name} is NaN; what is not known is None")
            if field.name == "ticket_tone":
                if not -1 <= value <= 1:
                    raise ValueError(f"ticket_tone is {value}; it lies between -1 and 1")
            elif value < 0:
                raise ValueError(f"{field.name} is {value}; it cannot be negative")
            elif math.isinf(value) and field.name not in _MAY_NEVER_COME:
                raise ValueError(f"{field.name} is infinite; only a day to come may be NEVER")
        if (
            self.messages_answered_90d is not None
            and self.messages_sent_90d is not None
            and self.messages_answered_90d > self.messages_sent_90d
        ):
            raise ValueError(f"messages_answered_90d is {self.messages_answered_90d}, more than the {self.messages_sent_90d} sent")


_MAY_NEVER_COME = frozenset({"discount_ends_in_days", "card_expires_in_days", "days_to_renewal", "cancellation_in_days"})
FIELDS = tuple(field.name for field in fields(CustomerSignals))


@dataclass(frozen=True, slots=True)
class Signal:
    """One figure about a customer. `words` says what it is and `shape` how its value is written; `of` gives NaN where it is not known."""

    name: str
    unit: str
    source: str
    room: Room
    words: str
    shape: str
    of: Callable[[SignalColumns], FloatArray]

    def value(self, customer: CustomerSignals) -> float | None:
        """The signal of one customer, or None when it is not known."""
        found = float(self.of(columns_of([customer]))[0])
        return None if math.isnan(found) else found


def columns_of(customers: Sequence[CustomerSignals]) -> dict[str, FloatArray]:
    """The customers' figures as one array a field, NaN where nothing is known."""
    return {
        name: np.array(
            [math.nan if (value := getattr(customer, name)) is None else float(value) for customer in customers], dtype=np.float64
        )
        for name in FIELDS
    }


def _field(name: str) -> Callable[[SignalColumns], FloatArray]:
    return lambda columns: columns[name]


def relative_change(now: FloatArray, before: FloatArray) -> FloatArray:
    """(now - before) / before; NaN where either is not known or there was nothing before."""
    known = before > 0
    with np.errstate(over="ignore"):  # beyond the largest float the change is infinite, which the rules take as their last knot
        return np.where(known, (now - before) / np.where(known, before, 1.0), np.nan)


def _mrr_change(columns: SignalColumns) -> FloatArray:
    return relative_change(columns["mrr_minor"], columns["mrr_minor_90d_ago"])


def _seat_change(columns: SignalColumns) -> FloatArray:
    return relative_change(columns["seats"], columns["seats_90d_ago"])


def _usage_change(columns: SignalColumns) -> FloatArray:
    return relative_change(columns["events_30d"], columns["events_prior_30d"])


def _answer_rate(columns: SignalColumns) -> FloatArray:
    sent = columns["messages_sent_90d"]
    known = sent > 0
    return np.where(known, columns["messages_answered_90d"] / np.where(known, sent, 1.0), np.nan)


def _oldest_open_ticket(columns: SignalColumns) -> FloatArray:
    """The age counts only while a ticket is open; with none open it is known to be 0."""
    return np.where(columns["tickets_open"] == 0, 0.0, columns["oldest_ticket_days"])


SIGNALS: tuple[Signal, ...] = (
    Signal(
        "failed_payments",
        "payments in 90 days",
        "facts: payment attempts that failed",
        "billing",
        "failed payments in 90 days",
        "{:g}",
        _field("failed_payments_90d"),
    ),
    Signal(
        "late_payments",
        "invoices in 90 days",
        "facts: invoices paid after their due date",
        "billing",
        "invoices paid late in 90 days",
        "{:g}",
        _field("late_payments_90d"),
    ),
    Signal(
        "disputes",
        "disputes in 180 days",
        "cases: what the customer disputed",
        "billing",
        "disputes in 180 days",
        "{:g}",
        _field("disputes_180d"),
    ),
    Signal(
        "downgrades",
        "changes in 180 days",
        "facts: subscription changes to a lower value",
        "billing",
        "downgrades in 180 days",
        "{:g}",
        _field("downgrades_180d"),
    ),
    Signal("tenure", "days", "facts: the first subscription's start", "billing", "a customer since", "{:,.0f} days", _field("tenure_days")),
    Signal("mrr_change", "share", "metrics: MRR now and 90 days ago", "billing", "MRR over 90 days", "{:+.0%}", _mrr_change),
    Signal("seat_change", "share", "facts: seats now and 90 days ago", "billing", "seats over 90 days", "{:+.0%}", _seat_change),
    Signal(
        "discount_ends",
        "days",
        "facts: the discount's end",
        "billing",
        "a discount ends in",
        "{:.0f} days",
        _field("discount_ends_in_days"),
    ),
    Signal(
        "card_expires",
        "days",
        "facts: the payment source's expiry",
        "billing",
        "the card expires in",
        "{:.0f} days",
        _field("card_expires_in_days"),
    ),
    Signal("renewal", "days", "facts: the term's end", "billing", "renewal in", "{:.0f} days", _field("days_to_renewal")),
    Signal(
        "cancellation",
        "days",
        "facts: the scheduled cancellation",
        "billing",
        "cancellation scheduled in",
        "{:.0f} days",
        _field("cancellation_in_days"),
    ),
    Signal(
        "reactivated",
        "0 or 1",
        "facts: a cancelled subscription that came back",
        "billing",
        "came back after a cancellation",
        "yes",
        _field("was_reactivated"),
    ),
    Signal("tickets_open", "tickets", "help desk: tickets not solved", "support", "open tickets", "{:g}", _field("tickets_open")),
    Signal(
        "oldest_ticket",
        "days",
        "help desk: the oldest open ticket",
        "support",
        "the oldest open ticket waits",
        "{:.0f} days",
        _oldest_open_ticket,
    ),
    Signal(
        "ticket_tone",
        "-1 to 1",
        "help desk: tone of the last tickets",
        "support",
        "tone of tickets, -1 to 1",
        "{:+.1f}",
        _field("ticket_tone"),
    ),
    Signal("answer_rate", "share", "outcomes: our messages that were answered", "support", "our messages answered", "{:.0%}", _answer_rate),
    Signal(
        "usage_change",
        "share",
        "API: usage events, last 30 days and the 30 before",
        "product",
        "use over 30 days",
        "{:+.0%}",
        _usage_change,
    ),
    Signal("usage", "events in 30 days", "API: usage events", "product", "uses in 30 days", "{:,.0f}", _field("events_30d")),
)
BY_NAME = {signal.name: signal for signal in SIGNALS}
