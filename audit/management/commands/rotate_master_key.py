"""`manage.py rotate_master_key`: wrap every key anew under the present master key."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.actor import system
from audit.keys import MasterKeyMissing
from audit.seal import rotate_master_key


class Command(BaseCommand):
    help = "Set MASTER_KEY to the new key followed by the old one, run this, then leave the old one out. Work may go on meanwhile; it can be run again."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            wrapped = rotate_master_key(system("rotate_master_key"))
        except MasterKeyMissing as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{wrapped} keys were wrapped anew; the old master key is no longer needed")
