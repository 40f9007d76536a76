"""A push's rows, staged beside the proposal that names them.

Why a table of our own: what is approved must be what goes out, and scores are overwritten all day, so a reference to them would point at
other values by the time a person has read the sample. The rows are therefore copied when the push is proposed, and the payload holds
their hash. That also keeps the floors: this one may not read an agent's tables, and any agent that has something for the CRM can stage it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from approvals import crm_fields
from approvals.models import CrmBatch
from billing_ai.kernel import ids

BATCH = 100
"""Customers in one call: what the smaller of the two CRMs takes."""
SAMPLE = 5
Row = tuple[str, Mapping[str, Any]]


def stage(rows: Iterable[Row], *, as_of: datetime) -> dict[str, Any] | None:
    """Keep (Chargebee customer id, {key of `crm_fields.VALUES`: value}) rows for one push, and give the payload of its proposal.

    Streams: holds one batch at a time. None when there is nothing to send or no CRM is set up. Raises ValueError on a value of no known key.
    """
    fields: dict[str, Any] = dict(crm_fields.mapping())
    if not fields:
        return None
    push, count, number = ids.new_id(), 0, 0
    sample: list[dict[str, Any]] = []
    part: list[tuple[str, dict[str, Any]]]
    hashes: list[str] = []
    source = iter(rows)
    with transaction.atomic():
        while part := [(customer_id, dict(values)) for customer_id, values in islice(source, BATCH)]:
            for customer_id, values in part:
                unknown = set(values) - set(crm_fields.VALUES)
                if unknown or not customer_id:
                    raise ValueError(f"no value for the CRM: {', '.join(sorted(unknown)) or 'a row without a customer'}")
            number += 1
            count += len(part)
            sample += [{"customer_id": customer_id, **values} for customer_id, values in part[: SAMPLE - len(sample)]]
            hashes.append(ids.content_hash(part))
            CrmBatch.objects.create(push=push, number=number, rows=part, content_hash=hashes[-1])
    if not count:
        return None
    return {
        "push": str(push),
        "count": count,
        "sample": sample,
        "as_of": as_of.isoformat(),
        "content_hash": ids.content_hash(hashes),
        "fields": fields,
    }


def hash_of(push: str) -> str:
    """The hash of a push's rows as they are stored now."""
    return ids.content_hash([ids.content_hash(rows) for rows in _batches(push).values_list("rows", flat=True).iterator(chunk_size=50)])


def batches(push: str) -> Iterable[CrmBatch]:
    """A push's batches in their order, a few in memory at a time."""
    return _batches(push).iterator(chunk_size=20)


def told(push: str) -> dict[str, dict[str, int]]:
    """Per CRM how many customers were taken and how many were refused so far."""
    found: dict[str, dict[str, int]] = {}
    for sent in _batches(push).values_list("sent", flat=True).iterator(chunk_size=200):
        for system, one in sent.items():
            sums = found.setdefault(system, {"taken": 0, "refused": 0})
            sums["taken"] += int(one["taken"])
            sums["refused"] += len(one["refused"])
    return found


def _batches(push: str) -> QuerySet[CrmBatch, CrmBatch]:
    return CrmBatch.objects.filter(push=UUID(push)).order_by("number")
