"""The two models that scikit-learn fits, turned into the plain forms that are kept. No class weights and no resampling: either would make
the probabilities wrong, and neither helps the order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from agents.churn.learning.additive import AdditiveModel, Design, design, from_coefficients
from agents.churn.learning.features import CategoricalFeature, Feature, FeatureColumns
from agents.churn.learning.table import FloatArray
from agents.churn.learning.trees import MOST_LEAVES, Tree, TreeEnsemble

Labels = NDArray[np.int8]
PENALTIES = (3.0, 10.0, 30.0, 100.0)  # ridge penalties tried, in units of one observation's information
_FEWER_TREES_BELOW_ROWS = 10_000
_LEARNING_RATE = 0.04
_LARGEST_NUMBER = float(np.finfo(np.float64).max)


def fit_ridge(matrix: FloatArray, labels: Labels, penalty: float) -> tuple[float, FloatArray]:
    """Intercept and coefficients of the logistic regression with this ridge penalty."""
    model = LogisticRegression(C=1.0 / penalty, solver="newton-cholesky", max_iter=200)
    model.fit(matrix, labels)
    return float(model.intercept_[0]), np.asarray(model.coef_[0], dtype=np.float64)


def fit_logistic(features: Sequence[Feature], rows: FeatureColumns, labels: Labels, penalty: float) -> AdditiveModel:
    """The logistic model as curves."""
    built: Design = design(features, rows)
    intercept, weights = fit_ridge(built.matrix, labels, penalty)
    return from_coefficients(features, rows, built, intercept, weights)


def tree_matrix(features: Sequence[Feature], rows: FeatureColumns) -> FloatArray:
    """What the trees are fitted on: numbers as they are, one indicator a level of each word."""
    blocks: list[FloatArray] = []
    for feature, values in zip(features, rows.arrays, strict=True):
        if isinstance(feature, CategoricalFeature):
            blocks.append((np.asarray(values)[:, None] == np.arange(len(feature.levels))).astype(np.float64))
        else:
            blocks.append(np.asarray(values, dtype=np.float64)[:, None])
    return np.hstack(blocks)


def fit_boosting(matrix: FloatArray, labels: Labels, tree_count: int, seed: int) -> Any:
    """scikit-learn's boosted trees. Leaves hold at least a hundredth of the rows (20–60), so that a small table gives small trees."""
    model = HistGradientBoostingClassifier(
        learning_rate=_LEARNING_RATE,
        max_iter=tree_count,
        max_leaf_nodes=12,
        min_samples_leaf=int(np.clip(len(labels) / 100, 20, 60)),
        l2_regularization=10.0,
        max_features=0.3,
        max_bins=127,
        early_stopping=False,
        random_state=seed,
    )
    # A column that is known in none of these rows cannot be binned; as a constant it is never split on.
    unknown = np.isnan(matrix).all(axis=0)
    return model.fit(np.where(unknown, 0.0, matrix) if unknown.any() else matrix, labels)


def tree_counts(rows: int) -> tuple[int, ...]:
    """The numbers of trees tried: a small table never needs many."""
    return tuple(range(25, (201 if rows < _FEWER_TREES_BELOW_ROWS else 401), 25))


def staged_log_odds(model: Any, matrix: FloatArray, counts: Sequence[int]) -> dict[int, FloatArray]:
    """The log odds after each of these numbers of trees."""
    stages: dict[int, FloatArray] = {}
    for count, raw in enumerate(model.staged_decision_function(matrix), 1):
        if count in counts:
            stages[count] = np.array(raw, dtype=np.float64).ravel()
    return stages


def export_trees(features: Sequence[Feature], model: Any) -> TreeEnsemble:
    """The fitted trees as plain arrays. scikit-learn has no public way to read the nodes; a test holds the result equal to its predictions."""
    origin: list[tuple[int, int | None]] = []
    for position, feature in enumerate(features):
        if isinstance(feature, CategoricalFeature):
            origin += [(position, level) for level in range(len(feature.levels))]
        else:
            origin.append((position, None))
    trees = tuple(_export_tree(origin, stage[0].nodes) for stage in model._predictors)
    return TreeEnsemble(tuple(features), float(np.ravel(model._baseline_prediction)[0]), trees)


def _export_tree(origin: Sequence[tuple[int, int | None]], nodes: Any) -> Tree:
    size = len(nodes)
    values = [float(node["value"]) for node in nodes]
    for node in reversed(range(size)):  # inner nodes: the average of their training rows
        if not nodes[node]["is_leaf"]:
            left, right = int(nodes[node]["left"]), int(nodes[node]["right"])
            counts = int(nodes[left]["count"]), int(nodes[right]["count"])
            values[node] = (values[left] * counts[0] + values[right] * counts[1]) / sum(counts)
    places = [(-1, None) if node["is_leaf"] else origin[int(node["feature_idx"])] for node in nodes]
    cuts = [
        0.0 if place < 0 else float(level) if level is not None else min(float(node["num_threshold"]), _LARGEST_NUMBER)
        for (place, level), node in zip(places, nodes, strict=True)
    ]
    if sum(place < 0 for place, _ in places) > MOST_LEAVES:
        raise ValueError(f"a tree has more than {MOST_LEAVES} leaves")
    return Tree(
        tuple(place for place, _ in places),
        tuple(cuts),
        tuple(int(node["left"]) for node in nodes),
        tuple(int(node["right"]) for node in nodes),
        tuple(int(node["missing_go_to_left"]) for node in nodes),
        tuple(values),
    )
