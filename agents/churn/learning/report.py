"""What a training run tells a person, and the same as one line of JSON for a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.churn.learning.artefact import Artefact
from agents.churn.learning.columns import DroppedColumn
from agents.churn.learning.training import TrainingResult


def readable(result: TrainingResult, artefact: Artefact, path: Path, warnings: list[str]) -> str:
    """The report: what was learned from, how each kind of model did on rows it never saw, how honest its probabilities are."""
    training = artefact.training
    chosen = result.chosen
    figures = chosen.figures
    lines = [
        f"Learned {artefact.target} = {artefact.positive!r} from {training.rows} rows, of which {training.positives} "
        f"({training.positives / training.rows:.1%}) are positive. No class weights, no resampling.",
        f"Compared on {training.folds} test parts {training.split}; every choice was made inside the training part.",
        "",
        _dropped_lines(training.dropped),
        *[f"Look at this: {warning}" for warning in warnings],
        "",
        f"{'model':<10}{'AUC':<29}{'log loss':<29}{'Brier':<9}{'ECE':<8}{'slope':<8}{'intercept':<11}log loss above the best",
    ]
    for candidate in result.candidates:
        its = candidate.figures
        worse = "chosen" if candidate.kind == chosen.kind else str(candidate.worse_by)
        lines.append(
            f"{candidate.kind:<10}{its.auc!s:<29}{its.log_loss!s:<29}{its.brier.value:<9.4f}{its.ece.value:<8.4f}"
            f"{its.slope.value:<8.3f}{its.intercept.value:<+11.3f}{worse}"
        )
    lines += [
        "",
        f"Chosen: {chosen.kind}, the lowest log loss. Mean over test parts: AUC {chosen.mean_fold_auc:.4f}, ECE {chosen.mean_fold_ece:.4f}.",
        f"Calibration: ECE {figures.ece}; by chance alone a perfect score of this size shows {figures.ece_if_perfect:.4f}. "
        f"Slope {figures.slope}, intercept {figures.intercept} (perfect: 1 and 0).",
        "",
        f"{'rows':>8}  predicted  happened",
        *[f"{one.rows:>8}  {one.predicted:>9.1%}  {one.happened:>8.1%}" for one in figures.bins],
        "",
        f"Stored as {path}",
        "It is offered, not live: a lead decides.",
    ]
    return "\n".join(lines)


def _dropped_lines(dropped: tuple[DroppedColumn, ...]) -> str:
    return (
        "\n".join(["Not learned from:", *[f"  - {column.sentence}" for column in dropped]]) if dropped else "Every column was learned from."
    )


def summary(result: TrainingResult, artefact: Artefact, path: Path, warnings: list[str]) -> dict[str, Any]:
    """The figures as plain values. `auc`, `ece` and `slope` are the chosen model's over all test parts together."""
    chosen = result.chosen
    return {
        "agent": "churn",
        "model": chosen.kind,
        "path": str(path),
        "sha256": path.stem.removeprefix("churn-"),
        "rows": artefact.training.rows,
        "positives": artefact.training.positives,
        "target": artefact.target,
        "positive": artefact.positive,
        "split": artefact.training.split,
        "folds": artefact.training.folds,
        "seed": artefact.training.seed,
        "auc": round(chosen.figures.auc.value, 6),
        "auc_mean_fold": round(chosen.mean_fold_auc, 6),
        "log_loss": round(chosen.figures.log_loss.value, 6),
        "brier": round(chosen.figures.brier.value, 6),
        "ece": round(chosen.figures.ece.value, 6),
        "ece_mean_fold": round(chosen.mean_fold_ece, 6),
        "slope": round(chosen.figures.slope.value, 6),
        "intercept": round(chosen.figures.intercept.value, 6),
        "class_weighting": False,
        "resampling": False,
        "candidates": {
            candidate.kind: {
                "auc": candidate.figures.auc.value,
                "auc_low": candidate.figures.auc.low,
                "auc_high": candidate.figures.auc.high,
                "auc_mean_fold": candidate.mean_fold_auc,
                "log_loss": candidate.figures.log_loss.value,
                "brier": candidate.figures.brier.value,
                "ece": candidate.figures.ece.value,
                "ece_mean_fold": candidate.mean_fold_ece,
                "ece_if_perfect": candidate.figures.ece_if_perfect,
                "slope": candidate.figures.slope.value,
                "intercept": candidate.figures.intercept.value,
            }
            for candidate in result.candidates
        },
        "dropped": [column.name for column in artefact.training.dropped],
        "warnings": warnings,
    }
