"""The score for a new installation, before there are outcomes to learn from: a table of effects that anyone can read and argue with.

It is judgement, not a learned model, and says so (`ORIGIN`). Each rule is a curve from a signal to a change in the log of the monthly rate
of leaving. The rates give the chance of leaving within 30, 60 and 90 days; the same effects, room by room, give health. A signal that is
not known has no effect at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from agents.churn.signals import BY_NAME, FIELDS, ROOMS, CustomerSignals, FloatArray, Room, Signal, SignalColumns, columns_of

ORIGIN = "A scorecard of set rules, not learned from your customers: use it to sort, not to forecast."
HORIZONS_DAYS = (30, 60, 90)
NEUTRAL_HEALTH = 80.0
POINTS_PER_EFFECT = 25.0
SCHEDULED_CANCELLATION = 0.92  # a few change their mind
_SMALLEST_EFFECT = 0.05


@dataclass(frozen=True, slots=True)
class Rule:
    """The effect of one signal, straight between the knots and flat outside: above 0 leaves sooner, below 0 stays longer."""

    signal: Signal
    knots: tuple[float, ...]
    effects: tuple[float, ...]

    def effect(self, values: FloatArray) -> FloatArray:
        """The effect of each of the signal's values, NaN where it is not known."""
        return np.asarray(np.interp(values, self.knots, self.effects))


RULES: tuple[Rule, ...] = tuple(
    Rule(BY_NAME[name], knots, effects)
    for name, knots, effects in (
        ("failed_payments", (0, 1, 3, 6), (0, 0.35, 1.0, 1.4)),
        ("late_payments", (0, 1, 3), (0, 0.15, 0.5)),
        ("disputes", (0, 1, 2), (0, 0.7, 1.1)),
        ("downgrades", (0, 1, 2), (0, 0.6, 0.9)),
        ("tenure", (0, 90, 365, 1095), (0.5, 0.3, 0.0, -0.5)),
        ("mrr_change", (-0.5, -0.1, 0, 0.2), (0.7, 0.2, 0, -0.2)),
        ("seat_change", (-0.5, -0.1, 0, 0.2), (0.7, 0.2, 0, -0.2)),
        ("discount_ends", (0, 30, 90), (0.5, 0.4, 0)),
        ("card_expires", (0, 30, 60), (0.35, 0.2, 0)),
        ("cancellation", (0, 120, 365), (2.5, 1.5, 0)),
        ("reactivated", (0, 1), (0, 0.5)),
        ("tickets_open", (0, 1, 4), (0, 0.1, 0.5)),
        ("oldest_ticket", (0, 3, 14), (0, 0.1, 0.6)),
        ("ticket_tone", (-1, -0.2, 0.2, 1), (0.8, 0.1, 0, -0.2)),
        ("answer_rate", (0, 0.5, 1), (0.2, 0, -0.2)),
        ("usage_change", (-1, -0.5, -0.15, 0.15, 0.5), (1.4, 0.8, 0, 0, -0.25)),
        ("usage", (0, 1, 20), (0.6, 0.2, 0)),
    )
)
_RENEWAL_WITHIN, _RENEWAL_LATER = 1.5, 0.5  # times the rate: a term that ends within the horizon can be left; one that does not holds


@dataclass(frozen=True, slots=True)
class HealthWeights:
    """How much each room counts in health. Raises ValueError when one is negative or all are 0."""

    billing: float = 0.4
    support: float = 0.25
    product: float = 0.35

    def __post_init__(self) -> None:
        values = self.as_array()
        if not np.isfinite(values).all() or (values < 0).any() or not (values > 0).any():
            raise ValueError("health weights are numbers of at least 0, and one of them above 0")

    def as_array(self) -> FloatArray:
        """The weights in the order of ROOMS."""
        return np.array([self.billing, self.support, self.product], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Scorecard:
    """The settings. `monthly_churn` is the share of customers that leaves in a month without any reason for or against, 0 to 1."""

    monthly_churn: float = 0.02
    weights: HealthWeights = field(default_factory=HealthWeights)

    def __post_init__(self) -> None:
        if not 0 < self.monthly_churn < 1:
            raise ValueError("monthly_churn is a share between 0 and 1")


@dataclass(frozen=True, slots=True)
class BatchScores:
    """Scores of many customers: `probabilities` (customers, 3) for HORIZONS_DAYS; `health` 0–100, NaN where nothing is known; `rooms`
    (customers, 3) the health of each room, NaN where nothing of it is known; `effects` (customers, rules)."""

    probabilities: FloatArray
    health: FloatArray
    rooms: FloatArray
    effects: FloatArray


@dataclass(frozen=True, slots=True)
class ScoreReason:
    """Why: `effect` on the log rate of leaving (above 0 raises it), what it costs (below 0) or gives in points of its room's health, words."""

    signal: str
    effect: float
    points: float
    words: str


@dataclass(frozen=True, slots=True)
class CustomerScore:
    """One customer's score: the chance of leaving by horizon in days, health 0–100 or None, each room's health, reasons, and where it is from."""

    within: dict[int, float]
    health: float | None
    rooms: dict[Room, float | None]
    raised: tuple[ScoreReason, ...]
    lowered: tuple[ScoreReason, ...]
    unknown: tuple[str, ...]
    origin: str


def score_columns(columns: SignalColumns, card: Scorecard) -> BatchScores:
    """Every customer scored at once. Each signal is read once, for its effect and for whether anything of its room is known."""
    customers = len(columns[FIELDS[0]])
    effects = np.empty((len(RULES), customers))
    total = np.zeros(customers)
    by_room = {room: np.zeros(customers) for room in ROOMS}
    is_unknown = {room: np.ones(customers, dtype=np.bool_) for room in ROOMS}
    for own, rule in zip(effects, RULES, strict=True):
        own[:] = rule.effect(rule.signal.of(columns))
        unknown = np.isnan(own)
        is_unknown[rule.signal.room] &= unknown
        own[unknown] = 0.0
        by_room[rule.signal.room] += own
    rooms = np.empty((customers, len(ROOMS)))
    for position, room in enumerate(ROOMS):
        total += by_room[room]
        rooms[:, position] = np.clip(NEUTRAL_HEALTH - POINTS_PER_EFFECT * by_room[room], 0.0, 100.0)
        rooms[is_unknown[room], position] = np.nan
    return BatchScores(_probabilities(columns, total, card), blend_health(rooms, card.weights), rooms, effects.T)


def _probabilities(columns: SignalColumns, total: FloatArray, card: Scorecard) -> FloatArray:
    renewal, cancellation = columns["days_to_renewal"], columns["cancellation_in_days"]
    base = -math.log1p(-card.monthly_churn) / 30.0  # rate a day
    is_open = np.isnan(renewal)
    rate = np.exp(total)
    probabilities = np.empty((len(total), len(HORIZONS_DAYS)))
    for position, days in enumerate(HORIZONS_DAYS):
        term = np.where(is_open, 1.0, np.where(renewal <= days, _RENEWAL_WITHIN, _RENEWAL_LATER))
        leaving = -np.expm1(-base * days * rate * term)
        probabilities[:, position] = np.where(cancellation <= days, np.maximum(leaving, SCHEDULED_CANCELLATION), leaving)
    return probabilities


def blend_health(rooms: FloatArray, weights: HealthWeights) -> FloatArray:
    """Health 0–100: the weighted mean of the rooms that are known, NaN where no room that counts is. A lead's preview calls this alone."""
    share = np.where(np.isnan(rooms), 0.0, weights.as_array())
    total = share.sum(axis=1)
    blended = (np.nan_to_num(rooms) * share).sum(axis=1)
    return np.where(total > 0, blended / np.where(total > 0, total, 1.0), np.nan)


def score_customer(
    customer: CustomerSignals,
    card: Scorecard,
    *,
    past: CustomerSignals | None = None,
    peers: Mapping[str, float] | None = None,
    most: int = 4,
) -> CustomerScore:
    """One customer with reasons in words, strongest first, set against the customer's own `past` and the `peers`' median by signal name."""
    columns = columns_of([customer])
    scores = score_columns(columns, card)
    reasons = [
        _reason(rule, float(effect), customer, past, peers or {})
        for rule, effect in zip(RULES, scores.effects[0], strict=True)
        if abs(effect) >= _SMALLEST_EFFECT
    ]
    reasons.sort(key=lambda reason: -abs(reason.effect))
    return CustomerScore(
        within={days: float(chance) for days, chance in zip(HORIZONS_DAYS, scores.probabilities[0], strict=True)},
        health=_known(scores.health[0]),
        rooms={room: _known(value) for room, value in zip(ROOMS, scores.rooms[0], strict=True)},
        raised=tuple(reason for reason in reasons if reason.effect > 0)[:most],
        lowered=tuple(reason for reason in reasons if reason.effect < 0)[:most],
        unknown=tuple(rule.signal.name for rule in RULES if rule.signal.value(customer) is None),
        origin=ORIGIN,
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _reason(rule: Rule, effect: float, customer: CustomerSignals, past: CustomerSignals | None, peers: Mapping[str, float]) -> ScoreReason:
    signal = rule.signal
    value = signal.value(customer)
    if value is None:
        raise ValueError(f"{signal.name} is not known and cannot be a reason")
    against: list[str] = []
    if "{" in signal.shape:
        before = signal.value(past) if past is not None else None
        if before is not None and before != value and math.isfinite(before):
            against.append(f"before: {signal.shape.format(before)}")
        if signal.name in peers and math.isfinite(peers[signal.name]):
            against.append(f"customers like this: {signal.shape.format(peers[signal.name])}")
    words = f"{signal.words}: {signal.shape.format(value)}" + (f" ({'; '.join(against)})" if against else "")
    return ScoreReason(signal.name, effect, -POINTS_PER_EFFECT * effect, words)
