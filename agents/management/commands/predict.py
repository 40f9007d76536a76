"""`manage.py predict churn --csv FILE`: a probability and reasons for each row, by a stored model."""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from agents.churn.learning.artefact import Artefact, UnusableModel, load, newest
from agents.churn.learning.score_file import measured, score_csv
from agents.churn.learning.table import FloatArray, UnusableTable


class Command(BaseCommand):
    """Score the rows of a csv file."""

    help = "Write a probability and reasons for each row of a csv file, in its order: to --out, or to standard output."
    requires_system_checks = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The command line."""
        parser.add_argument("agent", choices=["churn"], help="whose model")
        parser.add_argument("--csv", required=True, type=Path, help="the rows to score; the target column may be absent")
        parser.add_argument("--model", type=Path, help="a model stored by train; the newest one when not given")
        parser.add_argument("--id", dest="id_column", help="the column that names a row; the one found in training when not given")
        parser.add_argument("--out", type=Path, help="the csv file to write")

    def handle(self, *args: Any, **options: Any) -> None:
        """Score and write. Raises CommandError with a sentence when the model or the rows cannot be used; then nothing is written."""
        folder = settings.VAR_DIR / "models" / "churn"
        out: Path | None = options["out"]
        if out is not None and not out.parent.is_dir():
            raise CommandError(f"There is no folder {out.parent} to write {out.name} in.")
        try:
            path = options["model"] or newest(folder)
            artefact = load(path)
            if out is None:
                probabilities, labels = self._write(artefact, options, sys.stdout)
            else:
                descriptor, temporary = tempfile.mkstemp(dir=out.parent, suffix=".part")
                try:
                    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
                        probabilities, labels = self._write(artefact, options, stream)
                    Path(temporary).chmod(0o644)
                    os.replace(temporary, out)
                finally:
                    Path(temporary).unlink(missing_ok=True)
        except (UnusableTable, UnusableModel) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{error.filename or out}: {error.strerror}.") from error
        self.stderr.write(f"{len(probabilities)} rows scored by {path.name} ({artefact.model.kind}); average {probabilities.mean():.1%}.")
        figures = measured(labels, probabilities)
        if figures is not None:
            self.stderr.write(
                f"The file has {figures.rows} known outcomes: AUC {figures.auc}, log loss {figures.log_loss}, ECE {figures.ece}, "
                f"slope {figures.slope}, intercept {figures.intercept}."
            )
            if hashlib.sha256(options["csv"].read_bytes()).hexdigest() == artefact.training.table_hash:
                self.stderr.write(
                    "These are the rows it learned from, so these figures flatter it; the training report has the honest ones."
                )

    def _write(self, artefact: Artefact, options: dict[str, Any], stream: TextIO) -> tuple[FloatArray, list[int | None]]:
        writer = csv.writer(stream, lineterminator="\n")
        id_name = options["id_column"] or artefact.id_column or "row"
        writer.writerow([id_name, "probability", "raised", "lowered", "remarks"])
        parts: list[FloatArray] = []
        labels: list[int | None] = []
        remarked = 0
        for batch in score_csv(artefact, options["csv"], options["id_column"]):
            for name, probability, reasons, remark in zip(batch.ids, batch.probabilities, batch.reasons, batch.remarks, strict=True):
                raised = "; ".join(reason.words for reason in reasons.raised)
                lowered = "; ".join(reason.words for reason in reasons.lowered)
                writer.writerow([name, f"{probability:.9f}", raised, lowered, remark])
            parts.append(batch.probabilities)
            labels += batch.labels
            remarked += sum(1 for remark in batch.remarks if remark)
        for absent in batch.absent:
            self.stderr.write(f"The file has no column {absent}: it counts as missing in every row.")
        if remarked:
            self.stderr.write(f"{remarked} rows hold something that training never saw; see their remarks.")
        return np.concatenate(parts), labels
