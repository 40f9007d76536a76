"""A stored model is plain JSON under its hash; what was changed, cut or made up is refused."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.churn.learning.artefact import Artefact, UnusableModel, load, newest, parse, store, to_bytes
from agents.churn.learning.features import table_columns
from agents.churn.learning.table import read_table
from agents.churn.learning.training import TrainingResult
from tests.unit.churn.churn_tables import write_table

Trained = tuple[TrainingResult, Artefact, Path]


def test_the_name_is_the_hash_and_the_content_is_json(trained: Trained) -> None:
    _, _, path = trained
    content = path.read_bytes()
    assert path.name == f"churn-{hashlib.sha256(content).hexdigest()}.json"
    assert json.loads(content)["format"] == "billing-ai churn model 1"


def test_a_model_read_back_scores_bit_for_bit_as_before(trained: Trained, tmp_path: Path) -> None:
    result, artefact, _ = trained
    write_table(tmp_path / "new.csv", 300, seed=9, with_target=False)
    rows = table_columns(artefact.model.features, read_table(tmp_path / "new.csv"))
    np.testing.assert_array_equal(artefact.model.probabilities(rows), result.model.probabilities(rows))


def test_the_same_training_gives_the_same_hash(trained: Trained, tmp_path: Path) -> None:
    _, artefact, path = trained
    assert store(artefact, tmp_path).name == path.name


def test_a_changed_file_is_refused(trained: Trained, tmp_path: Path) -> None:
    _, _, path = trained
    changed = tmp_path / path.name
    changed.write_bytes(path.read_bytes().replace(b'"target":"left"', b'"target":"LEFT"'))
    with pytest.raises(UnusableModel, match="was changed after it was stored"):
        load(changed)


def test_a_renamed_file_is_refused(trained: Trained, tmp_path: Path) -> None:
    _, _, path = trained
    renamed = tmp_path / "model.json"
    renamed.write_bytes(path.read_bytes())
    with pytest.raises(UnusableModel, match="not named churn-<sha256>"):
        load(renamed)


def _broken(content: dict[str, Any], case: str) -> dict[str, Any]:
    model = content["model"]
    match case:
        case "format":
            content["format"] = "another"
        case "kind":
            model["kind"] = "pickle"
        case "extra":
            content["code"] = "print(1)"
        case "slope":
            model["calibration"]["slope"] = -1.0
        case "features":
            model["features"] = []
        case "knots":
            next(feature for feature in model["features"] if "knots" in feature)["knots"].reverse()
        case "text":
            content["training"]["rows"] = "many"
        case "curves":
            model["additive"] = {"intercept": 0.0, "terms": []}
            model["kind"] = "logistic" if model["trees"] is None else "blend"
    return content


@pytest.mark.parametrize("case", ["format", "kind", "extra", "slope", "features", "knots", "text", "curves"])
def test_a_file_that_does_not_hold_together_is_refused(trained: Trained, case: str) -> None:
    _, artefact, _ = trained
    with pytest.raises(UnusableModel):
        parse(json.dumps(_broken(json.loads(to_bytes(artefact)), case)).encode())


def test_infinity_is_refused(trained: Trained) -> None:
    _, artefact, _ = trained
    content = json.loads(to_bytes(artefact))
    content["model"]["calibration"]["intercept"] = float("inf")
    with pytest.raises(UnusableModel):
        parse(json.dumps(content).encode())


def test_the_newest_is_the_one_stored_last(trained: Trained, tmp_path: Path) -> None:
    _, artefact, path = trained
    with pytest.raises(UnusableModel, match="Train one first"):
        newest(tmp_path)
    stored = store(artefact, tmp_path)
    older = tmp_path / f"churn-{'0' * 64}.json"
    older.write_text("{}")
    os.utime(older, ns=(1, 1))
    (tmp_path / "churn-notes.json").write_text("{}")
    assert newest(tmp_path) == stored
    assert path.name == stored.name
