"""From a csv file and a stored model to scored rows, in batches, with numpy alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agents.churn.learning.artefact import Artefact
from agents.churn.learning.features import table_columns
from agents.churn.learning.labels import read_labels
from agents.churn.learning.metrics import Figures, measure
from agents.churn.learning.reasons import Reasons, explain
from agents.churn.learning.table import FloatArray, Table, UnusableTable, is_missing, read_batches

_BATCH_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """Scored rows in the file's order: ids as written (or the row's number), probabilities, reasons, remarks, the labels
    where known, and the model's columns that the file does not have."""

    ids: list[str]
    probabilities: FloatArray
    reasons: list[Reasons]
    remarks: list[str]
    labels: list[int | None]
    absent: list[str]


def score_csv(artefact: Artefact, csv: Path, id_column: str | None = None) -> Iterator[ScoredBatch]:
    """The file's rows scored in batches, in order. The target may be absent; columns may stand in any order. Raises UnusableTable when the file
    cannot be read or has none of the model's columns."""
    name = id_column or artefact.id_column
    row = 0
    for table in read_batches(csv, _BATCH_ROWS):
        if row == 0:
            _check_columns(artefact, table)
            if id_column is not None:
                table.column(id_column)
        columns = table_columns(artefact.model.features, table)
        ids = table.cells[name] if name in table.cells else [str(number) for number in range(row + 1, row + table.row_count + 1)]
        yield ScoredBatch(
            ids,
            artefact.model.probabilities(columns),
            explain(artefact.model, columns),
            ["; ".join(columns.remarks.get(position, ())) for position in range(table.row_count)],
            _labels(artefact, table),
            absent_columns(artefact, table.header),
        )
        row += table.row_count


def absent_columns(artefact: Artefact, header: Sequence[str]) -> list[str]:
    """The model's columns that a header does not have."""
    return [feature.name for feature in artefact.model.features if feature.name not in header]


def _check_columns(artefact: Artefact, table: Table) -> None:
    absent = absent_columns(artefact, table.header)
    if len(absent) * 2 > len(artefact.model.features):
        raise UnusableTable(
            f"The file has {len(artefact.model.features) - len(absent)} of the {len(artefact.model.features)} columns that the model learned from; "
            f"it lacks {', '.join(absent[:10])}. Is it the right file for this model?"
        )


def _labels(artefact: Artefact, table: Table) -> list[int | None]:
    if artefact.target not in table.cells:
        return [None] * table.row_count
    cells = table.cells[artefact.target]
    if artefact.positive not in cells and artefact.positive[:1] in "<>":
        try:
            labels = read_labels(table, artefact.target, artefact.positive)
        except UnusableTable:
            return [None] * table.row_count
        found: list[int | None] = [None] * table.row_count
        for position, value in zip(labels.known.tolist(), labels.values.tolist(), strict=True):
            found[position] = int(value)
        return found
    return [None if is_missing(cell) else int(cell == artefact.positive) for cell in cells]


def measured(labels: Sequence[int | None], probabilities: FloatArray) -> Figures | None:
    """The figures on the rows whose label is known, or None when they are not of both kinds."""
    known = [position for position, label in enumerate(labels) if label is not None]
    happened = np.array([labels[position] for position in known], dtype=np.int8)
    if not known or happened.min() == happened.max():
        return None
    return measure(probabilities[known], happened)
