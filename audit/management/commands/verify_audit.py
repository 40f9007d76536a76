"""`manage.py verify_audit`: is the ledger still what was written?"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.models import CheckpointStamp
from audit.sinks import FileSink
from audit.statement import text_of
from audit.verify import Report, verify


class Command(BaseCommand):
    help = (
        "Reads the whole ledger and says what was changed, removed, inserted, reordered or cut, and where. Exit code 1 when anything was."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--checkpoint-file", type=Path, help="a copy of the checkpoints from outside; without it the configured one")
        parser.add_argument("--stamps", type=Path, help="a folder to write each time stamp and what it is about into, for openssl ts")
        parser.add_argument("--json", action="store_true", help="the report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path | None = options["checkpoint_file"]
        if path is not None and not path.exists():
            raise CommandError(f"{path} does not exist")
        if options["stamps"] is not None:
            _write_stamps(options["stamps"])
        report = verify(FileSink(path) if path else None)
        if options["json"]:
            self.stdout.write(json.dumps(asdict(report)))
        else:
            self._print(report)
        if not report.is_whole:
            raise CommandError(f"the ledger is broken: {report.wrong} findings", returncode=1)

    def _print(self, report: Report) -> None:
        for finding in report.findings:
            where = " ".join(
                f"{name}={value}"
                for name, value in (
                    ("entry", finding.entry_id), ("writer", finding.writer), ("position", finding.position), ("checkpoint", finding.checkpoint),
                )
                if value not in (None, "")
            )  # fmt: skip
            self.stdout.write(f"{finding.what}: {finding.sentence} [{where}]")
        if report.wrong > len(report.findings):
            self.stdout.write(f"… and {report.wrong - len(report.findings)} more")
        self.stdout.write(
            f"{report.entries} entries of {report.writers} writers, {report.checkpoints} checkpoints, {report.outside} read back from outside"
        )
        if report.torn_lines:
            self.stdout.write(f"{report.torn_lines} unreadable lines in the copy outside (a stop in the middle of writing leaves one)")
        if report.stamps:
            self.stdout.write(f"{report.stamps} time stamps")
        self.stdout.write(f"{report.uncovered} entries are newer than the last checkpoint")
        if report.is_whole:
            self.stdout.write(self.style.SUCCESS("the chain is whole"))


def _write_stamps(folder: Path) -> None:
    """`checkpoint-12.json` is what was stamped, `checkpoint-12.tsr` the service's answer; a second service's is `checkpoint-12.2.tsr`."""
    folder.mkdir(parents=True, exist_ok=True)
    seen: dict[int, int] = {}
    for stamp in CheckpointStamp.objects.select_related("checkpoint").order_by("checkpoint_id", "pk").iterator(chunk_size=200):
        number = stamp.checkpoint_id
        seen[number] = seen.get(number, 0) + 1
        (folder / f"checkpoint-{number}.json").write_bytes(text_of(stamp.checkpoint))
        (folder / f"checkpoint-{number}{f'.{seen[number]}' if seen[number] > 1 else ''}.tsr").write_bytes(bytes(stamp.token))
