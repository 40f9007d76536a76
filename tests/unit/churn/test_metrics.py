"""Figures against values worked out by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from agents.churn.learning.metrics import auc, expected_calibration_error, measure


def test_auc_counts_ties_as_half() -> None:
    # given pairs (0.2 < 0.5), (0.2 < 0.8), (0.5 = 0.5), (0.5 < 0.8): 3.5 of 4
    assert auc(np.array([0.2, 0.5, 0.5, 0.8]), np.array([0, 0, 1, 1], dtype=np.int8)).value == 3.5 / 4


def test_the_calibration_error_is_the_weighted_gap() -> None:
    # given two bins: 0.05 predicted and 1 of 4 happened (gap 0.20 on 4 rows); 0.95 predicted and 6 of 6 happened (gap 0.05 on 6 rows)
    predicted = np.array([0.05] * 4 + [0.95] * 6)
    happened = np.array([1, 0, 0, 0, 1, 1, 1, 1, 1, 1], dtype=np.int8)
    assert expected_calibration_error(predicted, happened) == pytest.approx(0.2 * 0.4 + 0.05 * 0.6)


def test_figures_agree_with_scikit_learn_and_lie_in_their_intervals() -> None:
    random = np.random.default_rng(2)
    predicted = random.random(3000)
    happened = (random.random(3000) < predicted).astype(np.int8)
    figures = measure(predicted, happened)
    assert figures.auc.value == pytest.approx(roc_auc_score(happened, predicted), abs=1e-12)
    assert figures.log_loss.value == pytest.approx(log_loss(happened, predicted), abs=1e-12)
    assert figures.brier.value == pytest.approx(brier_score_loss(happened, predicted), abs=1e-12)
    for one in (figures.auc, figures.log_loss, figures.brier):
        assert one.low < one.value < one.high
    assert figures.slope.low < 1 < figures.slope.high
    assert figures.intercept.low < 0 < figures.intercept.high
    assert sum(one.rows for one in figures.bins) == 3000


def test_one_class_has_no_figures() -> None:
    with pytest.raises(ValueError, match="both kinds"):
        measure(np.array([0.1, 0.2]), np.array([0, 0], dtype=np.int8))
