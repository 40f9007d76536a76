"""`manage.py verify_evidence case.zip`: is the pack whole, and ours? Outsiders run the check.py inside the pack instead."""

from __future__ import annotations

import json
import zipfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit import keys, recipe


class Command(BaseCommand):
    help = "Checks an evidence pack against the keys of this system. Exit code 1 when it is not whole."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("pack", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        ours = {keys.public_key(secret).hex() for secret in keys.known_secrets()}
        try:
            with zipfile.ZipFile(options["pack"]) as pack:
                signed_by = str(json.loads(pack.read("manifest.json"))["public_key"])
                wrong = list(recipe.check(pack, signed_by))
        except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
            raise CommandError(f"{options['pack']} is no evidence pack: {error}") from error
        if signed_by not in ours:
            wrong.append(f"the pack was not signed by this system, but by {signed_by}")
        for sentence in wrong:
            self.stdout.write(sentence)
        if wrong:
            raise CommandError(f"the pack is broken: {len(wrong)} findings", returncode=1)
        self.stdout.write(self.style.SUCCESS(f"whole; signed by {signed_by}"))
