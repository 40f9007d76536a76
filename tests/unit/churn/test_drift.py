"""Drift alerts know the sample size; matured labels are held against what was predicted; the hold-out group sticks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from agents.churn.drift import (
    calibration_by_segment,
    check_calibration,
    check_drift,
    chi_squared_quantile,
    make_reference,
    psi,
    psi_threshold,
)
from agents.churn.holdout import Group, is_held_out, measure_effect, newcombe_interval


def test_psi_is_nothing_on_the_same_shares_and_what_the_formula_gives_otherwise() -> None:
    assert psi((0.5, 0.5), np.array([500, 500]), 1000) == 0.0
    before, after = (500.5 / 1001), (np.array([800.5, 200.5]) / 1001)
    assert psi((0.5, 0.5), np.array([800, 200]), 1000) == pytest.approx(((after - before) * np.log(after / before)).sum())


@pytest.mark.parametrize("degrees", [1, 2, 3, 5, 9])
def test_the_quantile_is_scipys(degrees: int) -> None:
    for probability in (0.99, 0.999, 0.9999):
        assert chi_squared_quantile(probability, degrees) == pytest.approx(chi2.ppf(probability, degrees), rel=1e-9)


def test_the_threshold_falls_with_the_sample_to_its_floor() -> None:
    assert psi_threshold(10, 100, 5000) > 0.25
    assert psi_threshold(10, 100, 5000, columns=20) > psi_threshold(10, 100, 5000)
    assert psi_threshold(10, 100_000, 5000) == 0.1


def test_small_samples_of_the_same_population_raise_no_alert_where_a_fixed_limit_would() -> None:
    random = np.random.default_rng(1)
    reference = make_reference(random.normal(0, 1, 5000))
    found = [check_drift("x", reference, random.normal(0, 1, 80)) for _ in range(300)]
    assert sum(one.is_alert for one in found) <= 2
    assert sum((one.psi or 0) > 0.1 for one in found) > 100


def test_a_shift_is_an_alert_with_words() -> None:
    random = np.random.default_rng(1)
    reference = make_reference(random.normal(0, 1, 5000))
    drift = check_drift("tenure", reference, random.normal(1, 1, 2000))
    assert drift.is_alert
    assert drift.words.startswith("tenure: alert: its values have moved (PSI ")


def test_more_missing_is_an_alert_of_its_own() -> None:
    random = np.random.default_rng(1)
    reference = make_reference(random.normal(0, 1, 5000))
    values = random.normal(0, 1, 1000)
    values[:200] = np.nan
    drift = check_drift("tone", reference, values)
    assert drift.is_alert
    assert drift.missing_change == pytest.approx(0.2)
    assert "20% missing, 0% in training: alert" in drift.words


def test_few_values_are_not_enough_data() -> None:
    drift = check_drift("x", make_reference(np.arange(1000.0)), np.arange(49.0))
    assert (drift.psi, drift.is_alert) == (None, False)
    assert "not enough data" in drift.words


def test_honest_predictions_raise_no_alert_and_inflated_ones_do() -> None:
    random = np.random.default_rng(4)
    predicted = random.uniform(0.02, 0.5, 4000)
    honest = check_calibration(predicted, (random.random(4000) < predicted).astype(np.int8))
    inflated = check_calibration(predicted, (random.random(4000) < predicted * 0.7).astype(np.int8))
    assert honest is not None
    assert inflated is not None
    assert (honest.is_alert, inflated.is_alert) == (False, True)
    assert inflated.words.startswith("Alert: ")


def test_segments_are_looked_at_one_by_one() -> None:
    random = np.random.default_rng(4)
    predicted = random.uniform(0.1, 0.5, 2040)
    segments = ["small"] * 1000 + ["large"] * 1000 + ["new"] * 40
    happened = (random.random(2040) < np.where(np.arange(2040) < 1000, predicted, predicted * 1.6)).astype(np.int8)
    found = calibration_by_segment(predicted, happened, segments)
    assert found["new"] is None
    assert found["small"] is not None
    assert found["large"] is not None
    assert (found["small"].is_alert, found["large"].is_alert) == (False, True)


def test_the_group_sticks_grows_with_the_share_and_changes_with_the_salt() -> None:
    ids = [f"cus-{number}" for number in range(20_000)]
    tenth = {one for one in ids if is_held_out(one, salt="a", share=0.1)}
    assert tenth == {one for one in ids if is_held_out(one, salt="a", share=0.1)}
    assert tenth < {one for one in ids if is_held_out(one, salt="a", share=0.2)}
    assert 0.09 < len(tenth) / len(ids) < 0.11
    other = {one for one in ids if is_held_out(one, salt="b", share=0.1)}
    assert 0.005 < len(tenth & other) / len(ids) < 0.015
    assert not any(is_held_out(one, salt="a", share=0) for one in ids[:100])
    assert all(is_held_out(one, salt="a", share=1) for one in ids[:100])


@pytest.mark.parametrize(("customer", "share"), [("", 0.1), ("c", -0.1), ("c", 1.1), ("c", float("nan"))])
def test_impossible_groups_are_refused(customer: str, share: float) -> None:
    with pytest.raises(ValueError, match=r"share|id"):
        is_held_out(customer, salt="a", share=share)


def test_the_interval_is_newcombes() -> None:
    # given example (a) of Newcombe (1998), Statistics in Medicine 17: 56/70 against 48/80, method 10
    assert newcombe_interval(Group(70, 56), Group(80, 48)) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))


def test_the_effect_is_treated_minus_held_out() -> None:
    effect = measure_effect(Group(2000, 100), Group(1000, 100))
    assert effect.difference == pytest.approx(-0.05)
    assert effect.words == ("5.0% of 2000 treated left, 10.0% of 1000 held out: -5.0 points (-7.2 to -3.0); fewer leave when treated.")


def test_an_interval_over_zero_tells_nothing() -> None:
    assert measure_effect(Group(1000, 100), Group(100, 12)).words.endswith("no effect can be told from chance.")


@pytest.mark.parametrize(
    ("treated", "held_out"), [(Group(99, 50), Group(500, 50)), (Group(500, 50), Group(0, 0)), (Group(500, 5), Group(500, 4))]
)
def test_too_few_is_not_enough_data(treated: Group, held_out: Group) -> None:
    effect = measure_effect(treated, held_out)
    assert (effect.difference, effect.low, effect.high) == (None, None, None)
    assert effect.words.startswith("Not enough data: ")
