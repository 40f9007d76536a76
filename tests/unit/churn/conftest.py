"""One model trained once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.churn.learning.artefact import Artefact, load, store
from agents.churn.learning.train_file import TrainingRequest, train_from_csv
from agents.churn.learning.training import TrainingResult
from tests.unit.churn.churn_tables import write_table


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, Artefact, Path]:
    """Training on 1,500 made-up rows: the result, the artefact read back from disk, its path."""
    folder = tmp_path_factory.mktemp("churn")
    write_table(folder / "rows.csv", 1500, seed=3)
    result, artefact, _ = train_from_csv(TrainingRequest(folder / "rows.csv", "left", folds=3), lambda _: None)
    path = store(artefact, folder / "models")
    return result, load(path), path
