"""One row per Chargebee event id. The payload is not kept: the event only says where to look."""

from __future__ import annotations

from django.db import models

from billing_ai.kernel import clock, ids
from billing_ai.work.models import Leased, due_index


class Event(Leased):
    """A webhook that was received, or an event that reconciliation found in Chargebee's list.

    Statuses: waiting → leased → done | ignored (a type no room wants) | parked (with the reason; a person replays or drops it).
    """

    IGNORED, DROPPED = "ignored", "dropped"
    FAIR_BY = "chargebee_customer_id"

    chargebee_event_id = models.CharField(max_length=100, unique=True)
    event_type = models.CharField(max_length=100)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField(default=clock.now)
    source = models.CharField(max_length=30, blank=True, default="", help_text="who caused it, in Chargebee's words")
    api_version = models.CharField(max_length=10, blank=True, default="")
    found_by = models.CharField(max_length=20, default="webhook", help_text="webhook or reconcile")
    chargebee_customer_id = models.CharField(max_length=100, blank=True, default="")
    resources = models.JSONField(default=list, help_text="[{kind, id, version}]: what to fetch, and how new the news was")
    body_sha256 = models.CharField(max_length=64)
    trace_id = models.CharField(max_length=32, default=ids.new_trace_id)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            due_index("event_due"),
            models.Index(fields=["chargebee_customer_id", "lane", "not_before"], name="event_fair", condition=models.Q(status="waiting")),
            models.Index(fields=["status", "-id"], name="event_by_status"),
            models.Index(fields=["chargebee_customer_id", "-id"], name="event_by_customer"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.chargebee_event_id}"
