"""A person lets a parked row go on, corrects what it is about, or drops it with a reason. Nothing deletes itself.

Why is kept on the row, where an erasure reaches it: it may name the customer, and the ledger keeps for ever what it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from audit import ledger
from audit.actor import Actor
from billing_ai.kernel import clock
from billing_ai.work.models import Leased

LET_GO_ON, DROPPED = "let go on: ", "dropped: "
"""How a row's reason begins that a person wrote."""


def replay(row: Leased, actor: Actor, note: str, *, subject: tuple[str, str], trace_id: str) -> bool:
    """Put a parked row back into the flow. False when it is not parked any more."""
    with transaction.atomic():
        changed = (
            type(row)
            ._default_manager.filter(pk=row.pk, status=Leased.PARKED)
            .update(
                status=Leased.WAITING,
                not_before=clock.now(),
                max_attempts=row.attempt + 8,
                lease_until=None,
                reason=f"{LET_GO_ON}{note}"[:500],
            )
        )
        if changed:
            ledger.append("parked.replayed", actor=actor, trace_id=trace_id, subject=subject)
    return bool(changed)


def correct(row: Leased, actor: Actor, note: str, columns: Mapping[str, Any], *, subject: tuple[str, str], trace_id: str) -> bool:
    """Change what a parked row is about, and let it go on. False when it is not parked any more. The ledger holds what it was before."""
    with transaction.atomic():
        parked = type(row)._default_manager.filter(pk=row.pk, status=Leased.PARKED)
        before = parked.values(*columns).first()
        changed = parked.update(**columns)
        if changed:
            ledger.append(
                "parked.corrected",
                actor=actor,
                trace_id=trace_id,
                subject=subject,
                data={"before": dict(before or {}), "after": dict(columns)},
            )
            replay(row, actor, note, subject=subject, trace_id=trace_id)
    return bool(changed)


def drop(row: Leased, actor: Actor, note: str, *, subject: tuple[str, str], trace_id: str) -> bool:
    """Give a parked row up. False when it is not parked any more."""
    with transaction.atomic():
        changed = (
            type(row)._default_manager.filter(pk=row.pk, status=Leased.PARKED).update(status="dropped", reason=f"{DROPPED}{note}"[:500])
        )
        if changed:
            ledger.append("parked.dropped", actor=actor, trace_id=trace_id, subject=subject)
    return bool(changed)
