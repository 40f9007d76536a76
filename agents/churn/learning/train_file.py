"""From a csv file of labelled rows to a model with its figures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agents.churn.learning.artefact import FORMAT, Artefact, KindFigures, Training
from agents.churn.learning.columns import NumericColumn, type_columns
from agents.churn.learning.labels import read_labels, read_times
from agents.churn.learning.metrics import auc
from agents.churn.learning.table import FloatArray, UnusableTable, read_table
from agents.churn.learning.training import TrainingResult, train

_TOO_GOOD = 0.995


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What to learn from which file. `positive` is a value of the target or a comparison such as `>0`."""

    csv: Path
    target: str
    positive: str | None = None
    id_column: str | None = None
    time_column: str | None = None
    dropped: Sequence[str] = ()
    folds: int = 5
    seed: int = 7


def train_from_csv(request: TrainingRequest, progress: Callable[[str], None]) -> tuple[TrainingResult, Artefact, list[str]]:
    """The training result, the artefact made of it, and warnings for a person. Raises UnusableTable."""
    table = read_table(request.csv)
    for name in (request.target, request.id_column, request.time_column, *request.dropped):
        if name is not None:
            table.column(name)
    roles = [name for name in (request.target, request.id_column, request.time_column) if name is not None]
    if len(set(roles)) != len(roles):
        raise UnusableTable("The target, the id and the time must be three different columns.")
    labels = read_labels(table, request.target, request.positive)
    unlabelled = table.row_count - len(labels.known)
    if unlabelled:
        table = table.take(labels.known)
    ignored = {request.target: f"{request.target} is the target."}
    if request.id_column:
        ignored[request.id_column] = f"{request.id_column} is the id."
    if request.time_column:
        ignored[request.time_column] = f"{request.time_column} is the time, used to split and not to learn from."
    ignored |= {name: f"{name} was left out as asked." for name in request.dropped if name not in roles}
    typed = type_columns(table, ignored)
    times = read_times(table, request.time_column) if request.time_column else None
    warnings = [f"{unlabelled} rows have no {request.target} and were not learned from."] if unlabelled else []
    for column in typed.columns:
        numbers = column.values if isinstance(column, NumericColumn) else _level_rates(column.values, labels.values)
        alone = auc(np.nan_to_num(numbers, nan=-np.inf), labels.values).value
        if max(alone, 1.0 - alone) >= _TOO_GOOD:
            warnings.append(
                f"{column.name} alone tells the target almost perfectly (AUC {max(alone, 1 - alone):.3f}). If it is known only afterwards, "
                f"leave it out with --drop {column.name!r}."
            )
    result = train(typed.columns, labels.values, times=times, folds=request.folds, seed=request.seed, progress=progress)
    seen = result.out_of_fold[~np.isnan(result.out_of_fold)]
    deciles = np.unique(np.quantile(seen, np.linspace(0.1, 0.9, 9)))
    shares = np.bincount(np.searchsorted(deciles, seen, side="left"), minlength=len(deciles) + 1) / len(seen)
    training = Training(
        rows=len(labels.values),
        positives=int(labels.values.sum()),
        table_hash=hashlib.sha256(request.csv.read_bytes()).hexdigest(),
        split=result.split,
        folds=len(result.candidates[0].fold_aucs),
        seed=request.seed,
        score_deciles=tuple(deciles.tolist()),
        score_shares=tuple(shares.tolist()),
        dropped=typed.dropped,
        compared=tuple(KindFigures(one.kind, one.figures, one.mean_fold_auc, one.mean_fold_ece) for one in result.candidates),
    )
    id_column = request.id_column or next((one.name for one in typed.dropped if "an id" in one.sentence), None)
    return result, Artefact(FORMAT, request.target, labels.positive, id_column, request.time_column, result.model, training), warnings


def _level_rates(words: Sequence[str], labels: np.ndarray) -> FloatArray:
    """For each word the share of positives among its rows."""
    _, codes = np.unique(np.array(words), return_inverse=True)
    return np.asarray((np.bincount(codes, weights=labels) / np.bincount(codes))[codes])
