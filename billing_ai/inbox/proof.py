"""The ledger is read again, part by part: a change shows within one round, and no round has to fit into one task."""

from __future__ import annotations

import logging
from uuid import UUID

from audit.verify import verify_part
from billing_ai.kernel import clock
from billing_ai.work.models import Tick

logger = logging.getLogger(__name__)
PLACE = "audit.verified_to"
"""The row of ticks that says which writer's chain was the last of the part before."""
ENTRIES_A_PART = 50_000
_UP_TO = "up to writer "


def verify_next_part() -> tuple[str, int]:
    """Check the next part. What was seen, in words, and how many faults."""
    told = Tick.objects.filter(schedule=PLACE).values_list("result", flat=True).first() or ""
    after = told.removeprefix(_UP_TO)
    report, last = verify_part(UUID(after) if after else None, ENTRIES_A_PART)
    if not report.is_whole:
        # It stays at this part until that is mended, so that the alarm does not end with the next part.
        first = report.findings[0]
        logger.error("audit.not_whole", extra={"faults": report.wrong, "what": first.what, "entry_id": first.entry_id})
        return f"{report.wrong} faults, the first: {first.sentence}", report.wrong
    Tick.objects.update_or_create(schedule=PLACE, defaults={"result": f"{_UP_TO}{last.hex}" if last else "", "finished_at": clock.now()})
    return f"whole: {report.entries} entries of {report.writers} writers", 0
