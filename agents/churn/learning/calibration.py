"""Slope and intercept of log odds against what happened: how a score is calibrated, and how calibration is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.churn.learning.table import FloatArray

_LARGEST_LOG_ODDS = 30.0


@dataclass(frozen=True, slots=True)
class Line:
    """Calibrated log odds = `intercept` + `slope` × log odds, with standard errors. A perfectly calibrated score has 0 and 1."""

    intercept: float
    slope: float
    intercept_error: float
    slope_error: float

    def probabilities(self, log_odds: FloatArray) -> FloatArray:
        """Probabilities, strictly between 0 and 1."""
        return sigmoid(self.intercept + self.slope * log_odds)


def sigmoid(log_odds: FloatArray) -> FloatArray:
    """The probability of each log odds, strictly between 0 and 1."""
    bounded = np.clip(log_odds, -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS)
    return np.asarray(1.0 / (1.0 + np.exp(-bounded)))


def log_odds_of(probabilities: FloatArray) -> FloatArray:
    """The log odds of each probability; 0 and 1 become large finite numbers."""
    bounded = np.clip(probabilities, 1e-12, 1.0 - 1e-12)
    return np.asarray(np.log(bounded / (1.0 - bounded)))


def fit_line(log_odds: FloatArray, happened: NDArray[np.int8]) -> Line:
    """The line by maximum likelihood (Newton), held to a slope between 0.01 and 100. Raises ValueError when only one class is there."""
    if happened.min() == happened.max():
        raise ValueError("a calibration line needs rows of both kinds")
    bounded = np.clip(log_odds, -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS)
    matrix = np.column_stack([np.ones(len(bounded)), bounded])
    beta = np.array([0.0, 1.0])
    # One weak pseudo-observation's worth of ridge keeps a perfectly separated small table finite.
    ridge = np.diag([1e-6, 1e-3])
    prior = np.array([0.0, 1.0])
    information = ridge
    for _ in range(100):
        expected = sigmoid(matrix @ beta)
        gradient = matrix.T @ (happened - expected) - ridge @ (beta - prior)
        information = (matrix * (expected * (1.0 - expected))[:, None]).T @ matrix + ridge
        step = np.linalg.solve(information, gradient)
        beta = beta + np.clip(step, -2.0, 2.0)
        if float(np.abs(step).max()) < 1e-10:
            break
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    slope = float(np.clip(beta[1], 0.01, 100.0))
    return Line(float(beta[0]), slope, float(errors[0]), float(errors[1]))
