"""How long the change feed and the deliveries of its webhooks are kept: `CHANGES_KEPT_DAYS`, oldest first and without a gap."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import takewhile

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef

from approvals.retention import in_batches
from audit import ledger
from audit.actor import system
from billing_ai.api.models import Change, ChangeHead, WebhookDelivery
from billing_ai.kernel import clock
from billing_ai.kernel.ids import new_trace_id
from billing_ai.work.models import Leased

_BATCH = 1_000


def forget_old_changes(batch: int = _BATCH) -> int:
    """Delete what is older than `CHANGES_KEPT_DAYS`, its deliveries too. Returns how many changes; the rest waits for the next sweep. Safe twice."""
    if not settings.CHANGES_KEPT_DAYS:
        return 0
    before = clock.now() - timedelta(days=settings.CHANGES_KEPT_DAYS)
    return in_batches(_forget_batch, before, batch)


def _forget_batch(before: datetime, batch: int) -> int:
    """The feed's first lines, as far as they are old and told. It stops at the first that is neither, so that no reader's cursor points into a gap."""
    untold = WebhookDelivery.objects.filter(change=OuterRef("pk"), status__in=(Leased.WAITING, Leased.LEASED))
    with transaction.atomic():
        # The lock under which positions are given and deliveries are made: nothing is added to these lines meanwhile.
        head = ChangeHead.objects.select_for_update().filter(pk=1).first()
        if head is None:
            return 0
        rows = Change.objects.filter(position__isnull=False).order_by("position").annotate(is_untold=Exists(untold))[:batch]
        old = list(takewhile(lambda row: row.happened_at < before and not row.is_untold, rows))
        if not old:
            return 0
        ids = [row.pk for row in old]
        deliveries, _ = WebhookDelivery.objects.filter(change__in=ids).delete()
        Change.objects.filter(pk__in=ids).delete()
        head.forgotten = old[-1].position or head.forgotten
        head.save(update_fields=["forgotten"])
        ledger.append(
            "retention.changes_forgotten",
            actor=system("retention"),
            trace_id=new_trace_id(),
            subject=("retention", "changes"),
            data={"days": settings.CHANGES_KEPT_DAYS, "up_to": head.forgotten, "changes": len(old), "deliveries": deliveries},
        )
    return len(old)


def forgotten_up_to() -> int:
    """The last position that is kept no longer; 0: all are there."""
    return ChangeHead.objects.filter(pk=1).values_list("forgotten", flat=True).first() or 0
