"""`manage.py checkpoint_audit`: take a checkpoint now, as beat does, and say how each place outside does and which public key signs."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit import keys
from audit.checkpoints import checkpoint, places


class Command(BaseCommand):
    help = "Takes a checkpoint of the ledger and writes it to the configured places outside. Exit code 1 when one of them is down."

    def handle(self, *args: Any, **options: Any) -> None:
        taken = checkpoint()
        self.stdout.write(
            f"checkpoint {taken.number}: {taken.entries} entries, root {bytes(taken.root).hex()}" if taken else "nothing moved"
        )
        self.stdout.write(f"public key {keys.sign(b'')[1].hex()}")
        down = 0
        for place in places():
            down += place.failing_since is not None
            state = f"down since {place.failing_since:%Y-%m-%d %H:%M} UTC: {place.error}" if place.failing_since else "up to date"
            self.stdout.write(f"{place.name}: up to checkpoint {place.last_number}, {state}")
        if down:
            raise CommandError(f"{down} of the places outside could not be written to; the next sweep tries again", returncode=1)
