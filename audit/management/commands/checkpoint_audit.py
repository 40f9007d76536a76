"""`manage.py checkpoint_audit`: take a checkpoint now, as beat does, and print the public key that signs it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from audit import keys
from audit.checkpoints import checkpoint


class Command(BaseCommand):
    help = "Takes a checkpoint of the ledger and writes it to the configured place outside."

    def handle(self, *args: Any, **options: Any) -> None:
        taken = checkpoint()
        self.stdout.write(
            f"checkpoint {taken.number}: {taken.entries} entries, root {bytes(taken.root).hex()}" if taken else "nothing moved"
        )
        self.stdout.write(f"public key {keys.sign(b'')[1].hex()}")
