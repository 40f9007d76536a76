"""What other systems told of customers, to look at. Words are sealed and not shown; what waits for its customer says so, or why it is parked."""

from __future__ import annotations

from django.contrib import admin
from unfold.decorators import display

from billing_ai.signals.models import CrmLink, ExternalTicket, Incoming, ReplyNote, UsageEvent
from billing_ai.tables.read_only import ReadOnlyAdmin, choice_filter

_LABELS = {"done": "success", "waiting": "info", "parked": "danger"}
_STATES = {"waiting": "waits for its customer", "done": "known", "parked": "parked", "dropped": "dropped"}


class IncomingAdmin(ReadOnlyAdmin):
    """What the three kinds share."""

    list_filter = (choice_filter("status", "status", _STATES),)
    search_fields = ("chargebee_customer_id", "customer_ref", "external_id", "trace_id")
    search_help_text = "Whole customer id, the sender's own id, or trace id"
    ordering = ("-id",)

    @display(description="Status", label=_LABELS)
    def shown_status(self, row: Incoming) -> tuple[str, str]:
        return row.status, _STATES.get(row.status, row.status)


@admin.register(UsageEvent)
class UsageEventAdmin(IncomingAdmin):
    """Product use."""

    list_display = ("occurred_at", "customer_ref", "name", "quantity", "unit", "client", "shown_status", "reason")


@admin.register(ExternalTicket)
class ExternalTicketAdmin(IncomingAdmin):
    """Tickets of help desks without an adapter."""

    list_display = ("opened_at", "customer_ref", "ticket_status", "priority", "tone", "client", "shown_status", "reason")


@admin.register(ReplyNote)
class ReplyNoteAdmin(IncomingAdmin):
    """Notes and replies."""

    list_display = ("written_at", "customer_ref", "kind", "channel", "author", "client", "shown_status", "reason")


@admin.register(CrmLink)
class CrmLinkAdmin(ReadOnlyAdmin):
    """Which record a customer is in which CRM, who owns it, and its tier there."""

    list_display = ("chargebee_customer_id", "system", "crm_id", "owner", "tier", "client", "updated_at")
    search_fields = ("chargebee_customer_id", "crm_id", "owner")
    search_help_text = "Whole customer id, CRM id or owner"
    ordering = ("-id",)
