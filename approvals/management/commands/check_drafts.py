"""Score the verifier on labelled drafts: one JSON line a record, then how much of the bad is found and how much of the good is not."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals.drafts.facts import BadRecord
from approvals.drafts.scoring import Judged, judge, summary


class Command(BaseCommand):
    """`manage.py check_drafts FILE.jsonl`: `{"id", "verdict", "findings"}` for each record, last a line `{"summary": …}`."""

    help = "Runs the draft verifier over labelled records and prints recall, right-category recall and false alarms with 95 % intervals."
    requires_system_checks: list[str] = []  # Django reads it off the class; the command needs no database

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--text", action="store_true", help="print the summary as lines to read as well")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"cannot read {path}: {error}") from error
        judged: list[Judged] = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                result = judge(json.loads(line))
            except (json.JSONDecodeError, BadRecord, ValueError, TypeError, KeyError) as error:
                raise CommandError(f"{path}:{number} is no labelled draft: {error}") from error
            judged.append(result)
            self.stdout.write(json.dumps(result.as_dict(), ensure_ascii=False))
        figures = summary(judged)
        self.stdout.write(json.dumps({"summary": figures}, ensure_ascii=False))
        if options["text"]:
            for name, figure in figures.items():
                self.stdout.write(f"{name}: {figure}")
