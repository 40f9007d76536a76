"""Clients, tokens, webhooks and what was delivered, to look at. Changing them is on pages of their own (`console.py`)."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from billing_ai.api import tokens
from billing_ai.api.models import ApiClient, ApiToken, WebhookDelivery, WebhookEndpoint
from billing_ai.tables.read_only import HistoryAdmin, ReadOnlyAdmin, as_json, choice_filter

_LABELS = {
    "live": "success",
    "replaced": "info",
    "expired": "warning",
    "revoked": "danger",
    "done": "success",
    "waiting": "info",
    "parked": "danger",
}
_STATES = {key: key for key in ("waiting", "leased", "done", "parked", "dropped")}


def _link(name: str, pk: object, text: str) -> SafeString:
    return format_html('<a class="text-primary-700 dark:text-primary-500" href="{}">{}</a>', reverse(f"console:{name}", args=[pk]), text)


@admin.register(ApiClient)
class ApiClientAdmin(HistoryAdmin):
    """Who uses the API, and whom it reaches."""

    list_display = ("name", "title", "covers_everyone", "entities", "is_active", "created_at", "open")
    search_fields = ("name",)
    search_help_text = "Whole name"
    ordering = ("name",)
    list_before_template = "console/api_tools.html"

    @admin.display(description="Business entities")
    def entities(self, client: ApiClient) -> str:
        return ", ".join(client.business_entity_ids[:5]) + (" …" if len(client.business_entity_ids) > 5 else "")

    @admin.display(description="")
    def open(self, client: ApiClient) -> SafeString:
        return _link("api_client", client.pk, "Tokens and reach")


@admin.register(ApiToken)
class ApiTokenAdmin(HistoryAdmin):
    """Keys. The secret was shown once; only its beginning is here."""

    list_display = ("label", "of", "begins", "shown_state", "scope_list", "rate_per_minute", "expires_at", "created_by")
    list_select_related = ("client", "created_by", "rate_use")
    heavy = ("token_hash",)
    search_fields = ("id", "hint", "client__name")
    search_help_text = "Whole token id, its first ten signs, or the client's name"
    ordering = ("-created_at",)

    def get_exclude(self, request: HttpRequest, obj: object | None = None) -> list[str]:
        return [*super().get_exclude(request), "token_hash"]

    @admin.display(description="Client")
    def of(self, token: ApiToken) -> SafeString:
        return _link("api_client", token.client_id, token.client.name)

    @admin.display(description="Begins")
    def begins(self, token: ApiToken) -> str:
        return f"{token.hint}…"

    @admin.display(description="Scopes")
    def scope_list(self, token: ApiToken) -> str:
        return ", ".join(token.scopes)

    @display(description="State", label=_LABELS)
    def shown_state(self, token: ApiToken) -> str:
        return tokens.state_of(token)


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(HistoryAdmin):
    """Where webhooks go."""

    list_display = ("url", "client", "wanted", "is_active", "stopped_reason", "created_at", "open")
    list_select_related = ("client",)
    search_fields = ("id", "client__name")
    search_help_text = "Whole endpoint id or the client's name"
    ordering = ("-created_at",)

    @admin.display(description="Wants")
    def wanted(self, endpoint: WebhookEndpoint) -> str:
        return ", ".join(endpoint.kinds)

    @admin.display(description="")
    def open(self, endpoint: WebhookEndpoint) -> SafeString:
        return _link("api_endpoint", endpoint.pk, "Deliveries and replay")


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    """Each change told to each endpoint."""

    list_display = ("made_at", "kind", "to", "shown_status", "attempt", "last_status", "reason", "delivered_at", "replays")
    list_select_related = ("endpoint", "change")
    list_filter = (choice_filter("status", "status", _STATES),)
    search_fields = ("id", "trace_id", "change__chargebee_customer_id")
    search_help_text = "Whole delivery id, trace id or customer id"
    ordering = ("-made_at",)
    readonly_fields = ("told",)

    @admin.display(description="Change")
    def kind(self, delivery: WebhookDelivery) -> str:
        return delivery.change.kind

    @admin.display(description="To")
    def to(self, delivery: WebhookDelivery) -> SafeString:
        return _link("api_endpoint", delivery.endpoint_id, delivery.endpoint.url)

    @display(description="Status", label=_LABELS)
    def shown_status(self, delivery: WebhookDelivery) -> str:
        return delivery.status

    @admin.display(description="What it tells")
    def told(self, delivery: WebhookDelivery) -> SafeString:
        return as_json(delivery.change.payload)
