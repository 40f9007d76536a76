"""`manage.py train churn --csv FILE --target COLUMN`: learn from any table of labelled rows, report, and store what was learned."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from agents.churn.learning.artefact import store
from agents.churn.learning.table import UnusableTable


class Command(BaseCommand):
    """Train one agent's model from a csv file."""

    help = "Learn from a csv file with labels; prints a report and, as the last line, the figures as JSON. Nothing goes live by itself."
    requires_system_checks = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The command line."""
        parser.add_argument("agent", choices=["churn"], help="whose model")
        parser.add_argument("--csv", required=True, type=Path, help="the table: a header line, then one row a customer")
        parser.add_argument("--target", required=True, help="the column to predict")
        parser.add_argument("--positive", help="the target's value to predict, or a comparison such as '>0'")
        parser.add_argument("--id", dest="id_column", help="the column that names a row; it is not learned from")
        parser.add_argument(
            "--time", dest="time_column", help="the column with the row's time: test parts then lie after what is learned from"
        )
        parser.add_argument(
            "--drop", action="append", default=[], help="a column not to learn from, e.g. one known only afterwards; repeatable"
        )
        parser.add_argument("--folds", type=int, default=5, help="test parts, 2–20")
        parser.add_argument("--seed", type=int, default=7, help="for the draw of the parts and of the trees")
        parser.add_argument("--out", type=Path, help="the folder to store the model in")

    def handle(self, *args: Any, **options: Any) -> None:
        """Train, store, report. Raises CommandError with a sentence when the input cannot be used."""
        # scikit-learn takes a second to import; the command's help and its errors of usage do without it.
        from agents.churn.learning.report import readable, summary
        from agents.churn.learning.train_file import TrainingRequest, train_from_csv

        if options["seed"] < 0 or options["seed"] > 2**31:
            raise CommandError("--seed must be a whole number from 0 to 2147483648.")
        request = TrainingRequest(
            csv=options["csv"],
            target=options["target"],
            positive=options["positive"],
            id_column=options["id_column"],
            time_column=options["time_column"],
            dropped=tuple(options["drop"]),
            folds=options["folds"],
            seed=options["seed"],
        )
        folder = options["out"] or settings.VAR_DIR / "models" / "churn"
        try:
            result, artefact, warnings = train_from_csv(request, progress=lambda line: self.stderr.write(line))
            path = store(artefact, folder)
        except UnusableTable as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{error.filename or folder}: {error.strerror}.") from error
        self.stdout.write(readable(result, artefact, path, warnings))
        self.stdout.write(json.dumps(summary(result, artefact, path, warnings)))
