"""Chargebee's events, to look at; what is parked is replayed or dropped on the page of parked work."""

from __future__ import annotations

from django.contrib import admin
from unfold.decorators import display

from billing_ai.inbox.models import Event
from billing_ai.tables.read_only import ReadOnlyAdmin, choice_filter

STATUSES = {
    "waiting": "waiting",
    "leased": "being worked on",
    "done": "done",
    "ignored": "ignored",
    "parked": "parked",
    "dropped": "dropped",
}


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """Ids, type, times and a hash: the payload was never kept."""

    list_display = ("received_at", "event_type", "chargebee_event_id", "chargebee_customer_id", "shown_status", "found_by", "attempt")
    list_display_links = ("received_at", "event_type")
    search_fields = ("chargebee_event_id", "chargebee_customer_id")
    search_help_text = "Whole event or customer id"
    list_filter = (
        choice_filter("status", "status", STATUSES),
        choice_filter("found_by", "found by", {"webhook": "webhook", "reconcile": "reconciliation"}),
    )
    ordering = ("-id",)
    heavy = ("resources",)

    @display(description="Status", label={"done": "success", "parked": "danger", "waiting": "warning", "leased": "info"})
    def shown_status(self, event: Event) -> str:
        return event.status
