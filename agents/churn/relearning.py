"""From matured scores to a model that is offered: a logistic and a boosted one, compared on later rows than they learned from, calibrated.

Nothing goes live here. The offer is a Release with its figures, those of the present scores on the same rows beside them; a lead decides.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from agents import releasing
from agents.churn import learned, matured
from agents.churn.learned import model_columns, version_of
from agents.churn.learning.artefact import FORMAT, Artefact, KindFigures, Training
from agents.churn.learning.calibration import fit_line, log_odds_of
from agents.churn.learning.columns import NumericColumn
from agents.churn.learning.metrics import Figures, measure
from agents.churn.learning.table import UnusableTable
from agents.churn.matured import Matured
from agents.churn.scorecard import HORIZONS_DAYS
from agents.models import Release

logger = logging.getLogger(__name__)
FEWEST_ROWS = 1_000
FEWEST_DEPARTURES = 100
OFFER_EVERY = timedelta(days=30)
_FOLDS = 4
_SEED = 7


class NotYet(Exception):
    """There is not enough to learn from; the text says what there is and what it takes."""


def offer_if_due(as_of: datetime) -> str:
    """Learn and offer when enough has matured and the last offer is a month old. Returns what came of it, in words."""
    newest = Release.objects.filter(agent="churn", kind="model", name="churn").order_by("-pk").values_list("figures", flat=True).first()
    offered_at = str((newest or {}).get("learned_at", ""))
    if offered_at and as_of - datetime.fromisoformat(offered_at) < OFFER_EVERY:
        return "the last offer is not a month old"
    try:
        release = offer(as_of)
    except (NotYet, UnusableTable) as error:
        return str(error)
    return f"{release.version} is offered"


def offer(as_of: datetime) -> Release:
    """Learn from everything that has matured, and offer it. Raises NotYet, and UnusableTable when time leaves no part to compare on."""
    rows = matured.read(as_of)
    left = int(rows.labels[90].sum()) if len(rows) else 0
    if len(rows) < FEWEST_ROWS or left < FEWEST_DEPARTURES:
        raise NotYet(
            f"Not enough has matured to learn from: {len(rows)} scores older than 90 days, {left} of whose customers left. It takes "
            f"{FEWEST_ROWS} and {FEWEST_DEPARTURES}; until then the scorecard serves."
        )
    artefact, lines, figures = learn(rows)
    content_hash = learned.store(artefact, lines)
    release = releasing.offer(
        agent="churn",
        kind="model",
        name="churn",
        version=version_of(content_hash),
        content_hash=content_hash,
        figures={"learned_at": as_of.isoformat(), **figures},
    )
    logger.info("churn.model_offered", extra={"version": release.version, "rows": len(rows)})
    return release


def learn(rows: Matured) -> tuple[Artefact, dict[int, tuple[float, float]], dict[str, Any]]:
    """The artefact, a calibration line for each horizon, and the figures on rows that lie later than what was learned from, with a gap of the
    horizon between: at the moment of the first tested score, none of the labels learned from was still open."""
    from agents.churn.learning.training import train  # scikit-learn takes a second to import, and only this needs it

    table = model_columns(rows.columns)
    columns = [column for column in table.values() if _says_something(column)]
    if not columns:
        raise UnusableTable("Every signal is the same for everyone, so there is nothing to learn from.")
    labels = rows.labels[90]
    result = train(columns, labels, times=rows.days, folds=_FOLDS, seed=_SEED, gap=float(max(HORIZONS_DAYS)))
    seen = ~np.isnan(result.out_of_fold)
    tested = log_odds_of(result.out_of_fold[seen])
    lines: dict[int, tuple[float, float]] = {}
    for days in HORIZONS_DAYS:
        happened = rows.labels[days][seen]
        if happened.min() != happened.max():
            line = fit_line(tested, happened)
            lines[days] = (line.intercept, line.slope)
    deciles = np.unique(np.quantile(result.out_of_fold[seen], np.linspace(0.1, 0.9, 9)))
    shares = np.bincount(np.searchsorted(deciles, result.out_of_fold[seen], side="left"), minlength=len(deciles) + 1) / int(seen.sum())
    training = Training(
        rows=len(rows),
        positives=int(labels.sum()),
        table_hash=hashlib.sha256(b"".join(values.tobytes() for values in rows.columns.values()) + labels.tobytes()).hexdigest(),
        split=result.split,
        folds=len(result.candidates[0].fold_aucs),
        seed=_SEED,
        score_deciles=tuple(deciles.tolist()),
        score_shares=tuple(shares.tolist()),
        dropped=(),
        compared=tuple(KindFigures(one.kind, one.figures, one.mean_fold_auc, one.mean_fold_ece) for one in result.candidates),
    )
    artefact = Artefact(FORMAT, "left within 90 days", "yes", None, "scored_at", result.model, training)
    figures = {
        "model": result.model.kind,
        "rows": len(rows),
        "left": int(labels.sum()),
        "tested_rows": int(seen.sum()),
        "split": f"{result.split}, 90 days between what is learned from and what is tested",
        "kinds": {one.kind: _shown(one.figures) for one in result.candidates},
        "present_scores": _shown(measure(np.clip(rows.p90[seen], 1e-6, 1 - 1e-6), labels[seen])),
        "signals": [column.name for column in columns],
    }
    return artefact, lines, figures


def _says_something(column: NumericColumn) -> bool:
    known = column.values[np.isfinite(column.values)]
    return len(np.unique(known)) > 1


def _shown(figures: Figures) -> dict[str, float]:
    return {
        "auc": round(figures.auc.value, 4),
        "auc_low": round(figures.auc.low, 4),
        "auc_high": round(figures.auc.high, 4),
        "log_loss": round(figures.log_loss.value, 4),
        "brier": round(figures.brier.value, 4),
        "ece": round(figures.ece.value, 4),
        "slope": round(figures.slope.value, 3),
        "intercept": round(figures.intercept.value, 3),
    }
