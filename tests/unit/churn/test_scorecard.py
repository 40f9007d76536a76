"""Signals know missing from zero; the scorecard is monotone, re-weighs what is known, and gives its reasons."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.churn.scorecard import (
    HORIZONS_DAYS,
    ORIGIN,
    RULES,
    SCHEDULED_CANCELLATION,
    HealthWeights,
    Scorecard,
    score_columns,
    score_customer,
)
from agents.churn.signals import BY_NAME, FIELDS, NEVER, SIGNALS, CustomerSignals, columns_of

CARD = Scorecard(monthly_churn=0.02)


@pytest.mark.parametrize(
    ("name", "customer", "value"),
    [
        ("failed_payments", CustomerSignals(failed_payments_90d=0), 0.0),
        ("failed_payments", CustomerSignals(), None),
        ("usage_change", CustomerSignals(events_30d=0, events_prior_30d=200), -1.0),
        ("usage_change", CustomerSignals(events_30d=50, events_prior_30d=0), None),
        ("usage_change", CustomerSignals(events_30d=50), None),
        ("mrr_change", CustomerSignals(mrr_minor=15000, mrr_minor_90d_ago=10000), 0.5),
        ("seat_change", CustomerSignals(seats=3, seats_90d_ago=4), -0.25),
        ("answer_rate", CustomerSignals(messages_sent_90d=0, messages_answered_90d=0), None),
        ("answer_rate", CustomerSignals(messages_sent_90d=4, messages_answered_90d=1), 0.25),
        ("oldest_ticket", CustomerSignals(tickets_open=0), 0.0),
        ("oldest_ticket", CustomerSignals(tickets_open=1, oldest_ticket_days=6), 6.0),
        ("oldest_ticket", CustomerSignals(tickets_open=1), None),
        ("card_expires", CustomerSignals(card_expires_in_days=NEVER), math.inf),
        ("reactivated", CustomerSignals(was_reactivated=True), 1.0),
    ],
)
def test_a_signal_is_its_value_or_not_known(name: str, customer: CustomerSignals, value: float | None) -> None:
    assert BY_NAME[name].value(customer) == value


def test_every_signal_has_a_name_a_unit_and_a_source() -> None:
    assert len({signal.name for signal in SIGNALS}) == len(SIGNALS)
    assert all(signal.unit and signal.source and signal.words for signal in SIGNALS)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("events_30d", -1),
        ("events_30d", math.inf),
        ("tenure_days", -5),
        ("ticket_tone", 1.5),
        ("failed_payments_90d", math.nan),
        ("days_to_renewal", -1),
    ],
)
def test_an_impossible_value_is_refused_by_its_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        CustomerSignals(**{field: value})


def test_more_answers_than_messages_are_refused() -> None:
    with pytest.raises(ValueError, match="messages_answered_90d is 3, more than the 2 sent"):
        CustomerSignals(messages_sent_90d=2, messages_answered_90d=3)


def test_nothing_known_is_the_base_rate_without_health_or_reasons() -> None:
    score = score_customer(CustomerSignals(), CARD)
    assert score.within[30] == pytest.approx(0.02)
    assert score.within[90] == pytest.approx(1 - 0.98**3)
    assert score.health is None
    assert score.rooms == {"billing": None, "support": None, "product": None}
    assert (score.raised, score.lowered) == ((), ())
    assert len(score.unknown) == len(RULES)
    assert score.origin == ORIGIN
    assert "not learned" in ORIGIN


def test_reasons_are_set_against_the_past_and_the_peers() -> None:
    now = CustomerSignals(failed_payments_90d=3, tenure_days=1200, events_30d=40, events_prior_30d=80, was_reactivated=True)
    score = score_customer(now, CARD, past=CustomerSignals(failed_payments_90d=0, was_reactivated=False), peers={"failed_payments": 1.0})
    assert [(reason.signal, reason.words) for reason in score.raised] == [
        ("failed_payments", "failed payments in 90 days: 3 (before: 0; customers like this: 1)"),
        ("usage_change", "use over 30 days: -50%"),
        ("reactivated", "came back after a cancellation: yes"),
    ]
    assert [(reason.signal, reason.words, reason.points) for reason in score.lowered] == [("tenure", "a customer since: 1,200 days", 12.5)]


def test_health_is_blended_over_the_rooms_that_are_known() -> None:
    # given billing: 80 - 25 × 1.0 (failed payments) = 55; product: 80 - 25 × 0.8 (use halved) = 60; support unknown
    customer = CustomerSignals(failed_payments_90d=3, events_30d=40, events_prior_30d=80)
    score = score_customer(customer, Scorecard(weights=HealthWeights(0.4, 0.25, 0.35)))
    assert score.rooms == {"billing": pytest.approx(55.0), "support": None, "product": pytest.approx(60.0)}
    assert score.health == pytest.approx((0.4 * 55 + 0.35 * 60) / 0.75)
    assert score_customer(customer, Scorecard(weights=HealthWeights(0, 1, 0))).health is None


@pytest.mark.parametrize("weights", [(0, 0, 0), (-1, 1, 1), (math.nan, 1, 1), (math.inf, 1, 1)])
def test_impossible_weights_are_refused(weights: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="health weights"):
        HealthWeights(*weights)


def test_a_scheduled_cancellation_counts_from_the_horizon_it_falls_in() -> None:
    score = score_customer(CustomerSignals(cancellation_in_days=45), CARD)
    assert score.within[30] < 0.5
    assert score.within[60] >= SCHEDULED_CANCELLATION
    assert score_customer(CustomerSignals(cancellation_in_days=NEVER), CARD).within[90] == pytest.approx(1 - 0.98**3)


def test_a_term_that_holds_lowers_the_near_horizons_only() -> None:
    held, free = score_customer(CustomerSignals(days_to_renewal=75), CARD), score_customer(CustomerSignals(), CARD)
    assert held.within[60] < free.within[60]
    assert held.within[90] > free.within[90]


_NUMBERS = {
    name: st.none() | st.floats(0, 1e6) for name in FIELDS if name not in ("ticket_tone", "was_reactivated", "messages_answered_90d")
}


@given(
    st.lists(
        st.builds(CustomerSignals, **_NUMBERS, ticket_tone=st.none() | st.floats(-1, 1), was_reactivated=st.none() | st.booleans()),
        min_size=1,
    )
)
def test_any_customers_score_alike_together_and_alone(customers: list[CustomerSignals]) -> None:
    batch = score_columns(columns_of(customers), CARD)
    assert ((batch.probabilities > 0) & (batch.probabilities <= 1)).all()
    assert (np.diff(batch.probabilities, axis=1) >= 0).all()
    known = batch.health[~np.isnan(batch.health)]
    assert ((known >= 0) & (known <= 100)).all()
    for position, customer in enumerate(customers):
        alone = score_customer(customer, CARD)
        assert list(alone.within) == list(HORIZONS_DAYS)
        np.testing.assert_array_equal(list(alone.within.values()), batch.probabilities[position])
