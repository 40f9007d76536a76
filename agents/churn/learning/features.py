"""How a column becomes something a model can use, fitted once on training rows and kept as plain values.

Two forms come from the same fitted features. The logistic model sees a number as ramps between knots, so that its effect is a curve, and a
word as one indicator a level. The trees see the number itself with NaN where it is missing, and the same indicators.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.churn.learning.columns import MISSING_LEVEL, MOST_LEVELS, OTHER_LEVEL, CategoricalColumn, NumericColumn
from agents.churn.learning.table import FloatArray, Table, as_numbers, is_missing

CodeArray = NDArray[np.int64]
_KNOT_QUANTILES = (0.0, 0.02, 0.16, 0.3, 0.44, 0.58, 0.72, 0.86, 0.98, 1.0)
_FEW = 12
_RARE_ROWS = 10
_RARE_SHARE = 0.002


@dataclass(frozen=True, slots=True)
class NumericFeature:
    """A number: `knots` ascending (where the curve may bend), the training deciles for words and drift, the share that was missing."""

    name: str
    knots: tuple[float, ...]
    deciles: tuple[float, ...]
    decile_shares: tuple[float, ...]
    missing_share: float


@dataclass(frozen=True, slots=True)
class CategoricalFeature:
    """A word: `levels` that were common enough, with their training shares. A level outside them is OTHER_LEVEL when that is listed."""

    name: str
    levels: tuple[str, ...]
    shares: tuple[float, ...]

    @property
    def unseen_code(self) -> int:
        """The code of a word that training never saw or saw too rarely: the 'other' level, or one past the last."""
        return self.levels.index(OTHER_LEVEL) if OTHER_LEVEL in self.levels else len(self.levels)


Feature = NumericFeature | CategoricalFeature


@dataclass(frozen=True, slots=True)
class FeatureColumns:
    """Rows ready to be scored: one array a feature, floats with NaN for numbers, level codes for words; and remarks for single rows."""

    arrays: tuple[FloatArray | CodeArray, ...]
    remarks: dict[int, list[str]]

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return len(self.arrays[0])


def fit_feature(column: NumericColumn | CategoricalColumn) -> Feature:
    """The feature of one training column."""
    if isinstance(column, CategoricalColumn):
        return _fit_categorical(column)
    known = column.values[np.isfinite(column.values)]
    if not len(known):  # known later only: in this part of the rows the column says nothing, and its curve is flat
        return NumericFeature(column.name, (0.0, 1.0), (0.0,), (1.0, 0.0), 1.0)
    distinct = np.unique(known)
    knots = distinct if len(distinct) <= _FEW else np.unique(np.quantile(known, _KNOT_QUANTILES))
    if len(knots) == 1:  # one value and missing cells: the curve is flat, the missing indicator does the work
        knots = np.array([knots[0], knots[0] + 1.0])
    deciles = np.unique(np.quantile(known, np.linspace(0.1, 0.9, 9)))
    shares = np.bincount(np.searchsorted(deciles, known, side="left"), minlength=len(deciles) + 1) / len(known)
    return NumericFeature(
        column.name,
        tuple(knots.tolist()),
        tuple(deciles.tolist()),
        tuple(shares.tolist()),
        1.0 - len(known) / len(column.values),
    )


def _fit_categorical(column: CategoricalColumn) -> CategoricalFeature:
    counts = Counter(column.values)
    total = len(column.values)
    enough = min(max(_RARE_ROWS, _RARE_SHARE * total), 0.05 * total)
    common = [level for level, count in counts.most_common(MOST_LEVELS) if count >= enough or level == MISSING_LEVEL]
    if MISSING_LEVEL in counts and MISSING_LEVEL not in common:
        common.append(MISSING_LEVEL)
    common.sort()
    shares = [counts[level] / total for level in common]
    if len(common) < len(counts):
        common.append(OTHER_LEVEL)
        shares.append(1.0 - sum(shares))
    return CategoricalFeature(column.name, tuple(common), tuple(shares))


def training_columns(features: Sequence[Feature], columns: Sequence[NumericColumn | CategoricalColumn]) -> FeatureColumns:
    """Training columns through their own features, in the same order."""
    arrays: list[FloatArray | CodeArray] = []
    for feature, column in zip(features, columns, strict=True):
        if isinstance(column, NumericColumn):
            arrays.append(column.values)
        elif isinstance(feature, CategoricalFeature):
            arrays.append(_codes(feature, column.values))
    return FeatureColumns(tuple(arrays), {})


def table_columns(features: Sequence[Feature], table: Table) -> FeatureColumns:
    """A new table through fitted features: columns are found by name in any order. What training never saw (a new word, a cell that is no
    number, a column that is not there) counts as unknown, and each such row gets a remark that says so."""
    arrays: list[FloatArray | CodeArray] = []
    remarks: dict[int, list[str]] = {}
    for feature in features:
        cells = table.cells.get(feature.name, [""] * table.row_count)
        if isinstance(feature, NumericFeature):
            numbers, garbage = as_numbers(cells)
            for row in np.flatnonzero(garbage).tolist():
                remarks.setdefault(row, []).append(f"{feature.name} {cells[row][:40]!r} is no number and counts as missing")
            arrays.append(numbers)
            continue
        words = [MISSING_LEVEL if is_missing(cell) else cell for cell in cells]
        codes = _codes(feature, words)
        if OTHER_LEVEL not in feature.levels:
            for row in np.flatnonzero(codes == len(feature.levels)).tolist():
                said = (
                    "is missing, which training never saw"
                    if words[row] == MISSING_LEVEL
                    else f"{words[row][:40]!r} was never seen in training"
                )
                remarks.setdefault(row, []).append(f"{feature.name} {said}, so it counts as unknown")
        arrays.append(codes)
    return FeatureColumns(tuple(arrays), remarks)


def _codes(feature: CategoricalFeature, words: Sequence[str]) -> CodeArray:
    known = {level: code for code, level in enumerate(feature.levels)}
    unseen = feature.unseen_code
    return np.array([known.get(word, unseen) for word in words], dtype=np.int64)


def ramps(feature: NumericFeature, values: FloatArray) -> FloatArray:
    """The share of each stretch between neighbouring knots that the number has passed, 0–1, one column a stretch; a missing number is NaN."""
    knots = np.array(feature.knots)
    return np.asarray(np.clip((values[:, None] - knots[:-1]) / np.diff(knots), 0.0, 1.0), dtype=np.float64)
