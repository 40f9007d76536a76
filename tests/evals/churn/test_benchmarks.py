"""The public benchmarks at the figures that are promised. Skipped where the data does not lie beside the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.churn.learning.train_file import TrainingRequest, train_from_csv

_FOLDER = Path(__file__).resolve().parents[4] / "shared" / "data" / "benchmarks"


@pytest.mark.parametrize(
    ("name", "target", "least_auc", "most_ece"),
    [
        ("telco_churn_dev.csv", "Churn", 0.845, 0.033),
        ("uci_credit_default_dev.csv", "default.payment.next.month", 0.78, 0.017),
    ],
)
def test_the_promised_figures_hold_on_rows_never_seen(name: str, target: str, least_auc: float, most_ece: float) -> None:
    if not (_FOLDER / name).is_file():
        pytest.skip(f"{name} is not here")
    result, artefact, warnings = train_from_csv(TrainingRequest(_FOLDER / name, target), lambda _: None)
    chosen = result.chosen
    # all test parts together, and the mean over them, which is the harder one for calibration: a fifth of the rows, so more chance
    assert min(chosen.figures.auc.value, chosen.mean_fold_auc) >= least_auc
    assert max(chosen.figures.ece.value, chosen.mean_fold_ece) <= most_ece
    assert 0.9 <= chosen.figures.slope.value <= 1.1
    assert artefact.figures == chosen.figures
    assert warnings == []
