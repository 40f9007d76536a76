"""Webhooks get lost; Chargebee's own list of events does not. Runs with an overlap, since the list may lag by five minutes.

The cursor is the latest event that the *list* has shown. A webhook never moves it: one that arrives after an outage says nothing about
those that were lost during it, and one with a false time must not hide what comes after.
"""

from __future__ import annotations

import hashlib

from django.db import transaction

from billing_ai.inbox import cursors, intake
from billing_ai.integrations.chargebee import reads
from billing_ai.kernel.errors import OutsideError
from billing_ai.work.wake import wake

CURSOR = "inbox.reconciled_to"
_MOST = 5_000
"""New events a run, so that a long outage is caught up with in several; known ones do not count, or a busy ten minutes would never be passed."""


def run() -> str:
    """Store the events that no webhook brought. Returns what was done, in words."""
    cursor = cursors.read(CURSOR)
    seen = found = 0
    stopped = ""
    try:
        for envelope in reads.events_to_reconcile(cursor):
            seen += 1
            with transaction.atomic():
                found += intake.store(envelope, body_sha256=hashlib.sha256(envelope.id.encode()).hexdigest(), found_by="reconcile")
            if envelope.occurred_at is not None:
                cursor = max(cursor, envelope.occurred_at)
            if found >= _MOST:
                break
    except OutsideError as error:
        stopped = error.sentence
    cursors.write(CURSOR, cursor)
    if found:
        with transaction.atomic():
            wake("inbox.process")
    return f"stopped after {seen} events: {stopped}" if stopped else f"{seen} events looked at, {found} had not arrived"
