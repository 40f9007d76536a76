"""What is kept scores exactly as what scikit-learn fitted, and its parts add up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.churn.learning.additive import design
from agents.churn.learning.calibration import fit_line, log_odds_of, sigmoid
from agents.churn.learning.columns import NumericColumn, type_columns
from agents.churn.learning.features import FeatureColumns, fit_feature, table_columns, training_columns
from agents.churn.learning.fitting import export_trees, fit_boosting, fit_logistic, fit_ridge, tree_matrix
from agents.churn.learning.labels import read_labels
from agents.churn.learning.model import ChurnModel
from agents.churn.learning.table import read_table
from agents.churn.learning.training import train
from agents.churn.learning.trees import Tree
from tests.unit.churn.churn_tables import write_table


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple, FeatureColumns, np.ndarray]:
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    write_table(path, 900, seed=5)
    table = read_table(path)
    typed = type_columns(table, {"left": "target"})
    features = tuple(fit_feature(column) for column in typed.columns)
    return features, training_columns(features, typed.columns), read_labels(table, "left", None).values


def test_kept_trees_score_exactly_as_scikit_learn(prepared: tuple) -> None:
    features, rows, labels = prepared
    matrix = tree_matrix(features, rows)
    fitted = fit_boosting(matrix, labels, 60, seed=1)
    ensemble = export_trees(features, fitted)
    np.testing.assert_array_equal(ensemble.log_odds(rows), fitted.decision_function(matrix))
    # given values that training never had: far outside, on a cut point, missing everywhere
    for values in (1e300, -1e300, float(features[0].knots[3]), np.nan):
        odd = FeatureColumns(
            tuple(np.full(5, values) if array.dtype == np.float64 else np.zeros(5, dtype=np.int64) for array in rows.arrays), {}
        )
        np.testing.assert_array_equal(ensemble.log_odds(odd), fitted.decision_function(tree_matrix(features, odd)))


def test_a_tree_scores_as_walking_it_node_by_node(prepared: tuple) -> None:
    features, rows, labels = prepared
    ensemble = export_trees(features, fit_boosting(tree_matrix(features, rows), labels, 5, seed=1))

    def walk(tree: Tree, row: int) -> float:
        node = 0
        while tree.feature[node] >= 0:
            value = rows.arrays[tree.feature[node]][row]
            if rows.arrays[tree.feature[node]].dtype == np.int64:
                left = value != tree.cut[node]
            else:
                left = bool(tree.missing_left[node]) if np.isnan(value) else value <= tree.cut[node]
            node = tree.left[node] if left else tree.right[node]
        return tree.value[node]

    expected = [ensemble.baseline + sum(walk(tree, row) for tree in ensemble.trees) for row in range(rows.row_count)]
    np.testing.assert_allclose(ensemble.log_odds(rows), expected, rtol=0, atol=1e-12)


def test_curves_score_as_the_fitted_coefficients_and_are_centred(prepared: tuple) -> None:
    features, rows, labels = prepared
    kept = fit_logistic(features, rows, labels, 10.0)
    built = design(features, rows)
    intercept, weights = fit_ridge(built.matrix, labels, 10.0)
    np.testing.assert_allclose(kept.log_odds(features, rows), intercept + built.matrix @ weights, rtol=0, atol=1e-12)
    np.testing.assert_allclose(kept.contributions(features, rows).mean(axis=0), 0.0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["logistic", "boosted", "blend"])
def test_contributions_and_the_average_add_up_to_the_log_odds(prepared: tuple, kind: str) -> None:
    features, rows, labels = prepared
    additive = fit_logistic(features, rows, labels, 10.0)
    ensemble = export_trees(features, fit_boosting(tree_matrix(features, rows), labels, 40, seed=1))
    line = replace(fit_line(np.linspace(-1, 1, len(labels)), labels), slope=0.7, intercept=-0.2)
    model = ChurnModel(
        kind,
        features,
        additive if kind != "boosted" else None,
        ensemble.baseline,
        ensemble.trees if kind != "logistic" else None,
        line,
    )
    np.testing.assert_allclose(model.average + model.contributions(rows).sum(axis=1), model.log_odds(rows), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "change",
    [
        {"left": (0, 0, 0)},
        {"left": (9, 0, 0)},
        {"right": (1, 0, 0)},
        {"feature": (7, -1, -1)},
        {"cut": (0.0,)},
    ],
)
def test_arrays_that_are_no_tree_are_refused(prepared: tuple, change: dict) -> None:
    features, _, _ = prepared
    tree = Tree((0, -1, -1), (1.0, 0.0, 0.0), (1, 0, 0), (2, 0, 0), (0, 0, 0), (0.0, -1.0, 1.0))
    tree.check(features)
    with pytest.raises(ValueError, match="tree"):
        replace(tree, **change).check(features)


def test_calibration_finds_the_line_that_made_the_outcomes() -> None:
    random = np.random.default_rng(1)
    log_odds = random.normal(0, 1.5, 40_000)
    happened = (random.random(40_000) < sigmoid(0.5 + 0.6 * log_odds)).astype(np.int8)
    line = fit_line(log_odds, happened)
    assert abs(line.intercept - 0.5) < 3 * line.intercept_error
    assert abs(line.slope - 0.6) < 3 * line.slope_error
    np.testing.assert_allclose(log_odds_of(sigmoid(log_odds)), log_odds, atol=1e-6)


def test_a_perfectly_parted_table_stays_finite() -> None:
    line = fit_line(np.array([-1.0] * 30 + [1.0] * 30), np.array([0] * 30 + [1] * 30, dtype=np.int8))
    assert np.isfinite([line.intercept, line.slope]).all()
    probabilities = line.probabilities(np.array([-1e9, 1e9]))
    assert 0 < probabilities[0] < probabilities[1] < 1


def test_new_rows_with_unseen_words_garbage_and_absent_columns_are_scored_with_remarks(prepared: tuple, tmp_path: Path) -> None:
    features, _, _ = prepared
    path = tmp_path / "new.csv"
    path.write_text("plan,tenure,extra\npro,5,x\nplatinum,abc,y\n")
    rows = table_columns(features, read_table(path))
    assert rows.remarks == {
        1: ["tenure 'abc' is no number and counts as missing", "plan 'platinum' was never seen in training, so it counts as unknown"]
    }
    assert np.isnan(rows.arrays[[feature.name for feature in features].index("tickets")]).all()


def test_a_signal_that_is_known_only_later_does_not_keep_the_earlier_rows_from_being_learned_from() -> None:
    random = np.random.default_rng(1)
    days = np.sort(random.uniform(0, 300, 900))
    drive = random.normal(size=900)
    left = (random.random(900) < sigmoid(drive - 1)).astype(np.int8)
    later = np.where(days > 220, random.normal(size=900), np.nan)
    result = train([NumericColumn("drive", drive), NumericColumn("later", later)], left, times=days, folds=2, gap=30.0)
    assert result.chosen.figures.auc.value > 0.65
    # and with the gap nothing is tested on rows whose neighbours' labels were still open
    tested = days[~np.isnan(result.out_of_fold)]
    assert tested.min() > 30.0
