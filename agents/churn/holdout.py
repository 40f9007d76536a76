"""A group that gets no intervention, so that the effect of interventions can be measured, and the measurement."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

FEWEST_PER_GROUP = 100
FEWEST_EVENTS = 10
_Z = 1.959963984540054


def is_held_out(customer_id: str, *, salt: str, share: float) -> bool:
    """Whether the customer is in the hold-out group. The same customer always is or is not, a larger share only adds customers, and another
    salt draws another group. Raises ValueError on a share outside 0 to 1, or no id."""
    if not 0 <= share <= 1:
        raise ValueError("the hold-out share lies between 0 and 1")
    if not customer_id:
        raise ValueError("a customer without an id cannot be put in a group")
    digest = hashlib.sha256(f"{salt}\x1f{customer_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


@dataclass(frozen=True, slots=True)
class Group:
    """How many customers there were and how many of them left."""

    customers: int
    left: int

    def __post_init__(self) -> None:
        if not 0 <= self.left <= self.customers:
            raise ValueError(f"{self.left} of {self.customers} customers cannot have left")

    @property
    def rate(self) -> float:
        """The share that left."""
        return self.left / self.customers


@dataclass(frozen=True, slots=True)
class Effect:
    """The share that left among the treated minus that in the hold-out group (below 0: interventions kept customers), with its 95 % interval.
    All three are None when there is not enough data; `words` says it either way."""

    difference: float | None
    low: float | None
    high: float | None
    words: str


def measure_effect(treated: Group, held_out: Group) -> Effect:
    """The difference with Newcombe's interval, or 'not enough data' below 100 customers a group or 10 that left in all."""
    if min(treated.customers, held_out.customers) < FEWEST_PER_GROUP or treated.left + held_out.left < FEWEST_EVENTS:
        return Effect(
            None,
            None,
            None,
            f"Not enough data: {treated.customers} treated and {held_out.customers} held out, {treated.left + held_out.left} left. "
            f"It takes {FEWEST_PER_GROUP} in each group and {FEWEST_EVENTS} that left.",
        )
    difference = treated.rate - held_out.rate
    low, high = newcombe_interval(treated, held_out)
    verdict = (
        "no effect can be told from chance" if low <= 0 <= high else "fewer leave when treated" if high < 0 else "more leave when treated"
    )
    return Effect(
        difference,
        low,
        high,
        f"{treated.rate:.1%} of {treated.customers} treated left, {held_out.rate:.1%} of {held_out.customers} held out: "
        f"{difference * 100:+.1f} points ({low * 100:+.1f} to {high * 100:+.1f}); {verdict}.",
    )


def newcombe_interval(treated: Group, held_out: Group) -> tuple[float, float]:
    """The 95 % interval of the difference of two shares (Newcombe 1998, method 10). Both groups need a customer."""
    treated_low, treated_high = _wilson(treated)
    held_low, held_high = _wilson(held_out)
    difference = treated.rate - held_out.rate
    return (
        difference - math.hypot(treated.rate - treated_low, held_high - held_out.rate),
        difference + math.hypot(treated_high - treated.rate, held_out.rate - held_low),
    )


def _wilson(group: Group) -> tuple[float, float]:
    square = _Z * _Z
    middle = group.rate + square / (2 * group.customers)
    half = _Z * math.sqrt(group.rate * (1 - group.rate) / group.customers + square / (4 * group.customers**2))
    scale = 1 + square / group.customers
    return (middle - half) / scale, (middle + half) / scale
