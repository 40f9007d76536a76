"""The two commands as a person runs them."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from agents.churn.learning.artefact import Artefact
from agents.churn.learning.training import TrainingResult
from tests.unit.churn.churn_tables import write_table

Trained = tuple[TrainingResult, Artefact, Path]


def scored(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_train_reports_and_stores(tmp_path: Path) -> None:
    write_table(tmp_path / "rows.csv", 800, seed=4)
    out, progress = StringIO(), StringIO()
    call_command(
        "train",
        "churn",
        csv=tmp_path / "rows.csv",
        target="left",
        id_column="customer",
        folds=2,
        out=tmp_path / "m",
        stdout=out,
        stderr=progress,
    )
    figures = json.loads(out.getvalue().strip().splitlines()[-1])
    assert Path(figures["path"]).is_file()
    assert figures["rows"] == 800
    assert figures["dropped"] == ["customer", "left"]
    assert (figures["class_weighting"], figures["resampling"]) == (False, False)
    assert set(figures["candidates"]) == {"logistic", "boosted", "blend"}
    assert "It is offered, not live" in out.getvalue()
    assert progress.getvalue().splitlines()[0] == "fold 1 of 2: 400 rows to learn from, 400 to test"


def test_time_folds_learn_from_the_past_only(tmp_path: Path) -> None:
    write_table(tmp_path / "rows.csv", 800, seed=4)
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    (tmp_path / "timed.csv").write_text(
        "\n".join([lines[0] + ",day"] + [f"{line},2026-{i // 80 + 1:02d}-01" for i, line in enumerate(lines[1:])])
    )
    out, progress = StringIO(), StringIO()
    call_command(
        "train",
        "churn",
        csv=tmp_path / "timed.csv",
        target="left",
        time_column="day",
        folds=4,
        out=tmp_path / "m",
        stdout=out,
        stderr=progress,
    )
    assert json.loads(out.getvalue().splitlines()[-1])["split"] == "forward in time"
    # given ten months of 80 rows and four test parts after the first fifth
    assert progress.getvalue().splitlines()[:4] == [
        "fold 1 of 4: 160 rows to learn from, 160 to test",
        "fold 2 of 4: 320 rows to learn from, 160 to test",
        "fold 3 of 4: 480 rows to learn from, 160 to test",
        "fold 4 of 4: 640 rows to learn from, 160 to test",
    ]


def test_a_column_known_only_afterwards_is_pointed_out(tmp_path: Path) -> None:
    write_table(tmp_path / "rows.csv", 400, seed=4)
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    (tmp_path / "leak.csv").write_text(
        "\n".join([lines[0] + ",closed"] + [line + "," + line.rsplit(",", 1)[1].lower() for line in lines[1:]])
    )
    out = StringIO()
    call_command("train", "churn", csv=tmp_path / "leak.csv", target="left", folds=2, out=tmp_path / "m", stdout=out, stderr=StringIO())
    assert "closed alone tells the target almost perfectly (AUC 1.000)" in out.getvalue()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"target": "gone"}, r"no column 'gone'. The file has: customer, tenure"),
        ({"target": "left", "id_column": "gone"}, "no column 'gone'"),
        ({"target": "left", "time_column": "left"}, "three different columns"),
        ({"target": "left", "folds": 1}, "--folds 1"),
        ({"target": "left", "positive": "maybe"}, "No row has 'maybe'"),
        ({"target": "left", "seed": -1}, "--seed"),
        ({"target": "left", "drop": ["gone"]}, "no column 'gone'"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_stored(tmp_path: Path, options: dict, sentence: str) -> None:
    write_table(tmp_path / "rows.csv", 200, seed=4)
    with pytest.raises(CommandError, match=sentence):
        call_command("train", "churn", csv=tmp_path / "rows.csv", out=tmp_path / "m", stdout=StringIO(), stderr=StringIO(), **options)
    assert not (tmp_path / "m").exists()


def test_too_few_of_a_class_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x,left\n" + "".join(f"{i % 7},{'Yes' if i < 19 else 'No'}\n" for i in range(200)))
    with pytest.raises(CommandError, match="Only 19 rows of the rarer class: at least 20"):
        call_command("train", "churn", csv=tmp_path / "rows.csv", target="left", out=tmp_path / "m", stdout=StringIO(), stderr=StringIO())


def test_predict_scores_rows_whatever_the_order_of_columns(trained: Trained, tmp_path: Path) -> None:
    _, _, model = trained
    write_table(tmp_path / "a.csv", 50, seed=8)
    with (tmp_path / "a.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with (tmp_path / "b.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["tone", "tickets", "plan", "tenure", "customer"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    said = StringIO()
    call_command("predict", "churn", csv=tmp_path / "a.csv", model=model, out=tmp_path / "a.out", stderr=said)
    call_command("predict", "churn", csv=tmp_path / "b.csv", model=model, out=tmp_path / "b.out", stderr=StringIO())
    assert scored(tmp_path / "a.out") == scored(tmp_path / "b.out")
    assert [row["customer"] for row in scored(tmp_path / "a.out")] == [row["customer"] for row in rows]
    assert "50 known outcomes" in said.getvalue()


def test_predict_is_close_to_the_truth_and_names_its_causes(trained: Trained, tmp_path: Path) -> None:
    _, _, model = trained
    truth = write_table(tmp_path / "a.csv", 1000, seed=11, with_target=False)
    call_command("predict", "churn", csv=tmp_path / "a.csv", model=model, out=tmp_path / "a.out", stderr=StringIO())
    rows = scored(tmp_path / "a.out")
    predicted = np.array([float(row["probability"]) for row in rows])
    assert np.abs(predicted - truth).mean() < 0.06
    with (tmp_path / "a.csv").open(newline="") as stream:
        given = list(csv.DictReader(stream))
    many = [row for row, had in zip(rows, given, strict=True) if int(had["tickets"]) >= 5]
    assert many
    assert all("tickets is" in row["raised"] for row in many)
    long = [row for row, had in zip(rows, given, strict=True) if int(had["tenure"]) >= 65]
    assert all("tenure is" in row["lowered"] for row in long)


def test_predict_says_what_it_never_saw(trained: Trained, tmp_path: Path) -> None:
    _, _, model = trained
    (tmp_path / "odd.csv").write_text("customer,tenure,plan,tickets\nc1,,platinum,2\nc2,x,,\n")
    said = StringIO()
    call_command("predict", "churn", csv=tmp_path / "odd.csv", model=model, out=tmp_path / "odd.out", stderr=said)
    first, second = scored(tmp_path / "odd.out")
    assert first["remarks"] == "plan 'platinum' was never seen in training, so it counts as unknown"
    assert (
        second["remarks"]
        == "tenure 'x' is no number and counts as missing; plan is missing, which training never saw, so it counts as unknown"
    )
    assert 0 < float(first["probability"]) < 1
    assert "no column tone: it counts as missing in every row" in said.getvalue()


def test_predict_refuses_another_table_and_leaves_the_old_answer(trained: Trained, tmp_path: Path) -> None:
    _, _, model = trained
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "kept.csv").write_text("before")
    with pytest.raises(CommandError, match="0 of the 4 columns"):
        call_command("predict", "churn", csv=tmp_path / "other.csv", model=model, out=tmp_path / "kept.csv", stderr=StringIO())
    assert (tmp_path / "kept.csv").read_text() == "before"
    assert not list(tmp_path.glob("*.part"))


def test_predict_names_a_folder_that_is_not_there(trained: Trained, tmp_path: Path) -> None:
    _, _, model = trained
    with pytest.raises(CommandError, match=r"There is no folder .*nowhere to write a\.csv in"):
        call_command("predict", "churn", csv=tmp_path / "a.csv", model=model, out=tmp_path / "nowhere" / "a.csv", stderr=StringIO())
