"""Questions that agents ask of what was told. Reads only; a customer of whom nothing was told is missing from the answer, not zero."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Count, Max, Sum

from billing_ai.signals.models import CrmLink, ExternalTicket, ReplyNote, UsageEvent
from billing_ai.work.models import Leased


def usage_events(customer_id: str, *, since: datetime | None = None, limit: int = 1000) -> list[UsageEvent]:
    """The customer's usage events, newest first."""
    rows = UsageEvent.objects.filter(chargebee_customer_id=customer_id, status=Leased.DONE)
    return list((rows.filter(occurred_at__gte=since) if since else rows).order_by("-occurred_at", "-pk")[:limit])


def usage_totals(customer_ids: Iterable[str], *, since: datetime, until: datetime) -> dict[str, dict[str, object]]:
    """Per customer that used anything in [since, until): {"events": count, "quantity": Decimal, "last_at": instant}."""
    rows = (
        UsageEvent.objects.filter(
            chargebee_customer_id__in=list(customer_ids), status=Leased.DONE, occurred_at__gte=since, occurred_at__lt=until
        )
        .values("chargebee_customer_id")
        .annotate(events=Count("pk"), total=Sum("quantity"), last_at=Max("occurred_at"))
    )
    return {row["chargebee_customer_id"]: {"events": row["events"], "quantity": row["total"], "last_at": row["last_at"]} for row in rows}


def tickets(customer_id: str, *, since: datetime | None = None, limit: int = 200) -> list[ExternalTicket]:
    """The customer's tickets, newest first, without their words."""
    rows = ExternalTicket.objects.filter(chargebee_customer_id=customer_id, status=Leased.DONE).defer("sealed_subject")
    return list((rows.filter(opened_at__gte=since) if since else rows).order_by("-opened_at", "-pk")[:limit])


def replies_and_notes(customer_id: str, *, kind: str = "", limit: int = 200) -> list[ReplyNote]:
    """What was said, newest first, without the words."""
    rows = ReplyNote.objects.filter(chargebee_customer_id=customer_id, status=Leased.DONE).defer("sealed_text")
    return list((rows.filter(kind=kind) if kind else rows).order_by("-written_at", "-pk")[:limit])


def crm_links(customer_ids: Iterable[str]) -> dict[str, list[CrmLink]]:
    """The CRM records of each customer, the newest word first."""
    found: dict[str, list[CrmLink]] = {}
    for link in CrmLink.objects.filter(chargebee_customer_id__in=list(customer_ids)).order_by("-updated_at", "-pk"):
        found.setdefault(link.chargebee_customer_id, []).append(link)
    return found
