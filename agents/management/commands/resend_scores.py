"""`manage.py resend_scores --all`: the next push to the CRM holds everyone, not only those whose scores changed."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from agents.churn import sent_scores
from audit.actor import operator


class Command(BaseCommand):
    help = "Forgets what the CRM was given, so that the next night's push holds everyone. It is approved and sent like any other."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--all", action="store_true", required=True, help="everyone (there is no smaller way)")

    def handle(self, *args: Any, **options: Any) -> None:
        forgotten = sent_scores.forget(operator())
        self.stdout.write(f"{forgotten} scores that the CRM was given are forgotten; the next night's push holds everyone.")
