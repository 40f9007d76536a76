"""`manage.py evidence_pack --case … --out case.zip`: everything about a case or a period, signed."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from audit.actor import operator
from audit.export import case_pack, period_pack


class Command(BaseCommand):
    help = "Writes an evidence pack: a signed ZIP with JSON, readable pages, the ledger's entries, and the proof that they are what was checkpointed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--case", type=UUID, help="one case, by its id")
        parser.add_argument("--from", dest="start", type=date.fromisoformat, help="a period: its first day, in UTC")
        parser.add_argument("--to", dest="end", type=date.fromisoformat, help="a period: the day after its last, in UTC")
        parser.add_argument("--out", type=Path, required=True, help="the ZIP to write; it must not exist yet")

    def handle(self, *args: Any, **options: Any) -> None:
        case, start, end = options["case"], options["start"], options["end"]
        if (case is None) == (start is None and end is None) or (start is None) != (end is None):
            raise CommandError("name either --case, or both --from and --to")
        path: Path = options["out"]
        if path.exists():
            raise CommandError(f"{path} exists already")
        half = path.with_name(path.name + ".part")
        who = operator()
        try:
            with half.open("wb") as into:
                pack = case_pack(case, who, into) if case else period_pack(_midnight(start), _midnight(end), who, into)
            half.replace(path)
        except (LookupError, ValueError) as error:
            raise CommandError(str(error)) from error
        finally:
            half.unlink(missing_ok=True)  # a pack that stopped half way leaves no file that looks like one
        self.stdout.write(f"{path}: {pack.entries} entries, {pack.cases} cases, signed by {pack.public_key}")


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
