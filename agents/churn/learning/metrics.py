"""How good probabilities are: order (AUC), sharpness (log loss, Brier) and honesty (calibration), each with a 95 % interval."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.churn.learning.calibration import fit_line, log_odds_of
from agents.churn.learning.table import FloatArray

Happened = NDArray[np.int8]
_Z = 1.959963984540054
_BINS = 10
_DRAWS = 200


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


@dataclass(frozen=True, slots=True)
class Bin:
    """One tenth of the probability scale: how many rows, what was predicted on average, what happened."""

    rows: int
    predicted: float
    happened: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything measured about one set of predictions.

    `ece` is over ten bins of equal width; `ece_equal_mass` over ten bins of equal size; `ece_if_perfect` is what a perfectly calibrated
    score of this size would show by chance alone, on average.
    """

    rows: int
    positives: int
    auc: Estimate
    log_loss: Estimate
    brier: Estimate
    ece: Estimate
    ece_equal_mass: float
    ece_if_perfect: float
    slope: Estimate
    intercept: Estimate
    bins: tuple[Bin, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def auc(predicted: FloatArray, happened: Happened) -> Estimate:
    """The chance that a row where it happened scores above one where it did not (ties count half), with DeLong's interval."""
    positive, negative = predicted[happened == 1], predicted[happened == 0]
    below = _placements(negative, positive)
    above = 1.0 - _placements(positive, negative)
    value = float(below.mean())
    variance = 0.0
    if len(positive) > 1 and len(negative) > 1:
        variance = float(below.var(ddof=1)) / len(positive) + float(above.var(ddof=1)) / len(negative)
    half = _Z * float(np.sqrt(variance))
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def _placements(reference: FloatArray, values: FloatArray) -> FloatArray:
    """For each value the share of the reference below it, ties counting half."""
    ordered = np.sort(reference)
    lower = np.searchsorted(ordered, values, side="left")
    upper = np.searchsorted(ordered, values, side="right")
    return np.asarray((lower + upper) / 2.0 / len(reference))


def row_log_loss(predicted: FloatArray, happened: Happened) -> FloatArray:
    """Each row's log loss."""
    bounded = np.clip(predicted, 1e-15, 1.0 - 1e-15)
    return np.asarray(-np.where(happened == 1, np.log(bounded), np.log(1.0 - bounded)))


def _mean(values: FloatArray) -> Estimate:
    value = float(values.mean())
    half = _Z * float(values.std(ddof=1)) / float(np.sqrt(len(values))) if len(values) > 1 else 0.0
    return Estimate(value, value - half, value + half)


def expected_calibration_error(predicted: FloatArray, happened: Happened) -> float:
    """The average gap between predicted and happened over ten bins of equal width, weighted by rows."""
    return _gap(_equal_width(predicted), predicted, happened.astype(np.float64))


def _equal_width(predicted: FloatArray) -> NDArray[np.int64]:
    return np.minimum((predicted * _BINS).astype(np.int64), _BINS - 1)


def _gap(bins: NDArray[np.int64], predicted: FloatArray, happened: FloatArray) -> float:
    difference = np.bincount(bins, weights=predicted - happened, minlength=_BINS)
    return float(np.abs(difference).sum() / len(predicted))


def _about(value: float, drawn: FloatArray) -> Estimate:
    """A figure that cannot be below 0 with the spread of its bootstrap. Drawing rows again adds noise, which lifts every draw; the lift is
    taken off."""
    spread = drawn - float(drawn.mean())
    return Estimate(value, max(0.0, value + float(np.quantile(spread, 0.025))), value + float(np.quantile(spread, 0.975)))


def measure(predicted: FloatArray, happened: Happened, seed: int = 0) -> Figures:
    """All figures. Raises ValueError when only one class is there. The ECE's interval is from a bootstrap of 200 draws with this seed."""
    if happened.min() == happened.max():
        raise ValueError("figures need rows of both kinds")
    random = np.random.default_rng(seed)
    size = len(predicted)
    truth = happened.astype(np.float64)
    bins = _equal_width(predicted)
    drawn = np.empty(_DRAWS)
    perfect = np.empty(_DRAWS)
    for draw in range(_DRAWS):
        chosen = random.integers(0, size, size)
        drawn[draw] = _gap(bins[chosen], predicted[chosen], truth[chosen])
        perfect[draw] = _gap(bins, predicted, (random.random(size) < predicted).astype(np.float64))
    order = np.argsort(predicted, kind="stable")
    equal_mass = np.empty(size, dtype=np.int64)
    equal_mass[order] = np.arange(size) * _BINS // size
    line = fit_line(log_odds_of(predicted), happened)
    shown = tuple(
        Bin(int(inside.sum()), float(predicted[inside].mean()), float(truth[inside].mean()))
        for inside in (bins == number for number in range(_BINS))
        if inside.any()
    )
    return Figures(
        rows=size,
        positives=int(happened.sum()),
        auc=auc(predicted, happened),
        log_loss=_mean(row_log_loss(predicted, happened)),
        brier=_mean((predicted - truth) ** 2),
        ece=_about(_gap(bins, predicted, truth), drawn),
        ece_equal_mass=_gap(equal_mass, predicted, truth),
        ece_if_perfect=float(perfect.mean()),
        slope=Estimate(line.slope, line.slope - _Z * line.slope_error, line.slope + _Z * line.slope_error),
        intercept=Estimate(line.intercept, line.intercept - _Z * line.intercept_error, line.intercept + _Z * line.intercept_error),
        bins=shown,
    )
