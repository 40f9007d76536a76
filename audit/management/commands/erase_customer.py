"""`manage.py erase_customer cus_123 --reason customer_request`: make a customer's sealed words unreadable for good."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from audit.actor import system
from audit.seal import ERASURE_REASONS, erase_customer


class Command(BaseCommand):
    help = "Drops the customer's key. Nothing brings the words back; the ledger stays whole."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("customer_id", help="Chargebee's customer id")
        parser.add_argument("--reason", required=True, choices=ERASURE_REASONS)

    def handle(self, *args: Any, **options: Any) -> None:
        erased = erase_customer(options["customer_id"], system("erase_customer"), options["reason"])
        self.stdout.write("erased" if erased else "was erased before; nothing changed")
