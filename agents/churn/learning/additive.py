"""The logistic model as it is kept: one curve a number and one step a word, which add up to log odds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agents.churn.learning.features import CategoricalFeature, Feature, FeatureColumns, NumericFeature, ramps
from agents.churn.learning.table import FloatArray

_SLOPE_WEIGHT = 1.0


@dataclass(frozen=True, slots=True)
class Term:
    """One feature's share of the log odds, zero on average over the training rows. For a number `steps` are its values at the knots, for a
    word at the levels; `missing` stands for a missing number or an unseen word."""

    steps: tuple[float, ...]
    missing: float


@dataclass(frozen=True, slots=True)
class AdditiveModel:
    """Log odds = `intercept` + one term a feature."""

    intercept: float
    terms: tuple[Term, ...]

    def contributions(self, features: Sequence[Feature], rows: FeatureColumns) -> FloatArray:
        """Each feature's share of each row's log odds, shape (rows, features)."""
        out = np.empty((rows.row_count, len(features)))
        for position, (feature, term, values) in enumerate(zip(features, self.terms, rows.arrays, strict=True)):
            if isinstance(feature, NumericFeature):
                share = np.interp(values, feature.knots, term.steps)
                out[:, position] = np.where(np.isnan(values), term.missing, share)
            else:
                out[:, position] = np.array([*term.steps, term.missing])[values]
        return out

    def log_odds(self, features: Sequence[Feature], rows: FeatureColumns) -> FloatArray:
        """The log odds of each row, before calibration."""
        total = np.full(rows.row_count, self.intercept)
        for feature, term, values in zip(features, self.terms, rows.arrays, strict=True):
            if isinstance(feature, NumericFeature):
                share = np.interp(values, feature.knots, term.steps)
                missing = np.isnan(share)
                if missing.any():
                    share[missing] = term.missing
                total += share
            else:
                total += np.array([*term.steps, term.missing])[values]
        return total


@dataclass(frozen=True, slots=True)
class Design:
    """The matrix that the logistic regression is fitted on, with what is needed to turn its coefficients back into curves."""

    matrix: FloatArray
    spans: tuple[tuple[int, int, bool], ...]  # first and past-last column of each feature; whether the last one marks missing numbers


def design(features: Sequence[Feature], rows: FeatureColumns) -> Design:
    """The design matrix of training rows: ramps and their sum for numbers (a missing one stands at the average), an indicator a level."""
    blocks: list[FloatArray] = []
    spans: list[tuple[int, int, bool]] = []
    start = 0
    for feature, values in zip(features, rows.arrays, strict=True):
        if isinstance(feature, NumericFeature):
            numbers = np.asarray(values, dtype=np.float64)
            missing = np.isnan(numbers)
            passed = ramps(feature, numbers)
            passed[missing] = passed[~missing].mean(axis=0) if not missing.all() else 0.0
            columns = [passed, _SLOPE_WEIGHT * passed.mean(axis=1, keepdims=True)]
            if missing.any():
                columns.append(missing[:, None].astype(np.float64))
            block = np.hstack(columns)
        else:
            block = (np.asarray(values)[:, None] == np.arange(len(feature.levels))).astype(np.float64)
            missing = np.zeros(1, dtype=np.bool_)
        blocks.append(block)
        spans.append((start, start + block.shape[1], bool(missing.any())))
        start += block.shape[1]
    return Design(np.hstack(blocks), tuple(spans))


def from_coefficients(
    features: Sequence[Feature], rows: FeatureColumns, fitted: Design, intercept: float, weights: FloatArray
) -> AdditiveModel:
    """The same model with each feature's columns folded into one curve, centred on the training rows."""
    terms: list[Term] = []
    for feature, (start, stop, marks_missing), values in zip(features, fitted.spans, rows.arrays, strict=True):
        average = float(fitted.matrix[:, start:stop].mean(axis=0) @ weights[start:stop])
        intercept += average
        own = weights[start:stop]
        if isinstance(feature, CategoricalFeature):
            terms.append(Term(tuple((own - average).tolist()), 0.0))
            continue
        stretches = len(feature.knots) - 1
        rise = own[:stretches] + _SLOPE_WEIGHT * own[stretches] / stretches
        steps = np.concatenate([[0.0], np.cumsum(rise)]) - average
        missing = 0.0
        if marks_missing:
            numbers = np.asarray(values, dtype=np.float64)
            row = int(np.flatnonzero(np.isnan(numbers))[0])
            missing = float(fitted.matrix[row, start:stop] @ own) - average
        terms.append(Term(tuple(steps.tolist()), missing))
    return AdditiveModel(intercept, tuple(terms))
