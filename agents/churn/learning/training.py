"""Training: a logistic and a boosted model and their blend, tuned and calibrated inside each training part, compared on rows they never saw.

Every choice (penalty, number of trees, calibration line) is made by cross-validation within the training part of a fold, so that the
figures on its test part are those of the whole procedure. With a time column the folds go forward in time; without one they are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from agents.churn.learning.additive import design
from agents.churn.learning.calibration import Line, fit_line
from agents.churn.learning.columns import CategoricalColumn, NumericColumn
from agents.churn.learning.features import fit_feature, training_columns
from agents.churn.learning.fitting import (
    PENALTIES,
    Labels,
    export_trees,
    fit_boosting,
    fit_logistic,
    fit_ridge,
    staged_log_odds,
    tree_counts,
    tree_matrix,
)
from agents.churn.learning.metrics import Estimate, Figures, auc, expected_calibration_error, measure, row_log_loss
from agents.churn.learning.model import KINDS, ChurnModel
from agents.churn.learning.table import FloatArray, UnusableTable

FEWEST_OF_A_CLASS = 20
_INNER_FOLDS = 5

Positions = NDArray[np.int64]
Column = NumericColumn | CategoricalColumn


@dataclass(frozen=True, slots=True)
class Tuned:
    """What cross-validation within one training part chose."""

    penalty: float
    tree_count: int
    lines: dict[str, Line]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One kind of model on rows it never saw: all folds together, and the mean over folds of AUC and ECE."""

    kind: str
    figures: Figures
    mean_fold_auc: float
    mean_fold_ece: float
    fold_aucs: tuple[float, ...]
    worse_by: Estimate  # log loss a row above the chosen kind's, paired


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The model trained on all rows, and how each kind did on rows it never saw."""

    model: ChurnModel
    candidates: tuple[Candidate, ...]
    tuned: Tuned
    split: str
    out_of_fold: FloatArray  # the chosen kind's probability for each row when it was in a test part, NaN when it never was

    @property
    def chosen(self) -> Candidate:
        """The kind of model that was kept."""
        return next(candidate for candidate in self.candidates if candidate.kind == self.model.kind)


def train(
    columns: Sequence[Column],
    labels: Labels,
    *,
    times: FloatArray | None = None,
    folds: int = 5,
    seed: int = 7,
    gap: float = 0.0,
    progress: Callable[[str], None] = lambda _: None,
) -> TrainingResult:
    """Compare on unseen rows, keep the kind with the lowest log loss, train it on all rows. `gap` is what lies between the rows learned from
    and those tested on, in units of `times`: as long as a label takes to be known. Raises UnusableTable when there are too few rows of one
    class for that many folds."""
    # One thread: waiting threads spin, which on a busy machine made minutes of seconds, and sums in one order give one hash.
    with threadpool_limits(limits=1):
        return _train(columns, labels, times, folds, seed, gap, progress)


def _train(
    columns: Sequence[Column],
    labels: Labels,
    times: FloatArray | None,
    folds: int,
    seed: int,
    gap: float,
    progress: Callable[[str], None],
) -> TrainingResult:
    rarer = int(min(labels.sum(), len(labels) - labels.sum()))
    if rarer < FEWEST_OF_A_CLASS:
        raise UnusableTable(
            f"Only {rarer} rows of the rarer class: at least {FEWEST_OF_A_CLASS} are needed to learn and to check. Until then the scorecard serves."
        )
    if not 2 <= folds <= 20:
        raise UnusableTable(f"--folds {folds}: give between 2 and 20.")
    splits = _time_splits(times, labels, folds, gap) if times is not None else _drawn_splits(labels, folds, seed)
    predicted = {kind: np.full(len(labels), np.nan) for kind in KINDS}
    for number, (learn, test) in enumerate(splits, 1):
        progress(f"fold {number} of {len(splits)}: {len(learn)} rows to learn from, {len(test)} to test")
        models, _ = _fit_all([_part(column, learn) for column in columns], labels[learn], seed)
        for kind, model in models.items():
            test_rows = training_columns(model.features, [_part(column, test) for column in columns])
            predicted[kind][test] = model.probabilities(test_rows)
    tested = np.flatnonzero(~np.isnan(predicted[KINDS[0]]))
    losses = {kind: row_log_loss(predicted[kind][tested], labels[tested]) for kind in KINDS}
    best = min(KINDS, key=lambda kind: float(losses[kind].mean()))
    progress(f"training on all {len(labels)} rows")
    models, tuned = _fit_all(columns, labels, seed)
    candidates = tuple(
        _candidate(kind, predicted[kind], labels, [test for _, test in splits], tested, losses[kind] - losses[best], seed) for kind in KINDS
    )
    split = "forward in time" if times is not None else "drawn at random, each class in proportion"
    return TrainingResult(models[best], candidates, tuned, split, predicted[best])


def _candidate(
    kind: str, predicted: FloatArray, labels: Labels, tests: Sequence[Positions], tested: Positions, excess: FloatArray, seed: int
) -> Candidate:
    fold_aucs = tuple(auc(predicted[test], labels[test]).value for test in tests)
    eces = [expected_calibration_error(predicted[test], labels[test]) for test in tests]
    half = 1.96 * float(excess.std()) / float(np.sqrt(len(excess)))
    worse = Estimate(float(excess.mean()), float(excess.mean()) - half, float(excess.mean()) + half)
    return Candidate(
        kind, measure(predicted[tested], labels[tested], seed), float(np.mean(fold_aucs)), float(np.mean(eces)), fold_aucs, worse
    )


def _part(column: Column, positions: Positions) -> Column:
    if isinstance(column, NumericColumn):
        return NumericColumn(column.name, column.values[positions])
    return CategoricalColumn(column.name, tuple(column.values[i] for i in positions.tolist()))


def _fit_all(columns: Sequence[Column], labels: Labels, seed: int) -> tuple[dict[str, ChurnModel], Tuned]:
    """The three kinds of model on these rows, tuned and calibrated by cross-validation within them."""
    features = tuple(fit_feature(column) for column in columns)
    rows = training_columns(features, columns)
    for_trees = tree_matrix(features, rows)
    tuned = _tune(design(features, rows).matrix, for_trees, labels, seed)
    additive = fit_logistic(features, rows, labels, tuned.penalty)
    ensemble = export_trees(features, fit_boosting(for_trees, labels, tuned.tree_count, seed))
    baseline, trees = ensemble.baseline, ensemble.trees
    return {
        "logistic": ChurnModel("logistic", features, additive, 0.0, None, tuned.lines["logistic"]),
        "boosted": ChurnModel("boosted", features, None, baseline, trees, tuned.lines["boosted"]),
        "blend": ChurnModel("blend", features, additive, baseline, trees, tuned.lines["blend"]),
    }, tuned


def _tune(for_logistic: FloatArray, for_trees: FloatArray, labels: Labels, seed: int) -> Tuned:
    logistic = {penalty: np.empty(len(labels)) for penalty in PENALTIES}
    counts = tree_counts(len(labels))
    boosted = {count: np.empty(len(labels)) for count in counts}
    for learn, test in _drawn_splits(labels, _INNER_FOLDS, seed + 1):
        for penalty in PENALTIES:
            intercept, weights = fit_ridge(for_logistic[learn], labels[learn], penalty)
            logistic[penalty][test] = intercept + for_logistic[test] @ weights
        model = fit_boosting(for_trees[learn], labels[learn], counts[-1], seed)
        for count, log_odds in staged_log_odds(model, for_trees[test], counts).items():
            boosted[count][test] = log_odds
    penalty = min(PENALTIES, key=lambda value: _loss(logistic[value], labels))
    tree_count = min(counts, key=lambda value: _loss(boosted[value], labels))
    scores = {
        "logistic": logistic[penalty],
        "boosted": boosted[tree_count],
        "blend": (logistic[penalty] + boosted[tree_count]) / 2.0,
    }
    return Tuned(penalty, tree_count, {kind: fit_line(scores[kind], labels) for kind in KINDS})


def _loss(log_odds: FloatArray, labels: Labels) -> float:
    return float(np.mean(np.logaddexp(0.0, log_odds) - labels * log_odds))


def _drawn_splits(labels: Labels, folds: int, seed: int) -> list[tuple[Positions, Positions]]:
    """Folds drawn with this seed, each class spread evenly over them."""
    drawn = StratifiedKFold(folds, shuffle=True, random_state=seed).split(np.zeros((len(labels), 1)), labels)
    return [(np.asarray(learn, dtype=np.int64), np.asarray(test, dtype=np.int64)) for learn, test in drawn]


def _time_splits(times: FloatArray, labels: Labels, folds: int, gap: float) -> list[tuple[Positions, Positions]]:
    """Folds that learn from everything before an instant and are tested on the next stretch; rows of one instant are never parted.
    Raises UnusableTable when a stretch has too few rows of a class."""
    borders = np.unique(np.quantile(times, np.linspace(0.0, 1.0, folds + 2)[1:-1], method="higher"))
    splits: list[tuple[Positions, Positions]] = []
    for position, border in enumerate(borders):
        until = borders[position + 1] if position + 1 < len(borders) else np.inf
        learn, test = np.flatnonzero(times < border - gap), np.flatnonzero((times >= border) & (times < until))
        enough = _rarer(labels[learn]) >= FEWEST_OF_A_CLASS and _rarer(labels[test]) >= 2
        if enough:
            splits.append((learn, test))
    if not splits:
        raise UnusableTable(
            f"The time column leaves no instant with {FEWEST_OF_A_CLASS} rows of each class before it and 2 after it. Give more rows, or leave --time out."
        )
    return splits


def _rarer(labels: Labels) -> int:
    return int(min(labels.sum(), len(labels) - labels.sum())) if len(labels) else 0
