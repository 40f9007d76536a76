"""Between the last look at the kill switch and the commit of a call as begun, nobody turns a switch.

Without that a worker could look, a lead turn the switch and read what is on the wire, and only then the worker commit its call: one more call,
which nobody was shown. Beginners share a lock until they commit; whoever turns a switch waits for them, and they for it. A wait is as long as one
short transaction: no lock is held over a call. SQLite has one writer at a time, so there it holds of itself.
"""

from __future__ import annotations

import logging

from django.db import OperationalError, connection, transaction

logger = logging.getLogger(__name__)
_KEY = 5_307_142_011
"""Any number that no other advisory lock of ours has."""
LONGEST_WAIT_SECONDS = 5


def begin_before_a_turn() -> None:
    """Call it in the transaction that commits a call as begun, before the switch is asked."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [_KEY])


def turn_after_what_begins() -> bool:
    """Call it in the transaction that turns a switch. False when a beginner hangs: the switch is turned all the same, and at once."""
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        try:
            with transaction.atomic():
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LONGEST_WAIT_SECONDS}s"])
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_KEY])
                cursor.execute("SELECT set_config('lock_timeout', '0', true)")
        except OperationalError:
            logger.warning("kill_switch.turned_beside_a_beginner")
            return False
    return True
