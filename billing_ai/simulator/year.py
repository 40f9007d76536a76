"""A year of many customers whose leaving has known causes: what happens to them week by week, and the truth behind it.

Not a site to call: the events come as plain values, for measuring what scores are worth. The truth (`Year.left`, `Year.at_work`) is never
among the events. A customer leaves by a daily chance that is the sum of a small one without any visible cause and of those of the causes
at work; each cause shows itself in its own way, late and noisily, and most of the time it passes without the customer leaving.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Cause = Literal["payments", "unused", "support", "price", "shrinking", "unseen"]
MONTHLY: dict[Cause, float] = {"payments": 0.11, "unused": 0.15, "support": 0.13, "price": 0.14, "shrinking": 0.10, "unseen": 0.007}
"""The chance of leaving in a month while the cause is at work."""
ONSET: dict[Cause, float] = {"payments": 0.020, "unused": 0.028, "support": 0.018, "shrinking": 0.015}
"""The chance a month that the cause begins for a customer."""
LASTS_DAYS = (40, 130)
NOTICE_SHARE, NOTICE_DAYS = 0.35, (10, 40)
"""So many of those who leave say so before, by a scheduled cancellation so many days ahead."""
WEEK = 7


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happens to one customer on a day of the year (0 is the first)."""

    kind: Literal["use", "payment_failed", "payment_late", "ticket", "ticket_solved", "seats", "scheduled", "left"]
    customer: int
    day: float
    value: float = 0.0
    """Seats: how many there are now. Ticket: its number, below 0 when it is angry. Scheduled: the day of the end."""


@dataclass(slots=True)
class Made:
    """One customer as they are made: `tenure_days` before the year, MRR in minor units, seats, the day on which a discount ends."""

    number: int
    tenure_days: int
    mrr_minor: int
    seats: int
    uses_a_week: float
    discount_ends: int | None
    at_work: dict[Cause, int] = field(default_factory=dict)
    """Each cause and the day until which it is at work."""
    tickets: list[tuple[float, int]] = field(default_factory=list)
    leaves: float | None = None
    is_gone: bool = False


class Year:
    """The customers, the weeks, and the truth."""

    def __init__(self, customers: int, *, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._ticket = 0
        self.customers = [self._make(number) for number in range(customers)]
        self.left: dict[int, tuple[float, Cause]] = {}
        """Who left: the day, and the cause."""
        self.day = 0

    def _make(self, number: int) -> Made:
        draw = self._random
        seats = max(2, round(math.exp(draw.gauss(2.3, 0.7))))
        return Made(
            number,
            tenure_days=draw.randint(30, 1500),
            mrr_minor=seats * draw.choice((900, 1_900, 2_900)),
            seats=seats,
            uses_a_week=max(0.4, draw.gauss(2.0, 0.8)),
            discount_ends=draw.randint(20, 360) if draw.random() < 0.2 else None,
        )

    def at_work(self, number: int) -> frozenset[Cause]:
        """The causes at work on a customer today; `unseen` always is."""
        made = self.customers[number]
        causes: set[Cause] = {cause for cause, until in made.at_work.items() if until > self.day}
        if made.discount_ends is not None and made.discount_ends - 20 <= self.day <= made.discount_ends + 45:
            causes.add("price")
        return frozenset(causes | {"unseen"})

    def chance(self, number: int) -> float:
        """The chance of leaving in a month, as things stand today: what no score can beat."""
        if self.customers[number].leaves is not None:
            return 1.0
        return 1.0 - math.prod(1.0 - MONTHLY[cause] for cause in self.at_work(number))

    def weeks(self, until_day: int = 365) -> Iterator[list[Happening]]:
        """What happens, a week at a time. `day` is the last day of the week that was given."""
        while self.day + WEEK <= until_day:
            happened = [one for made in self.customers if not made.is_gone for one in self._week(made)]
            self.day += WEEK
            yield happened

    def _week(self, made: Made) -> Iterator[Happening]:
        draw, first = self._random, self.day
        for cause, monthly in ONSET.items():
            if made.at_work.get(cause, -1) <= first and draw.random() < monthly * WEEK / 30:
                made.at_work[cause] = first + draw.randint(*LASTS_DAYS)
        causes = self.at_work(made.number)
        yield from self._signs(made, causes, first)
        if made.leaves is None:
            weekly = {cause: 1.0 - (1.0 - MONTHLY[cause]) ** (WEEK / 30) for cause in causes}
            if draw.random() < 1.0 - math.prod(1.0 - chance for chance in weekly.values()):
                cause = draw.choices(list(weekly), weights=list(weekly.values()))[0]
                made.leaves = first + draw.uniform(0, WEEK)
                if draw.random() < NOTICE_SHARE:
                    said, made.leaves = made.leaves, made.leaves + draw.randint(*NOTICE_DAYS)
                    yield Happening("scheduled", made.number, said, made.leaves)
                self.left[made.number] = (made.leaves, cause)
        if made.leaves is not None and made.leaves < first + WEEK:
            made.is_gone = True
            yield Happening("left", made.number, made.leaves)

    def _signs(self, made: Made, causes: frozenset[Cause], first: int) -> Iterator[Happening]:
        """How causes show themselves, and the same without a cause, which is rarer."""
        draw = self._random

        def when() -> float:
            return first + draw.uniform(0, WEEK)

        rate = made.uses_a_week * (0.25 if "unused" in causes else 1.0)
        for _ in range(_poisson(draw, rate)):
            yield Happening("use", made.number, when())
        if draw.random() < (0.35 if "payments" in causes else 0.012):
            yield Happening("payment_failed", made.number, when())
        if draw.random() < (0.12 if "payments" in causes else 0.02):
            yield Happening("payment_late", made.number, when())
        if "shrinking" in causes and made.seats > 2 and draw.random() < 0.22:
            made.seats = max(2, round(made.seats * draw.uniform(0.6, 0.9)))
            yield Happening("seats", made.number, when(), made.seats)
        if draw.random() < (0.35 if "support" in causes else 0.03):
            self._ticket += 1
            made.tickets.append((first + (draw.uniform(14, 50) if "support" in causes else draw.uniform(1, 6)), self._ticket))
            yield Happening("ticket", made.number, when(), self._ticket if "support" not in causes else -self._ticket)
        for solved, number in [one for one in made.tickets if one[0] < first]:
            made.tickets.remove((solved, number))
            yield Happening("ticket_solved", made.number, first, number)


def _poisson(draw: random.Random, mean: float) -> int:
    limit, product, count = math.exp(-mean), draw.random(), 0
    while product > limit:
        product *= draw.random()
        count += 1
    return count
