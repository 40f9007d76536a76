"""Whether today's customers still look like those the model learned from, and whether its probabilities came true.

The population stability index (PSI) of two samples of the same population is not 0: it is about (1/n + 1/m) times a chi-squared number with
one degree of freedom less than bins. So the alert lies at the larger of that chance level and the usual 0.1, below which nothing matters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from agents.churn.learning.calibration import fit_line, log_odds_of
from agents.churn.signals import FloatArray

SMALLEST_PSI = 0.1
FALSE_ALARMS = 0.001  # a column a check
FEWEST_ROWS = 50
FEWEST_OF_A_CLASS = 20
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Reference:
    """A column at training time: ascending `edges` between bins, the share of known values in each bin, the share missing, rows."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    missing_share: float
    rows: int

    def __post_init__(self) -> None:
        if len(self.shares) != len(self.edges) + 1 or any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError("a reference has ascending edges and one share more than edges")
        if self.rows <= 0:
            raise ValueError("a reference has rows")


@dataclass(frozen=True, slots=True)
class Drift:
    """One column now: PSI over its known values, the level from which it is an alert, the share missing and its change, in words."""

    psi: float | None
    threshold: float | None
    missing_share: float
    missing_change: float
    is_alert: bool
    words: str


def make_reference(values: FloatArray) -> Reference:
    """The reference of a training column: ten bins of about equal size. Raises ValueError when every value is missing."""
    known = values[~np.isnan(values)]
    if not len(known):
        raise ValueError("a column without a value has no reference")
    edges = np.unique(np.quantile(known, np.linspace(0.1, 0.9, 9)))
    counts = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
    return Reference(tuple(edges.tolist()), tuple((counts / len(known)).tolist()), 1.0 - len(known) / len(values), len(values))


def psi(reference_shares: Sequence[float], counts: NDArray[np.int64], reference_rows: int) -> float:
    """The index; half a row is added to each bin of both samples so that an empty bin gives a large number and not infinity."""
    bins = len(counts)
    before = (np.array(reference_shares) * reference_rows + 0.5) / (reference_rows + 0.5 * bins)
    after = (counts + 0.5) / (counts.sum() + 0.5 * bins)
    return float(((after - before) * np.log(after / before)).sum())


def psi_threshold(bins: int, rows: int, reference_rows: int, columns: int = 1) -> float:
    """The PSI from which a column is an alert: what chance passes once in a thousand checks (over all `columns` together), at least 0.1."""
    if bins < 2:
        return SMALLEST_PSI
    return max(SMALLEST_PSI, (1.0 / rows + 1.0 / reference_rows) * chi_squared_quantile(1.0 - FALSE_ALARMS / columns, bins - 1))


def chi_squared_quantile(probability: float, degrees: int) -> float:
    """The quantile, by halving the interval that holds it. `degrees` is a whole number of at least 1, `probability` below 1."""
    low, high = 0.0, 1.0
    while _chi_squared_above(high, degrees) > 1.0 - probability:
        high *= 2.0
    for _ in range(80):
        middle = (low + high) / 2.0
        if _chi_squared_above(middle, degrees) > 1.0 - probability:
            low = middle
        else:
            high = middle
    return high


def _chi_squared_above(value: float, degrees: int) -> float:
    """The chance of more than `value`, in the closed form that whole degrees of freedom have."""
    half = value / 2.0
    start = 0.5 if degrees % 2 else 0.0
    above = math.erfc(math.sqrt(half)) if degrees % 2 else 0.0
    return above + math.exp(-half) * sum(math.pow(half, start + k) / math.gamma(start + k + 1.0) for k in range(degrees // 2))


def check_drift(name: str, reference: Reference, values: FloatArray, columns: int = 1) -> Drift:
    """A column now against training. `columns` is how many are checked together. Raises ValueError on no rows."""
    if not len(values):
        raise ValueError(f"{name}: no rows to check")
    known = values[~np.isnan(values)]
    missing = 1.0 - len(known) / len(values)
    change = missing - reference.missing_share
    expected = (reference.missing_share * reference.rows + missing * len(values)) / (reference.rows + len(values))
    error = math.sqrt(expected * (1 - expected) * (1 / reference.rows + 1 / len(values)))
    is_missing_alert = abs(change) > max(0.05, NormalDist().inv_cdf(1 - FALSE_ALARMS / 2 / columns) * error)
    missing_words = f"{missing:.0%} missing, {reference.missing_share:.0%} in training" + (": alert" if is_missing_alert else "")
    if len(known) < FEWEST_ROWS:
        words = f"{name}: not enough data for the spread ({len(known)} known values, {FEWEST_ROWS} needed); {missing_words}."
        return Drift(None, None, missing, change, is_missing_alert, words)
    counts = np.bincount(np.searchsorted(np.array(reference.edges), known, side="left"), minlength=len(reference.shares))
    reference_known = max(1, round(reference.rows * (1 - reference.missing_share)))
    index = psi(reference.shares, counts, reference_known)
    threshold = psi_threshold(len(counts), len(known), reference_known, columns)
    is_moved = index > threshold
    moved = "alert: its values have moved" if is_moved else "steady"
    words = f"{name}: {moved} (PSI {index:.3f}, alert from {threshold:.3f} at {len(known)} rows); {missing_words}."
    return Drift(index, threshold, missing, change, is_moved or is_missing_alert, words)


@dataclass(frozen=True, slots=True)
class MaturedCalibration:
    """Predictions whose time has passed: predicted and happened on average, the interval of happened, slope and intercept where there are
    enough of both kinds (else None), and whether it is an alert."""

    rows: int
    predicted: float
    happened: float
    low: float
    high: float
    slope: float | None
    slope_low: float | None
    slope_high: float | None
    is_alert: bool
    words: str


def check_calibration(predicted: FloatArray, happened: NDArray[np.int8], segments: int = 1) -> MaturedCalibration | None:
    """Matured labels against what was predicted; None below 50 rows, which is not enough data. The alert allows for `segments` looks at once:
    the number that happened is further from the sum of predictions than chance allows, or the slope is."""
    rows = len(predicted)
    if rows < FEWEST_ROWS:
        return None
    level = NormalDist().inv_cdf(1 - FALSE_ALARMS / 2 / segments)
    error = math.sqrt(float((predicted * (1 - predicted)).sum())) / rows
    average, rate = float(predicted.mean()), float(happened.mean())
    half = _Z * error
    is_off = abs(rate - average) > max(level * error, 0.005)
    slope: float | None = None
    slope_low: float | None = None
    slope_high: float | None = None
    slope_words = "too few of one kind for a slope"
    if min(int(happened.sum()), rows - int(happened.sum())) >= FEWEST_OF_A_CLASS and float(predicted.std()) > 0:
        line = fit_line(log_odds_of(predicted), happened)
        slope, slope_low, slope_high = line.slope, line.slope - _Z * line.slope_error, line.slope + _Z * line.slope_error
        is_off = is_off or abs(line.slope - 1) > max(level * line.slope_error, 0.1)
        slope_words = f"slope {slope:.2f} ({slope_low:.2f} to {slope_high:.2f})"
    words = f"{'Alert: ' if is_off else ''}{average:.1%} predicted, {rate:.1%} happened among {rows} customers; {slope_words}."
    return MaturedCalibration(
        rows, average, rate, max(0.0, rate - half), min(1.0, rate + half), slope, slope_low, slope_high, is_off, words
    )


def calibration_by_segment(
    predicted: FloatArray, happened: NDArray[np.int8], segments: Sequence[str]
) -> Mapping[str, MaturedCalibration | None]:
    """Calibration of each segment, None where there is not enough data. Raises ValueError when the lengths differ."""
    if not len(predicted) == len(happened) == len(segments):
        raise ValueError("predictions, outcomes and segments are not of one length")
    names = sorted(set(segments))
    labels = np.array(segments)
    return {name: check_calibration(predicted[labels == name], happened[labels == name], len(names)) for name in names}
